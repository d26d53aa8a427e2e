import type { HostName, StorePath } from './brands.ts';

/** The part of a signed release that decides what a host should run. */
export interface ReleaseRef {
  readonly id: string;
  readonly host: HostName;
  readonly sequence: number;
  readonly toplevel: StorePath;
}

/** The inputs of {@link resolve} for one host. */
export interface HostSituation {
  /** The release on which an administrator's pin keeps the host. It counts before a hold. */
  readonly pin: ReleaseRef | undefined;
  /** The release on which an administrator's hold keeps the host, when there is no pin. */
  readonly hold: ReleaseRef | undefined;
  /** The host's ring is told to run the current rollout. */
  readonly isRingPromoted: boolean;
  /** The host's release in the current rollout. */
  readonly rollout: ReleaseRef | undefined;
  /** The host's release in the last rollout that was COMPLETE with it. */
  readonly stable: ReleaseRef | undefined;
  /** What it was last told to run. */
  readonly directed: ReleaseRef | undefined;
  readonly quarantined: ReadonlySet<StorePath>;
}

export type Desired =
  | { readonly kind: 'release'; readonly release: ReleaseRef; readonly because: 'pin' | 'hold' | 'rollout' | 'stable' | 'kept' }
  /** The host keeps what it has: it tried this toplevel and rolled back. */
  | { readonly kind: 'quarantined'; readonly release: ReleaseRef }
  /** There is no release for the host yet. */
  | { readonly kind: 'nothing' };

/**
 * The desired state of a host: `pin ?? hold ?? (its ring is promoted ? the rollout's release : stable)`, but never of a lower
 * sequence than it was told before: then it keeps that, and nothing falls back by itself. A toplevel that is quarantined on the
 * host is not desired. A pure function without a queue: a host that was away for weeks gets one answer, the newest.
 */
export function resolve(situation: HostSituation): Desired {
  const { pin, hold, isRingPromoted, rollout, stable, directed, quarantined } = situation;
  const promoted = isRingPromoted && rollout !== undefined;
  const wanted = pin ?? hold ?? (promoted ? rollout : stable);
  const isKept = directed !== undefined && (wanted === undefined || wanted.sequence < directed.sequence);
  const release = isKept ? directed : wanted;
  if (release === undefined) return { kind: 'nothing' };
  if (quarantined.has(release.toplevel)) return { kind: 'quarantined', release };
  return { kind: 'release', release, because: isKept ? 'kept' : pin ? 'pin' : hold ? 'hold' : promoted ? 'rollout' : 'stable' };
}
