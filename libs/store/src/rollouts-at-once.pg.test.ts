import { MAX_LABEL_STOPS } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  commit,
  moveRollout,
  newHost,
  newRelease,
  newRepository,
  path,
  publishNext,
  receive,
  toBuilding,
  type World,
  WORLDS,
} from './test/test-store.ts';

// Several write about the rollouts of one repository in the same moment.

/** Each is another chance that they meet. */
const ROUNDS = 6;

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('whoever publishes a commit and whoever begins the one that waited do not wait for each other', async () => {
    const { store } = world;
    for (let round = 0; round < ROUNDS; round += 1) {
      const repository = await newRepository(store);
      for (const sha of ['1', '2', '3', '4']) {
        await publishNext(store, repository, commit(sha), [newHost()]);
        await moveRollout(store, repository.id, 'ROLLING', 60);
      }
      await publishNext(store, repository, commit('5'), [newHost()]);
      const { next } = await store.hosts.fleet(repository.id);
      if (next === undefined) throw new Error('nothing waits');
      // It protects itself no more: the next commit begins at once.
      await moveRollout(store, repository.id, 'PAUSED', 61);
      const six = await receive(store, repository, commit('6'));
      await toBuilding(store, six.id);
      const host = newHost();
      await store.hosts.ensure(repository.id, [host]);
      await Promise.all([store.releases.publish(six.id, [newRelease(six, host, path('six'))], 70), store.rollouts.begin(next, 70)]);
      expect((await store.hosts.fleet(repository.id)).rollout).toMatchObject({ revisionId: six.id });
    }
  });

  test('of people who pause labels, none is taken beyond the limit, where it would pause nobody', async () => {
    const { store } = world;
    const { id } = await newRepository(store);
    const stop = (label: string) => ({ label, by: 'ada', reason: 'moved', at: 1, until: undefined });
    for (let index = 1; index < MAX_LABEL_STOPS; index += 1)
      expect(await store.rollouts.stopLabel(id, stop(`old-${index}`))).toEqual({ replaced: undefined });
    const labels = Array.from({ length: 6 }, (_, index) => `new-${index}`);
    for (let round = 0; round < ROUNDS; round += 1) {
      const taken = await Promise.all(labels.map(async (label) => await store.rollouts.stopLabel(id, stop(label))));
      expect(taken.filter((each) => each !== 'too-many')).toHaveLength(1);
      for (const label of labels) await store.rollouts.startLabel(id, stop(label));
    }
  });
});
