import {
  COUNTED_AS,
  isEndedRollout,
  mayDo,
  roleFor,
  ROLES,
  type Action,
  type CountedAs,
  type MissingApprovals,
  type Role,
  type RolloutState,
} from '@floe/model';
import type { FreezeView, PauseView, RingView, RolloutView } from '@floe/protocol';
import { rolloutCommand } from './rollout-decisions.ts';
import { count } from './text.ts';

/** Said of a rollout: "the rollout of 3f9c2ab1d0 is paused". */
const STATES: Readonly<Record<RolloutState, string>> = {
  NEXT: 'waits for the one before it',
  WAITING_APPROVAL: 'waits for approval',
  READY: 'waits for its window',
  ROLLING: 'is under way',
  SOAKING: 'soaks',
  PAUSED: 'is paused',
  ABORTED: 'was aborted',
  COMPLETE: 'is complete',
  SUPERSEDED: 'was superseded',
};

/** Said of one that is WAITING_APPROVAL for nobody and nothing: the next look goes on. */
const BEGINS = 'is about to begin';

/** The hosts of a ring, or a rollout, that are in no count yet: "2 being built". */
export function stillMade({ building, evaluating }: Pick<RingView, 'building' | 'evaluating'>): readonly string[] {
  return [...(building === 0 ? [] : [`${building} being built`]), ...(evaluating === 0 ? [] : [`${evaluating} being evaluated`])];
}

function isStillMade({ building, evaluating }: Pick<RingView, 'building' | 'evaluating'>): boolean {
  return building + evaluating > 0;
}

/** No host of it changes, and none of those that are still made will. */
export function isEmptyRing({ counts, building, evaluating }: Pick<RingView, 'counts' | 'building' | 'evaluating'>): boolean {
  return counts.eligible + building + evaluating === 0;
}

/** Said of a ring without a host that is in its counts. */
export function emptyRingWords(ring: Pick<RingView, 'building' | 'evaluating'>): string {
  return stillMade(ring).join(', ') || 'no host of it changes';
}

/**
 * A person has to approve it. Without that, a rollout in the same state waits for hosts that are still evaluated, or of its ring and still built, or is
 * about to begin.
 */
export function waitsForPeople({ state, rings }: Pick<RolloutView, 'state' | 'rings'>): boolean {
  const current = rings.find((ring) => ring.state === 'current');
  return state === 'WAITING_APPROVAL' && current !== undefined && current.missingApprovals !== null;
}

/** The words of {@link rolloutStateWords}, of what is seen. */
export function rolloutWords(rollout: Pick<RolloutView, 'state' | 'rings'>): string {
  if (rollout.state !== 'WAITING_APPROVAL' || waitsForPeople(rollout)) return STATES[rollout.state];
  const current = rollout.rings.find((ring) => ring.state === 'current');
  if (current === undefined || !isStillMade(current)) return BEGINS;
  return `waits for hosts that are being ${current.building === 0 ? 'evaluated' : 'built'}`;
}

export function rolloutStateWords(state: RolloutState): string {
  return STATES[state];
}

/** "by ada, until 2026-11-28 14:20: holidays". `time` writes a time for whoever reads it. */
export function freezeInWords({ by, reason, until }: FreezeView, time: (at: number) => string): string {
  return `by ${by}${until === null ? '' : `, until ${time(until)}`}: ${reason}`;
}

/** "1 more approval (approver or higher, not an author)" */
export function missingApprovalWords({ count: more, role, notAuthor, weaker }: MissingApprovals): string {
  const who = role === 'administrator' ? role : `${role} or higher`;
  const people = more === 0 ? [] : [`${count(more, 'more approval')} (${who}${notAuthor ? ', not an author' : ''})`];
  return [
    ...people,
    ...(weaker.length === 0
      ? []
      : [
          `an administrator who approves its weaker policy (${weaker.slice(0, 3).join('; ')}${weaker.length > 3 ? `; and ${weaker.length - 3} more` : ''})`,
        ]),
  ].join(', and ');
}

/** Where a ring is: "soaks", "paused"; what has passed, and what is to come. */
export function ringStateWords(
  ring: Pick<RingView, 'state' | 'missingApprovals' | 'building' | 'evaluating'>,
  { state }: Pick<RolloutView, 'state'>,
): string {
  if (ring.state === 'passed') return 'passed';
  if (ring.state === 'to-come') return isEndedRollout(state) ? 'not begun' : 'to come';
  if (state === 'WAITING_APPROVAL' && ring.missingApprovals === null && isStillMade(ring)) return 'waits for hosts';
  const words = state === 'WAITING_APPROVAL' && ring.missingApprovals === null ? BEGINS : STATES[state];
  return words.replace(/^(?:is|was) /, '');
}

/** What the hosts of a ring do. */
export type RingPart = 'verified' | 'under way' | 'waiting' | 'failed' | 'away' | 'to come';

/** The hosts of a ring that has not passed are told of the commit in these states. */
const TELLS: ReadonlySet<RolloutState> = new Set<RolloutState>(['ROLLING', 'SOAKING', 'COMPLETE']);

const PARTS: readonly RingPart[] = ['verified', 'under way', 'waiting', 'failed', 'away', 'to come'];

/** What a host does that a ring counts so. */
export function partOf(counted: CountedAs, { state }: Pick<RingView, 'state'>, rollout: Pick<RolloutView, 'state'>): RingPart {
  switch (counted) {
    case 'toCome':
      // In a ring that is told those hosts are about to begin; in one that waits for approval nobody is.
      return state === 'passed' || (state === 'current' && TELLS.has(rollout.state)) ? 'under way' : 'to come';
    case 'inFlight':
      return 'under way';
    case 'acknowledged':
      return 'failed';
    case 'verified':
    case 'failed':
    case 'waiting':
    case 'away':
      return counted;
  }
}

/** How many of a ring's hosts do what, without those of which there is none. */
export function ringParts(
  ring: Pick<RingView, 'state' | 'counts'>,
  rollout: Pick<RolloutView, 'state'>,
): readonly { readonly part: RingPart; readonly count: number }[] {
  return PARTS.map((part) => ({
    part,
    count: COUNTED_AS.filter((each) => partOf(each, ring, rollout) === part).reduce((sum, each) => sum + ring.counts[each], 0),
  })).filter((each) => each.count > 0);
}

/** What a host of a ring does that is in no count, too. */
export type HostPart = RingPart | 'being built' | 'not asked';

/** Hosts of a rollout by ring and part, as {@link ringParts} counts them; last in each ring those that are in no count. */
export function hostsByPart<Host extends { readonly ring: string; readonly countedAs: CountedAs | 'building' | null }>(
  hosts: readonly Host[],
  rollout: Pick<RolloutView, 'state' | 'rings'>,
): readonly { readonly ring: string; readonly part: HostPart; readonly hosts: readonly Host[] }[] {
  return rollout.rings.flatMap((ring) => {
    const own = hosts.filter((each) => each.ring === ring.name);
    const partOfHost = ({ countedAs }: Host): HostPart => {
      if (countedAs === null) return 'not asked';
      return countedAs === 'building' ? 'being built' : partOf(countedAs, ring, rollout);
    };
    return [...PARTS, 'being built' as const, 'not asked' as const].flatMap((part) => {
      const some = own.filter((each) => partOfHost(each) === part);
      return some.length === 0 ? [] : [{ ring: ring.name, part, hosts: some }];
    });
  });
}

/**
 * What a ring waits for before the next one begins, in the order in which it is asked: "1 of 3 verified, 2 under way". Empty: nothing.
 * `time` writes a time for whoever reads it.
 */
export function ringWaitsFor(ring: RingView, rollout: Pick<RolloutView, 'state' | 'pause'>, time: (at: number) => string): string {
  const { downloaded, counts } = ring;
  return [waitsFor(ring, rollout, time), ...(downloaded === 0 ? [] : [`${downloaded} of ${counts.eligible} have it downloaded`])]
    .filter((text) => text !== '')
    .join('; ');
}

function waitsFor(ring: RingView, rollout: Pick<RolloutView, 'state' | 'pause'>, time: (at: number) => string): string {
  const { counts, needed, untried, missingApprovals, opensAt, soakUntil, deadlineAt, probes } = ring;
  const built = stillMade(ring);
  const notGood = probes.filter(({ verdict }) => verdict !== 'good').map(({ text }) => text);
  const approvals = missingApprovals === null ? [] : [missingApprovalWords(missingApprovals)];
  const window = opensAt === null ? [] : [`its window at ${time(opensAt)}`];
  if (ring.state === 'passed' || isEndedRollout(rollout.state)) return '';
  if (ring.state === 'to-come') return isEmptyRing(ring) ? 'nothing: no host of it changes' : ['the rings before it', ...approvals].join(', ');
  switch (rollout.state) {
    case 'WAITING_APPROVAL':
      return [...approvals, ...built, ...window].join(', ');
    case 'READY':
      return window.length === 0 ? 'its window' : window.join('');
    case 'ROLLING': {
      const verified = `${counts.verified} of ${needed} verified`;
      const busy = counts.inFlight + counts.toCome;
      const deadline = deadlineAt === null ? [] : [`deadline ${time(deadlineAt)}`];
      const groups = untried === null || counts.verified < needed ? [] : [untried];
      return [
        ...(counts.verified < needed ? [verified] : []),
        ...groups,
        ...(busy > 0 ? [`${count(busy, 'host')} under way`] : []),
        ...built,
        ...notGood,
        ...deadline,
      ].join(', ');
    }
    case 'SOAKING':
      return [...(soakUntil === null ? [] : [`soak until ${time(soakUntil)}`]), ...notGood].join(', ');
    case 'PAUSED':
      return rollout.pause === null ? 'a person' : `a person: ${rollout.pause.description}`;
    case 'NEXT':
    case 'COMPLETE':
    case 'ABORTED':
    case 'SUPERSEDED':
      return '';
  }
}

/** How a command is given by somebody of this role; undefined: by whoever may. */
type Viewer = Role | undefined;

function may(role: Viewer, action: Action): boolean {
  return role === undefined || mayDo(role, action);
}

/** What helps a rollout that does not go on by itself, with the commands that the role allows; null: nothing is to be done. `sha`: its commit. */
export function todoOfRollout(
  sha: string,
  { state, pause, freeze, rings }: Pick<RolloutView, 'state' | 'pause' | 'freeze' | 'rings'>,
  role?: Viewer,
): string | null {
  // Where a person's pause stands, that is the one that it ends.
  const since = freeze?.at ?? pause?.since;
  const resume = may(role, 'resume-rollout') ? [`run: ${rolloutCommand({ kind: 'resume-rollout', since })}`] : [];
  if (state === 'WAITING_APPROVAL') {
    if (!waitsForPeople({ state, rings })) return null;
    const missing = rings.find((ring) => ring.state === 'current')?.missingApprovals;
    const needed: Role = (missing?.weaker.length ?? 0) > 0 ? 'administrator' : (missing?.role ?? roleFor('approve-rollout'));
    const isEnough = role === undefined || ROLES.indexOf(role) >= ROLES.indexOf(needed);
    return isEnough
      ? `look at what it changes, and run: ${rolloutCommand({ kind: 'approve-rollout', seen: missing?.seen })}`
      : `ask an ${needed} to approve it`;
  }
  if (state !== 'PAUSED') return null;
  const ask = may(role, 'resume-rollout')
    ? []
    : [`ask an ${roleFor('resume-rollout')} to resume${mayBeTheCommit(pause?.cause) ? ' or abort' : ''} it`];
  if (pause === null || !mayBeTheCommit(pause.cause)) return [...resume, ...ask].join(', or ');
  const again = pause.failures.filter(({ mayRetry }) => mayRetry === true);
  const abort = may(role, 'abort-rollout') ? [false, true].map((revert) => rolloutCommand({ kind: 'abort-rollout', commit: sha, revert })) : [];
  const retry = again.length > 0 && may(role, 'retry') ? [`floe retry ${again.length === 1 ? again[0]?.host : 'HOST'} --reason "…"`] : [];
  return ['push a fix', ...resume, ...abort, ...retry, ...ask].join(', or ');
}

/** Hosts that failed, or a probe that says no: then a resume is not the first thing to think of. */
export function mayBeTheCommit(cause: PauseView['cause'] | undefined): boolean {
  return cause === 'failures' || cause === 'probe';
}

/** What paused a rollout: each host, why it failed, and how its log ended. */
export function pauseInWords({
  failures,
  later,
}: Pick<PauseView, 'failures' | 'later'>): readonly { readonly host: string; readonly text: string }[] {
  return [
    ...failures.map(({ host, reason, log }) => ({
      host,
      text: [reason === '' ? 'no reason was reported' : reason, ...endOfLog(log, reason)].join('\n'),
    })),
    ...later.map(({ host, reason }) => ({ host, text: `failed since it was paused${reason === '' ? '' : `: ${reason}`}` })),
  ];
}

const LOG_LINES = 10;

/** Without what the reason says already. */
function endOfLog(log: string | null, reason: string): readonly string[] {
  const text = log?.trim() ?? '';
  return text === '' || reason.includes(text)
    ? []
    : text
        .split('\n')
        .slice(-LOG_LINES)
        .map((line) => `| ${line}`);
}
