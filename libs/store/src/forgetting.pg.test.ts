import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commit, newHost, newRepository, path, publishNext, type World, WORLDS } from './test/test-store.ts';

describe.each(WORLDS)('a host that was forgotten, on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('and is enrolled again does not get what a person quarantined on it', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    const enrolment = { host, repositoryId: repository.id, machineId: 'm', publicKey: 'key' };
    await store.hosts.enrol({ ...enrolment, at: 1 });
    const revision = await publishNext(store, repository, commit('1'), [host]);
    const toplevel = path(`${host}-${revision.sequence}`);
    await store.revisions.saveEvaluations(revision.id, [{ host, outcome: 'CHANGED', toplevel, system: 'x86_64-linux' }]);
    const order = { repositoryId: repository.id, host, commit: revision.sha };
    await store.hosts.orderQuarantine({ ...order, by: 'ada', reason: 'its card hangs', at: 5 });
    const ordered = async () => (await store.hosts.fleet(repository.id, [host])).hosts[0]?.situation.ordered?.get(toplevel);
    expect(await ordered()).toMatchObject({ by: 'ada', reason: 'its card hangs' });
    await store.hosts.revoke(host, 60);
    expect(await store.hosts.forget(host)).toBe(true);
    await store.hosts.enrol({ ...enrolment, publicKey: 'another key', at: 70 });
    expect(await ordered()).toMatchObject({ by: 'ada', reason: 'its card hangs' });
    expect(await store.hosts.liftQuarantine(order)).toBe(true);
    expect(await ordered()).toBeUndefined();
  });
});
