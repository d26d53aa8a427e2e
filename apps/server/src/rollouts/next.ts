import { failuresOf, nextRollout, type NextAnswer, type NextRollout, type RolloutFacts } from '@floe/model';
import type { CurrentRollout, Fleet, NextOfFleet } from '@floe/store';

/** Whether the revision that waits begins now; `rollout`: the one that hosts follow. One that cannot be read holds up nobody. */
export function judgeNext(
  rollout: CurrentRollout | undefined,
  facts: RolloutFacts | undefined,
  next: NextRollout & Pick<NextOfFleet, 'superseded'>,
  now: number,
): NextAnswer {
  if (rollout === undefined || facts === undefined || rollout.unreadable !== undefined) return { kind: 'begins' };
  const { course } = rollout;
  const hasFailures = failuresOf(course, facts).length > 0;
  return nextRollout({ state: course.state, hasFailures, superseded: next.superseded }, next, now);
}

/** Of the revision that waits: what for. */
export type Waits = Extract<NextAnswer, { kind: 'waits' }>;

/** Undefined: none waits, or it is about to begin. */
export function waitsOf({ rollout, next }: Fleet, facts: RolloutFacts | undefined, now: number): Waits | undefined {
  if (next === undefined) return undefined;
  const answer = judgeNext(rollout, facts, next, now);
  return answer.kind === 'waits' ? answer : undefined;
}
