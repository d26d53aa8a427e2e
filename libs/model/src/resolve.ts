import type { CommitSha, HostName, StorePath } from './brands.ts';

/** The part of a signed release that decides what a host should run. */
export interface ReleaseRef {
  readonly id: string;
  readonly host: HostName;
  readonly sequence: number;
  readonly toplevel: StorePath;
}

/** Who lets a host go below the sequence that it was told, and why. The server makes a signed permit of it for the agent. */
export interface PermitGrounds {
  /** The rollout of what it ran was aborted, with the order to go back; or a person pinned the host to an older release. */
  readonly kind: 'revert' | 'pin';
  readonly by: string;
  readonly reason: string;
  /** What an operator's key signed about it, of a pin. */
  readonly word?: SignedText | undefined;
}

/** A text and its SSH signature, as `SignedWord` of libs/protocol has them. */
export interface SignedText {
  readonly statement: string;
  readonly signature: string;
}

/** A release; `permit`: also below what the host was told. */
export interface PermittedRelease extends ReleaseRef {
  readonly permit?: PermitGrounds | undefined;
}

/** A person said that the system of this commit does not run on the host. */
export interface OrderedQuarantine {
  readonly commit: CommitSha;
  /** Of that commit. */
  readonly sequence: number;
  readonly by: string;
  readonly reason: string;
  readonly at: number;
  /** It is lifted by itself then; undefined: somebody lifts it. */
  readonly until?: number | undefined;
  /** On no host that the commit changed. */
  readonly isOfAll: boolean;
}

/** A person stopped what the fleet has for the hosts of one label. It outlives supersession. */
export interface LabelStop {
  readonly label: string;
  readonly by: string;
  readonly reason: string;
  readonly at: number;
  readonly until: number | undefined;
}

/** The inputs of {@link resolve} for one host. */
export interface HostSituation {
  /** A person has the host try this release until `endsAt`. It counts before all others, and is no release of the fleet. */
  readonly trial?: (ReleaseRef & { readonly endsAt: number }) | undefined;
  /** The release on which an administrator's pin keeps the host. It counts before a hold. */
  readonly pin: PermittedRelease | undefined;
  /** The release on which an administrator's hold keeps the host, when there is no pin. */
  readonly hold: ReleaseRef | undefined;
  /** The host's ring is told to run the current rollout. */
  readonly isRingPromoted: boolean;
  /** The host's release in the current rollout. */
  readonly rollout: ReleaseRef | undefined;
  /** The host's release in the last rollout that was COMPLETE with it. */
  readonly stable: ReleaseRef | undefined;
  /** The next release that the host has to run before any newer one of the fleet. */
  readonly stone?: (ReleaseRef & { readonly name: string }) | undefined;
  /** Of an aborted rollout: who wants the hosts that were told its release back on their stable one. */
  readonly revert?: Omit<PermitGrounds, 'kind'> | undefined;
  /** What it was last told to run. */
  readonly directed: PermittedRelease | undefined;
  /** The highest sequence that it was ever told; absent: that of `directed`. */
  readonly floor?: number | undefined;
  readonly quarantined: ReadonlySet<StorePath>;
  /** Systems that a person said do not run on it; absent: none. */
  readonly ordered?: ReadonlyMap<StorePath, OrderedQuarantine> | undefined;
  /** People stopped its labels: it keeps what it was told, and begins nothing. Absent: nobody did. */
  readonly stops?: readonly LabelStop[] | undefined;
}

/** People stopped one of its labels. */
export function isStopped({ stops = [] }: Pick<HostSituation, 'stops'>): boolean {
  return stops.length > 0;
}

/** Of an older commit: the rollout that hosts follow has another system for the host. */
export function isSuperseded({ rollout }: Pick<HostSituation, 'rollout'>, { toplevel }: Pick<ReleaseRef, 'toplevel'>): boolean {
  return rollout !== undefined && rollout.toplevel !== toplevel;
}

export type Desired =
  | {
      readonly kind: 'release';
      readonly release: ReleaseRef;
      readonly because: 'trial' | 'pin' | 'hold' | 'rollout' | 'revert' | 'stable' | 'kept';
      /** Only below what the host was told before. */
      readonly permit?: PermitGrounds | undefined;
    }
  /** The host keeps what it has: it tried this toplevel and rolled back; `order`: or a person said that it does not run there. */
  | { readonly kind: 'quarantined'; readonly release: ReleaseRef; readonly order?: OrderedQuarantine | undefined }
  /** There is no release for the host yet, or none that it would take. */
  | { readonly kind: 'nothing' };

/**
 * The desired state of a host: `trial ?? pin ?? hold ?? (its ring is promoted ? the rollout's release : stable)`, but never of a lower
 * sequence than it was ever told without a permit: then it keeps what it was told last, and nothing falls back by itself. There is a permit
 * for a pin that an administrator made, and for stable where the rollout was aborted with the order to go back. A toplevel that is
 * quarantined on the host is not desired; where a person quarantined it, the host keeps what it was told last. While one of its labels is
 * stopped, only a trial, a pin and a hold count. A pure function without a queue: a host that was away for weeks gets one answer, the newest.
 */
export function resolve(situation: HostSituation): Desired {
  const { trial, directed, quarantined, ordered } = situation;
  if (trial !== undefined && ordered?.has(trial.toplevel) !== true) {
    const { id, host, sequence, toplevel } = trial;
    return { kind: 'release', release: { id, host, sequence, toplevel }, because: 'trial' };
  }
  const floor = Math.max(situation.floor ?? 0, directed?.sequence ?? 0);
  const wanted = byWayOf(situation.stone, wantedBy(situation));
  const isKept = directed !== undefined && (wanted === undefined || (isBelow(wanted.release, floor) && wanted.release.id !== directed.id));
  const asked =
    isKept || wanted === undefined ? keeping(directed) : { ...wanted, permit: wanted.release.permit ?? permitOf(wanted.release, directed) };
  const answer = asked !== undefined && ordered?.has(asked.release.toplevel) === true ? (instead(situation) ?? asked) : asked;
  if (answer === undefined) return { kind: 'nothing' };
  const { permit, because } = answer;
  const { id, host, sequence, toplevel } = answer.release;
  // Told by a database that is gone, it would refuse what this one knows: it keeps what it has until there is something newer.
  if (sequence < floor && permit === undefined) return { kind: 'nothing' };
  const release = { id, host, sequence, toplevel };
  const order = ordered?.get(toplevel);
  if (order !== undefined) return { kind: 'quarantined', release, order };
  if (quarantined.has(toplevel)) return { kind: 'quarantined', release };
  // On its way back, until something newer is its turn: also when the aborted rollout is not the newest any more.
  const isReverting = permit?.kind === 'revert' && (because === 'stable' || because === 'kept');
  return { kind: 'release', release, because: isReverting ? 'revert' : because, ...(permit !== undefined && sequence < floor ? { permit } : {}) };
}

/** What a host has that is not to get what it would: what it was told last; one that was told nothing, its stable release. */
function instead({ directed, stable, stone }: HostSituation) {
  const isStoneBefore = stone !== undefined && stable !== undefined && stone.sequence < stable.sequence && stone.toplevel !== stable.toplevel;
  return keeping(directed) ?? (isStoneBefore ? undefined : stable && { release: stable, because: 'stable' as const, permit: undefined });
}

type Because = Extract<Desired, { kind: 'release' }>['because'];
interface Wanted {
  readonly release: PermittedRelease;
  readonly because: Because;
}

/** A stone that the host has not run yet comes before what the fleet has for it. It was complete: it is an older stable release. What a person ordered does not wait for it. */
function byWayOf(stone: ReleaseRef | undefined, wanted: Wanted | undefined): Wanted | undefined {
  if (stone === undefined || wanted === undefined || (wanted.because !== 'rollout' && wanted.because !== 'stable')) return wanted;
  const isBeyond = wanted.release.sequence > stone.sequence && wanted.release.toplevel !== stone.toplevel;
  return isBeyond ? { release: stone, because: 'stable' } : wanted;
}

function wantedBy(situation: HostSituation): Wanted | undefined {
  const { pin, hold } = situation;
  return wantedAs(pin, 'pin') ?? wantedAs(hold, 'hold') ?? (isStopped(situation) ? undefined : ofFleet(situation));
}

/** What the fleet has for it. */
function ofFleet(situation: HostSituation): Wanted | undefined {
  const { isRingPromoted, rollout, stable } = situation;
  return (isRingPromoted ? wantedAs(rollout, 'rollout') : undefined) ?? wantedAs(revertTo(situation), 'revert') ?? wantedAs(stable, 'stable');
}

function wantedAs(release: PermittedRelease | undefined, because: Because): Wanted | undefined {
  return release && { release, because };
}

/** Stable, for a host that was told the release of the aborted rollout. Without a stable one it keeps what it has. */
function revertTo({ revert, rollout, stable, directed }: HostSituation): PermittedRelease | undefined {
  const isTold = revert !== undefined && directed !== undefined && directed.id === rollout?.id;
  if (!isTold || stable === undefined || stable.sequence >= directed.sequence) return undefined;
  return { ...stable, permit: { ...revert, kind: 'revert' } };
}

function isBelow({ sequence, permit }: PermittedRelease, floor: number): boolean {
  return sequence < floor && permit === undefined;
}

/** What was permitted once stays permitted for that release. */
function permitOf({ id }: ReleaseRef, directed: PermittedRelease | undefined): PermitGrounds | undefined {
  return directed?.id === id ? directed.permit : undefined;
}

function keeping(directed: PermittedRelease | undefined) {
  return directed && { release: directed, because: 'kept' as const, permit: directed.permit };
}
