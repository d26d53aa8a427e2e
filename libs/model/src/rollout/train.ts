import type { RolloutState } from '../rollout-state.ts';

/** After so many supersessions in a row, or so long without a rollout that ended, the one that is under way is finished first. */
export const TRAIN = { supersessions: 3, ms: 24 * 3_600_000 } as const;

/** The rollouts in a row that a newer revision superseded, up to the one that hosts follow. */
export interface SupersededInARow {
  readonly count: number;
  /** When the first of them began; without any, when the one that hosts follow did. */
  readonly since: number;
}

/** A published revision whose rollout has not begun. */
export interface NextRollout {
  /** Since when it, or one whose place it took, waits for the train. */
  readonly since: number;
  /** It has a release that the rollout which hosts follow does not have. */
  readonly hasNews: boolean;
  /** An administrator wants it at once. */
  readonly isHotfix: boolean;
}

/** The rollout that hosts follow. */
export interface RunningRollout {
  readonly state: RolloutState;
  /** A host that it reached failed, and nobody has resumed after that. */
  readonly hasFailures: boolean;
  readonly superseded: SupersededInARow;
}

/** Whether the next rollout begins, and if not, why. */
export type NextAnswer =
  | { readonly kind: 'begins' }
  /** The one that hosts follow is finished first: until then at the latest. */
  | { readonly kind: 'waits'; readonly for: 'train'; readonly until: number }
  /** It has nothing new: it is over with the one that hosts follow. */
  | { readonly kind: 'waits'; readonly for: 'same' };

/**
 * Usually a newer revision begins at once. Where they come faster than rollouts end, nobody but the first ring would ever get one: then
 * the rollout that is under way is a train that runs to its end. It is protected only while it gets on, and for a day; a hotfix does not
 * wait. A revision without a new release supersedes nothing by itself: nothing that was shown so far would be shown again by somebody else.
 */
export function nextRollout({ state, hasFailures, superseded }: RunningRollout, next: NextRollout, now: number): NextAnswer {
  if (state === 'COMPLETE' || state === 'SUPERSEDED') return { kind: 'begins' };
  // What it loosens or tightens may be wanted at once: then an administrator says so.
  if (!next.hasNews && !next.isHotfix) return { kind: 'waits', for: 'same' };
  if (!mayBeTrain(state, superseded, next.since) || hasFailures || next.isHotfix) return { kind: 'begins' };
  // A time from a clock that was ahead counts from now.
  const until = Math.min(next.since, now) + TRAIN.ms;
  return now < until ? { kind: 'waits', for: 'train', until } : { kind: 'begins' };
}

/** Whether a rollout in this state is finished first, as far as that does not depend on its hosts. `at`: when the next one came. */
export function mayBeTrain(state: RolloutState, { count, since }: SupersededInARow, at: number): boolean {
  return (state === 'ROLLING' || state === 'SOAKING') && (count >= TRAIN.supersessions || at - since >= TRAIN.ms);
}
