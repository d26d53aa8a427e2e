import type { HostStanding, StorePath } from '@floe/model';
import type { HostView } from '@floe/protocol';
import { needsAttention, standingTone, type StandingTone } from '@floe/views';

export type Tone = StandingTone;

/** Order on the page: what needs a person, then what moves, then the rest. */
const RANKS: Record<HostStanding, number> = {
  failed: 0,
  cloned: 1,
  'rolled-back': 2,
  drifted: 3,
  behind: 4,
  'not-built': 4,
  removed: 4,
  'under-way': 5,
  waiting: 6,
  queued: 6,
  'kept-back': 7,
  'local-override': 6,
  trial: 6,
  'in-sync': 7,
  pinned: 7,
  away: 7,
  'not-enrolled': 7,
  'no-release': 7,
  revoked: 8,
  'not-ours': 9,
};
/** Where a host belongs on the page; lower comes first. */
export function rankOf(host: Pick<HostView, 'standing'>): number {
  return RANKS[host.standing];
}

/** The same for one host: who needs a person comes before all that do not, whatever their standings. */
export function rankInList(host: Pick<HostView, 'standing' | 'trouble' | 'presence'>): number {
  return needsAttention(host) ? Math.min(RANKS[host.standing], RANKS.behind) : RANKS[host.standing];
}

/** A host that the server cannot serve, or that is lost, warns, whatever it says itself. */
export function toneOf(host: Pick<HostView, 'standing' | 'trouble' | 'presence'>): Tone {
  const tone = standingTone(host.standing);
  return needsAttention(host) && tone !== 'bad' ? 'warn' : tone;
}

/** The shape beside a standing. */
export function iconOf(host: Pick<HostView, 'standing' | 'state'>): HostStanding | 'restart' {
  return host.standing === 'waiting' && host.state === 'BOOT_STAGED' ? 'restart' : host.standing;
}

/** A generation that runs, but that the machine will not start next time; null when both are the same or unknown. */
export function otherNextBoot(host: HostView): StorePath | null {
  const { current, profile } = host.observed;
  return current === null || profile === null || profile.toplevel === current ? null : profile.toplevel;
}
