import { isFirstChanging, type RolloutCourse } from './course.ts';
import type { RolloutFacts } from './facts.ts';
import type { RingProbe, RolloutPolicy } from './policy.ts';
import type { ProbeAnswer, StoredAnswer } from './probe-answer.ts';

/** Without an answer so often in a row, a rollout pauses: nobody is watching it. */
export const MAX_PROBE_TRIES = 10;
/** One that gave no answer is asked again at the latest after this time. */
const RETRY_MS = 60_000;

/** The probes of the ring at `of`. The first ring that changes has those of the first ring, too: a commit must not get past them. */
export function probesOf({ rings }: RolloutPolicy, course: Pick<RolloutCourse, 'ring' | 'provedRing'>, of = course.ring): readonly RingProbe[] {
  const own = rings[of]?.probes ?? [];
  const first = isFirstChanging(course, of) && of !== 0 ? (rings[0]?.probes ?? []) : [];
  return [...Map.groupBy([...own, ...first], ({ name }) => name)].map(([name, some]) => ({
    name,
    everyMs: Math.min(...some.map(({ everyMs }) => everyMs)),
  }));
}

type ProbeFacts = Pick<RolloutFacts, 'policy' | 'probes'>;

/** Its hosts change, or it soaks: meanwhile its probes are asked. */
export function isProbing({ state }: Pick<RolloutCourse, 'state'>): boolean {
  return state === 'ROLLING' || state === 'SOAKING';
}

/** The last answer of a probe about the ring at which the rollout is; undefined: none that counts. */
export function answerOf({ ring }: Pick<RolloutCourse, 'ring'>, { probes }: Pick<RolloutFacts, 'probes'>, name: string): StoredAnswer | undefined {
  return probes.find((each) => each.ring === ring && each.name === name && !each.isAcknowledged);
}

/** The answers that pause the rollout. */
export function stoppingAnswers(course: RolloutCourse, facts: ProbeFacts): readonly ProbeAnswer[] {
  if (!isProbing(course)) return [];
  const answers = probesOf(facts.policy, course).flatMap(({ name }) => answerOf(course, facts, name) ?? []);
  return answers
    .filter(({ verdict, tries }) => verdict === 'bad' || (verdict === 'unknown' && tries >= MAX_PROBE_TRIES))
    .map(({ name, number, verdict, value, max, min, detail }) => ({ name, number, verdict, value, max, min, detail }))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** All probes of the ring said, since `after`, that all is well. An answer from a clock that was ahead says nothing of now. */
export function hasGoodAnswers(course: RolloutCourse, facts: ProbeFacts, after: number, now: number): boolean {
  return probesOf(facts.policy, course).every(({ name }) => {
    const answer = answerOf(course, facts, name);
    return answer?.verdict === 'good' && after <= answer.askedAt && answer.askedAt <= now;
  });
}

/** When a probe is to be asked, ms. */
export interface ProbeDue {
  readonly name: string;
  readonly at: number;
}

/**
 * When each probe of the ring is to be asked next: again and again while the ring rolls and soaks, and once when the soak is over, at
 * `soakEnd`. Pure.
 */
export function dueProbes(course: RolloutCourse, facts: ProbeFacts, soakEnd: number, now: number): readonly ProbeDue[] {
  if (!isProbing(course)) return [];
  return probesOf(facts.policy, course).map(({ name, everyMs }) => {
    const answer = answerOf(course, facts, name);
    if (answer === undefined || answer.askedAt > now) return { name, at: now };
    const again = answer.askedAt + (answer.verdict === 'unknown' ? Math.min(everyMs, RETRY_MS) : everyMs);
    const isBeforeEnd = course.state === 'SOAKING' && answer.askedAt < soakEnd;
    return { name, at: isBeforeEnd ? Math.min(again, Math.max(soakEnd, answer.askedAt)) : again };
  });
}
