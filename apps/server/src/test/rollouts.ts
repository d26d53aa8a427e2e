import { DEFAULT_POLICY, defaultGates, NO_ORDERS, type RolloutCourse, type RolloutPolicy, type RingPolicy } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { CompleteRollout, CurrentRollout, Evaluation, RolloutDecided } from '@floe/store';
import { RolloutEngine } from '../rollouts/engine.ts';

/** A policy of these rings, each with the default gates of its place. */
export function policyOfRings(names: readonly string[], more: (index: number) => Partial<RingPolicy> = () => ({})): RolloutPolicy {
  const rest = { maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
  const members = { hosts: [], labels: [], share: undefined };
  return {
    ...DEFAULT_POLICY,
    rings: names.map((name, index) => ({ name, members, ...defaultGates(index, names.length), ...rest, ...more(index) })),
  };
}

/** A rollout as the store reads it. */
export function rolloutAt(course: RolloutCourse, policy: RolloutPolicy, changes: Partial<CurrentRollout> = {}): CurrentRollout {
  return {
    id: 'rollout',
    revisionId: 'revision',
    startedAt: 1,
    version: 1,
    state: course.state,
    course,
    policy,
    orders: NO_ORDERS,
    rings: undefined,
    weaker: [],
    ...changes,
  };
}

/** An engine whose store answers this, and to whom nothing else happens. */
export function engineOver(answers: {
  readonly now: number;
  /** False: another server decided meanwhile. */
  readonly save: (decided: RolloutDecided) => boolean;
  readonly evaluations?: (revisionId: string) => readonly Evaluation[];
  readonly lastComplete?: CompleteRollout;
}): RolloutEngine {
  return new RolloutEngine({
    forge: 'github',
    clock: { ...systemClock, now: () => answers.now },
    logger: silentLogger,
    store: {
      rollouts: {
        save: async (decided) => await Promise.resolve(answers.save(decided)),
        completeBefore: async () => await Promise.resolve({ last: answers.lastComplete, lost: undefined }),
        authorsOf: async () => await Promise.resolve(undefined),
      },
      revisions: {
        evaluationsOf: async (ids) =>
          await Promise.resolve(new Map(ids.map((id) => [id, { state: 'PUBLISHED', evaluations: answers.evaluations?.(id) ?? [] }]))),
      },
      decide: async () => await Promise.reject(new Error('nothing waits to begin')),
    },
  });
}
