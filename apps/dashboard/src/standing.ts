import { isTerminalAgentState, type StorePath } from '@floe/model';
import type { HostStanding, HostView, RevisionView } from '@floe/protocol';
import { percent, reasonToWait, standingWords, words } from '@floe/views';

/** What a standing looks like. Each tone has its own colour and each standing its own shape and words. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'quiet';

/** Order on the page: what needs a person, then what moves, then the rest. */
const RANKS: Record<HostStanding, number> = {
  failed: 0,
  quarantined: 1,
  'rolled-back': 2,
  drifted: 3,
  'under-way': 5,
  waiting: 6,
  'local-override': 6,
  'in-sync': 7,
  away: 7,
  'not-enrolled': 7,
  'no-release': 7,
  revoked: 8,
};
const BEHIND_RANK = 4;

const TONES: Record<HostStanding, Tone> = {
  failed: 'bad',
  quarantined: 'bad',
  'rolled-back': 'bad',
  drifted: 'warn',
  'under-way': 'busy',
  waiting: 'busy',
  'local-override': 'quiet',
  'in-sync': 'good',
  away: 'quiet',
  'not-enrolled': 'quiet',
  'no-release': 'quiet',
  revoked: 'quiet',
};

/** Where a host belongs on the page; lower comes first. */
export function rankOf(host: HostView): number {
  return host.isBehind ? Math.min(BEHIND_RANK, RANKS[host.standing]) : RANKS[host.standing];
}

export function toneOf(host: HostView): Tone {
  return host.isBehind && TONES[host.standing] !== 'bad' ? 'warn' : TONES[host.standing];
}

/** A host's standing in words; while it is under way, the step that it is at: "downloading 40 %". */
export function standingText(host: HostView): string {
  const text = host.standing === 'under-way' ? stepText(host) : standingWords(host);
  return host.isBehind ? `${text}, behind` : text;
}

function stepText(host: HostView): string {
  if (host.state === 'IDLE' || isTerminalAgentState(host.state)) return 'about to start';
  const done = host.state === 'DOWNLOADING' && host.progress !== null ? percent(host.progress) : undefined;
  return done === undefined ? words(host.state) : `${words(host.state)} ${done} %`;
}

/** What to read or to do, where the standing alone does not say it. */
export function hintOf(host: HostView): string | null {
  if (host.problem !== null) return host.problem;
  if (host.standing === 'not-enrolled') return `to enrol it, run: floe enrol ${host.host}`;
  if (host.standing === 'no-release') return 'no revision has a release for it yet';
  return reasonToWait(host);
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
