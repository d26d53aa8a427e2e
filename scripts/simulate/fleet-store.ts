import type { CommitSha } from '@floe/model';
import type { Store } from '@floe/store';
import type { Commit } from './commit.ts';

/** Decisions included: those of a simulation are nobody's. */
type Part<Methods extends { readonly [Group in keyof Store]?: keyof Store[Group] }> = {
  readonly [Group in keyof Methods & keyof Store]: Pick<Store[Group], Methods[Group] & keyof Store[Group]>;
};

/** What the server asks of the store in a simulation: the very methods of the real one. */
export type SimulatedStore = Pick<Store, 'decide'> &
  Part<{
    hosts:
      | 'fleet'
      | 'desire'
      | 'retry'
      | 'pin'
      | 'orderQuarantine'
      | 'liftQuarantine'
      | 'beginTrial'
      | 'endTrial'
      | 'takeSlot'
      | 'connect'
      | 'disconnect'
      | 'disconnectAll'
      | 'ensure'
      | 'enrol'
      | 'revoke'
      | 'forget'
      | 'rename';
    reports: 'store';
    rollouts:
      | 'save'
      | 'begin'
      | 'completeBefore'
      | 'authorsOf'
      | 'order'
      | 'freeze'
      | 'unfreeze'
      | 'stopLabel'
      | 'startLabel'
      | 'claimProbe'
      | 'answerProbe';
    revisions: 'evaluationsOf' | 'get';
  }>;

/** A store, and the pipeline that publishes revisions. */
export interface FleetStore extends AsyncDisposable {
  readonly store: SimulatedStore;
  readonly repositoryId: string;
  /** A revision. It supersedes whatever there was, or waits for it. */
  publish(commit: Commit, at: number): Promise<void>;
}

/** The id of a commit, by its number. */
export function shaOf(sequence: number): CommitSha {
  return sequence.toString(16).padStart(40, '0') as CommitSha;
}

export interface FleetStoreOptions {
  readonly now: () => number;
}

/** The server was killed between two calls of its store. */
export class ServerKilled extends Error {}

/** The same store for a server that may be killed before or after each call: what it had in mind to do next is not done. */
export function killable(store: SimulatedStore, isKilled: () => boolean): SimulatedStore {
  const group = <Group extends object>(methods: Group): Group =>
    new Proxy(methods, {
      get(target, name, receiver) {
        const method: unknown = Reflect.get(target, name, receiver);
        if (typeof method !== 'function') return method;
        return async (...args: readonly unknown[]): Promise<unknown> => {
          if (isKilled()) throw new ServerKilled();
          const result: unknown = await Reflect.apply(method, target, args);
          if (isKilled()) throw new ServerKilled();
          return result;
        };
      },
    });
  const { hosts, reports, rollouts, revisions } = store;
  const { decide } = group({ decide: store.decide });
  return { decide, hosts: group(hosts), reports: group(reports), rollouts: group(rollouts), revisions: group(revisions) };
}
