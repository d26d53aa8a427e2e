import type { HostStanding, StorePath } from '@floe/model';
import type { HostView, RevisionView } from '@floe/protocol';
import { standingTone, type StandingTone } from '@floe/views';

export type Tone = StandingTone;

/** Order on the page: what needs a person, then what moves, then the rest. */
const RANKS: Record<HostStanding, number> = {
  failed: 0,
  cloned: 1,
  'rolled-back': 2,
  drifted: 3,
  behind: 4,
  removed: 4,
  'under-way': 5,
  waiting: 6,
  'local-override': 6,
  'in-sync': 7,
  pinned: 7,
  away: 7,
  'not-enrolled': 7,
  'no-release': 7,
  revoked: 8,
};
/** Where a host belongs on the page; lower comes first. */
export function rankOf(host: Pick<HostView, 'standing'>): number {
  return RANKS[host.standing];
}

/** A host that the server cannot serve warns, whatever it says itself. */
export function toneOf(host: Pick<HostView, 'standing' | 'trouble'>): Tone {
  const tone = standingTone(host.standing);
  return host.trouble !== null && tone !== 'bad' ? 'warn' : tone;
}

/** The commit that a generation came from, as far as the page knows. */
export function commitOf(toplevel: StorePath, host: HostView, revision: RevisionView | null): string | null {
  if (host.desired?.toplevel === toplevel && host.desired.commit !== null) return host.desired.commit;
  return revision?.hosts.find((each) => each.host === host.host)?.toplevel === toplevel ? revision.sha : null;
}

/** A generation that runs, but that the machine will not start next time; null when both are the same or unknown. */
export function otherNextBoot(host: HostView): StorePath | null {
  const { current, profile } = host.observed;
  return current === null || profile === null || profile.toplevel === current ? null : profile.toplevel;
}
