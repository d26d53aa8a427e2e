import { timeLimit } from '../duration.ts';
import { HOST_TIME_ZONE } from './time-zones.ts';
import type { Approvals, RingPolicy, RingWindow } from './policy.ts';

/** Everything of a ring that holds a rollout up: all but its name and its hosts. */
export type RingGate = Exclude<keyof RingPolicy, 'name' | 'members'>;

/** Each gate of a ring in words, short enough for a list: "soak 30 min". */
export const GATE_WORDS: Readonly<Record<RingGate, (ring: RingPolicy) => string>> = {
  successPercent: ({ successPercent }) =>
    successPercent === 0 ? 'no percentage of verified hosts needed' : `${successPercent} % of the started hosts verified`,
  errors: ({ errors: { percent, minStarted } }) => {
    if (percent >= 100) return 'never pauses for failures';
    const when = percent === 0 ? 'any host failed' : `more than ${percent} % of the started hosts failed`;
    return minStarted <= 1 ? `pauses when ${when}` : `pauses when ${when}, once ${minStarted} started, or all of fewer`;
  },
  minVerified: ({ minVerified }) => `at least ${minVerified} verified`,
  soakMs: ({ soakMs }) => (soakMs === 0 ? 'no soak' : `soak ${timeLimit(soakMs)}`),
  deadlineMs: ({ deadlineMs }) => (deadlineMs === undefined ? 'no deadline' : `deadline ${timeLimit(deadlineMs)}`),
  maxInFlight: ({ maxInFlight }) => (maxInFlight === undefined ? 'no limit of its own' : `at most ${maxInFlight} at once`),
  windows: ({ windows }) => (windows.length === 0 ? 'at any time' : windows.map(windowWords).join(', ')),
  approvals: ({ approvals }) => (approvals === undefined ? 'no approval' : approvalWords(approvals)),
  probes: ({ probes }) =>
    probes.length === 0 ? 'no probe' : `probes ${probes.map(({ name, everyMs }) => `${name} every ${timeLimit(everyMs)}`).join(', ')}`,
  pauseAfter: ({ pauseAfter }) => (pauseAfter ? 'a person resumes after it' : 'goes on by itself'),
};

function windowWords({ kind, cron, durationMs, timeZone }: RingWindow): string {
  return `${kind === 'allow' ? 'only' : 'never'} from "${cron}" for ${timeLimit(durationMs)} (${timeZone === HOST_TIME_ZONE ? 'the time zone of each host' : timeZone})`;
}

function approvalWords({ count, role, notAuthor }: Approvals): string {
  const who = role === 'administrator' ? 'administrator' : `${role} or higher`;
  return `${count} ${count === 1 ? 'approval' : 'approvals'} (${who}${notAuthor ? ', not an author' : ''})`;
}

/** Whether a gate does nothing. In the order in which a ring waits: before its hosts begin, while they change, and before the next ring. */
const IS_IDLE: Readonly<Record<RingGate, (ring: RingPolicy) => boolean>> = {
  approvals: ({ approvals }) => approvals === undefined,
  windows: ({ windows }) => windows.length === 0,
  maxInFlight: ({ maxInFlight }) => maxInFlight === undefined,
  errors: ({ errors }) => errors.percent >= 100,
  minVerified: () => false,
  successPercent: ({ successPercent }) => successPercent === 0,
  probes: ({ probes }) => probes.length === 0,
  soakMs: ({ soakMs }) => soakMs === 0,
  deadlineMs: ({ deadlineMs }) => deadlineMs === undefined,
  pauseAfter: ({ pauseAfter }) => !pauseAfter,
};

/** What a ring waits for. Gates that do nothing are left out. */
export function gatesInWords(ring: RingPolicy): readonly string[] {
  return wordsOf(ring, false);
}

/** The gates of a ring that do nothing: "no approval", "no deadline". */
export function idleGatesInWords(ring: RingPolicy): readonly string[] {
  return wordsOf(ring, true);
}

function wordsOf(ring: RingPolicy, isIdle: boolean): readonly string[] {
  return (Object.keys(IS_IDLE) as RingGate[]).filter((gate) => IS_IDLE[gate](ring) === isIdle).map((gate) => GATE_WORDS[gate](ring));
}
