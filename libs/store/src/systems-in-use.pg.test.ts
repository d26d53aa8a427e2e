import type { StorePath } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  commit,
  moveRollout,
  newHost,
  newRelease,
  newRepository,
  observed,
  path,
  presence,
  publishNext,
  receive,
  toBuilding,
  unique,
  type World,
  WORLDS,
} from './test/test-store.ts';

describe.each(WORLDS)('the systems that are in use, on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('of each host what it has, is told, is kept on, and what is on its way; nothing older', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    const inUse = async (): Promise<string[]> =>
      [...(await store.releases.systemsInUse(repository.id))].filter((each) => each.includes(`-${host}-`)).toSorted();
    const system = (name: number | string): StorePath => path(`${host}-${name}`);

    await store.hosts.ensure(repository.id, [host]);
    await store.hosts.enrol({ host, repositoryId: repository.id, machineId: unique('m'), publicKey: unique('key'), at: 1 });
    for (let n = 1; n <= 6; n += 1) {
      await publishNext(store, repository, commit(String(n)), [host]);
      if (n === 1) await moveRollout(store, repository.id, 'COMPLETE', 60);
    }
    // The first is stable; the newest three can be gone back to.
    expect(await inUse()).toEqual([1, 4, 5, 6].map(system));

    await store.hosts.connect(host, presence({ observed: { ...observed(system('local')), booted: system('booted') } }));
    const second = (await store.revisions.byShaPrefix(repository.id, commit('2'))).map(async (each) => await store.releases.ofRevision(each, host));
    const release = (await Promise.all(second))[0];
    if (release === undefined) throw new Error('the second commit has no release');
    await store.hosts.pin({ host, kind: 'pin', releaseId: release.id, reason: '', by: 'ada', isPermitted: true, at: 1, expiresAt: undefined });
    expect(await inUse()).toEqual([...[1, 2, 4, 5, 6].map(system), system('booted'), system('local')].toSorted());

    // What is evaluated or built already will be needed; so will what was submitted.
    const building = await receive(store, repository, commit('7'));
    await toBuilding(store, building.id);
    await store.revisions.saveEvaluations(building.id, [{ host, outcome: 'CHANGED', toplevel: system('building'), system: 'x86_64-linux' }]);
    await store.submissions.request({
      repositoryId: repository.id,
      host,
      toplevel: system('submitted'),
      by: 'ada',
      reason: '',
      at: 1,
      expiresAt: undefined,
    });
    const requested = await store.handovers.request({
      repositoryId: repository.id,
      contentHash: unique('content'),
      commit: undefined,
      by: 'ci',
      person: 'ci',
      at: 1,
      systems: new Map([[host, system('handover')]]),
    });
    expect(await inUse()).toEqual(expect.arrayContaining(['building', 'submitted', 'handover'].map(system)));
    // Also when it is a revision, which waits until the one before it is built.
    const id = requested.kind === 'requested' ? requested.id : '';
    const about = { sha: commit('8'), subject: '', authorName: '', authorEmail: '', committedAt: 1 };
    expect(await store.handovers.take(id, about, await store.handovers.systems(id), 2)).toMatchObject({ state: 'RECEIVED' });
    expect(await inUse()).toContain(system('handover'));

    await store.hosts.unpin(host, 'pin');
    await store.releases.handOut(building.id, [newRelease(building, host, system('building'))], 70);
    expect(await inUse()).toEqual([...[1, 5, 6].map(system), ...['booted', 'building', 'handover', 'local', 'submitted'].map(system)].toSorted());
  });
});
