import { MAX_WAITING_HANDOVERS, MAX_WAITING_HANDOVERS_OF_ONE, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Revision, Repository } from './records.ts';
import {
  FIRST_RING,
  commit,
  moveRollout,
  newHost,
  newRelease,
  newRepository,
  path,
  publishNext,
  receive,
  toBuilding,
  unique,
  type World,
  WORLDS,
} from './test/test-store.ts';

describe.each(WORLDS)('handovers on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  const systems = (host: HostName): ReadonlyMap<HostName, StorePath> => new Map([[host, path('system')]]);
  let clock = 0;
  async function request(repository: Repository, contentHash: string, host = newHost(), person = 'ada'): Promise<string> {
    clock += 1;
    const asked = { repositoryId: repository.id, contentHash, by: 'ci', person, at: 100 + clock, systems: systems(host) };
    const requested = await world.store.handovers.request(asked);
    if (requested.kind !== 'requested') throw new Error(`too many of ${requested.whose} wait`);
    return requested.id;
  }
  const ABOUT = { subject: '1 system', authorName: 'ci', authorEmail: '', committedAt: 1 };
  async function take(id: string): Promise<Revision | 'busy' | 'moved' | undefined> {
    const sha = unique('').padStart(24, 'a').padEnd(40, '0') as CommitSha;
    return await world.store.handovers.take(id, { ...ABOUT, sha }, await world.store.handovers.systems(id), 200);
  }
  async function taken(id: string): Promise<Revision> {
    const revision = await take(id);
    if (typeof revision !== 'object') throw new Error('it is not taken');
    return revision;
  }
  async function publish(revision: Revision): Promise<void> {
    await toBuilding(world.store, revision.id);
    await world.store.releases.publish(revision.id, [], 300);
  }

  test('one becomes the newest revision, once, with what is known of its systems', async () => {
    const { handovers, revisions } = world.store;
    const repository = await newRepository(world.store);
    const host = newHost();
    const id = await request(repository, 'one', host);
    expect(await handovers.waiting(repository.id)).toMatchObject([{ id, state: 'WAITING', by: 'ci', person: 'ada', contentHash: 'one' }]);
    const known = new Map([[host, { toplevel: path('system'), system: 'x86_64-linux' }]]);
    const revision = await handovers.take(id, { ...ABOUT, sha: commit('b') }, known, 200);
    expect(revision).toMatchObject({ sequence: 1, state: 'RECEIVED', handoverId: id, sha: commit('b') });
    expect(await take(id)).toBeUndefined();
    expect(await handovers.get(id)).toMatchObject({ state: 'TAKEN', endedAt: 200 });
    expect(await handovers.systems(id)).toEqual(known);
    expect(await revisions.newest(repository.id)).toMatchObject({ handoverId: id });
    expect(await revisions.newestOfBranch(repository.id)).toBeUndefined();
    expect(await handovers.revisionOf(id)).toBe((revision as Revision).id);
    // It says nothing of the branch.
    expect((await world.store.repositories.get(repository.id)).acceptedCommit).toBeUndefined();
  });

  test('of several at once one is stored, and each gets its own sequence', async () => {
    const repository = await newRepository(world.store);
    const host = newHost();
    const ids = await Promise.all(Array.from({ length: 5 }, async () => await request(repository, 'same', host)));
    expect(new Set(ids).size).toBe(1);
    const [one, two] = [await request(repository, 'one'), await request(repository, 'two')];
    const revisions = await Promise.all([take(one), take(two), take(one)]);
    const made = revisions.flatMap((each) => (typeof each === 'object' ? [each.sequence] : []));
    expect(made.toSorted((left, right) => left - right)).toEqual([1, 2]);
  });

  test('the same again is no other one while it waits or is the newest; after something newer, or a failure, it is', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const first = await request(repository, 'a');
    expect(await request(repository, 'a')).toBe(first);
    const revision = await taken(first);
    expect(await request(repository, 'a')).toBe(first);
    await publish(revision);
    expect(await request(repository, 'a')).toBe(first);
    const other = await request(repository, 'b');
    await publish(await taken(other));
    const back = await request(repository, 'a');
    expect(back).not.toBe(first);
    await store.revisions.advance((await taken(back)).id, 'refused', 1, 'why');
    expect(await request(repository, 'a')).not.toBe(back);
    const refused = await request(repository, 'c');
    const entry = { at: 1, actor: 'floe', action: 'submit-release', subject: 'x', detail: 'why' };
    expect(await store.handovers.refuse(refused, 'why', 5, entry)).toBe(true);
    expect(await store.handovers.refuse(refused, 'why', 5, entry)).toBe(false);
    expect(await request(repository, 'c')).not.toBe(refused);
    // A push in between is newer, too.
    const last = await request(repository, 'd');
    await publish(await taken(last));
    await publishNext(store, repository, commit('e'), []);
    expect(await request(repository, 'd')).not.toBe(last);
  });

  test('it waits while two revisions are unfinished, and the oldest is worked on first', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const running = await receive(store, repository, commit('1'));
    const [one, two] = [await request(repository, 'one'), await request(repository, 'two')];
    const first = await taken(one);
    expect(await take(two)).toBe('busy');
    expect((await store.revisions.nextUnfinished(repository.id))?.id).toBe(running.id);
    // A push supersedes the commit, and not what was submitted.
    const pushed = await receive(store, repository, commit('2'));
    expect(await store.revisions.get(running.id)).toMatchObject({ state: 'SUPERSEDED', supersededBy: commit('2') });
    expect(await store.revisions.get(first.id)).toMatchObject({ state: 'RECEIVED' });
    expect((await store.revisions.nextUnfinished(repository.id))?.id).toBe(first.id);
    await publish(first);
    expect((await store.revisions.nextUnfinished(repository.id))?.id).toBe(pushed.id);
    expect((await taken(two)).sequence).toBe(pushed.sequence + 1);
  });

  test('the head of the branch is not taken in again for it, but where it had to give way to it', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const head = await publishNext(store, repository, commit('1'), []);
    await publish(await taken(await request(repository, 'one')));
    expect((await receive(store, repository, commit('1'))).id).toBe(head.id);
    const failing = await receive(store, repository, commit('2'));
    const submitted = await taken(await request(repository, 'two'));
    await store.revisions.supersede(failing.id, submitted.sha, 5);
    const again = await receive(store, repository, commit('2'));
    expect(again).toMatchObject({ sequence: submitted.sequence + 1, state: 'RECEIVED' });
  });

  test('so many wait at most, of all and of one person', async () => {
    const repository = await newRepository(world.store);
    const people = Array.from({ length: MAX_WAITING_HANDOVERS / MAX_WAITING_HANDOVERS_OF_ONE }, (_, n) => `p${n}`);
    for (const person of people) {
      for (let n = 0; n < MAX_WAITING_HANDOVERS_OF_ONE; n += 1) await request(repository, `${person} ${n}`, newHost(), person);
      await expect(request(repository, 'more', newHost(), person)).rejects.toThrow('too many of own wait');
    }
    await expect(request(repository, 'more', newHost(), 'eve')).rejects.toThrow('too many of all wait');
    const again = await request(repository, 'p0 0');
    // What was refused keeps no place, and none of its systems.
    expect((await world.store.handovers.systems(again)).size).toBe(1);
    await world.store.handovers.refuse(again, 'not valid', 500, { at: 500, actor: 'floe', action: 'submit-release', subject: 'x', detail: '' });
    expect((await world.store.handovers.systems(again)).size).toBe(0);
    expect(await request(repository, 'more', newHost(), 'p0')).toBeDefined();
  });

  test.each(['given way', 'refused'] as const)('a commit that was %s before what was submitted was complete has its author still', async (fate) => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    await publishNext(store, repository, commit('1'), [host]);
    await moveRollout(store, repository.id, 'COMPLETE', 5);
    const push = { before: commit('1'), after: commit('2'), pusher: 'mallory', outcome: 'accepted', receivedAt: 1 };
    await store.deliveries.record({ id: unique('push'), forge: 'github', event: 'push', repositoryId: repository.id, ...push });
    const earlier = await receive(store, repository, commit('2'));
    if (fate === 'refused') {
      await store.revisions.advance(earlier.id, 'accepted', 6);
      await store.revisions.advance(earlier.id, 'refused', 6, 'below the floor');
    }
    const submitted = await taken(await request(repository, 'one', host));
    if (fate === 'given way') await store.revisions.supersede(earlier.id, submitted.sha, 7);
    await toBuilding(store, submitted.id);
    await store.releases.publish(submitted.id, [newRelease(submitted, host, path('new'))], 300);
    await moveRollout(store, repository.id, 'COMPLETE', 8);
    const head = fate === 'refused' ? commit('3') : commit('2');
    if (fate === 'refused') {
      const fix = { ...push, before: commit('2'), after: head, pusher: 'bob' };
      await store.deliveries.record({ id: unique('push'), forge: 'github', event: 'push', repositoryId: repository.id, ...fix });
    }
    const later = await publishNext(store, repository, head, [host]);
    expect((await store.rollouts.authorsOf(later.id, 'github', FIRST_RING))?.pushers).toEqual(fate === 'refused' ? ['bob', 'mallory'] : ['mallory']);
  });

  test('whoever submitted since the last complete rollout is an author, until that is complete', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    const authors = async () => (await store.hosts.fleet(repository.id)).rollout?.people;
    const ask = async (): Promise<void> => {
      const { rollout } = await store.hosts.fleet(repository.id);
      if (rollout === undefined) throw new Error('no rollout');
      const known = await store.rollouts.authorsOf(rollout.revisionId, 'github', FIRST_RING);
      const { id, version, course } = rollout;
      expect(await store.rollouts.save({ id, version, course, authors: known }, 5, [])).toBe(true);
    };
    await publishNext(store, repository, commit('1'), [host]);
    await moveRollout(store, repository.id, 'COMPLETE', 5);
    const revision = await taken(await request(repository, 'one', host));
    await toBuilding(store, revision.id);
    await store.releases.publish(revision.id, [newRelease(revision, host, path('new'))], 300);
    await ask();
    // Nothing was pushed since: all authors are known.
    expect(await authors()).toMatchObject({ authors: ['ada'], isUntold: false });
    await moveRollout(store, repository.id, 'COMPLETE', 6);
    const later = await taken(await request(repository, 'two', host));
    await toBuilding(store, later.id);
    await store.releases.publish(later.id, [newRelease(later, host, path('newer'))], 400);
    await ask();
    expect(await authors()).toMatchObject({ authors: ['ada'], isUntold: false });
    await moveRollout(store, repository.id, 'COMPLETE', 7);
    await publishNext(store, repository, commit('3'), [host]);
    await ask();
    // A push that no forge told of: who pushed is not known.
    expect(await authors()).toMatchObject({ authors: [], isUntold: true });
  });

  test('old ones go with their revisions', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const used = await request(repository, 'used');
    await publish(await taken(used));
    const refused = await request(repository, 'refused');
    const entry = { at: 1, actor: 'floe', action: 'submit-release', subject: 'x', detail: 'why' };
    await store.handovers.refuse(refused, 'why', 5, entry);
    const waiting = await request(repository, 'waiting');
    await store.handovers.prune(1_000);
    expect(await store.handovers.get(refused)).toBeUndefined();
    expect(await store.handovers.get(used)).toBeDefined();
    expect(await store.handovers.get(waiting)).toBeDefined();
  });
});
