import type { HostName, RolloutState } from '@floe/model';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Repository } from './records.ts';
import { commit, moveRollout, newHost, newRepository, path, publishNext, type World, WORLDS } from './test/test-store.ts';

// What somebody asks of a rollout was judged by what it was at. It is stored for that, or not at all.

describe.each(WORLDS)('an order of a rollout, on $name', ({ open }) => {
  let world: World;
  let repository: Repository;
  let host: HostName;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());
  beforeEach(async () => {
    repository = await newRepository(world.store);
    host = newHost();
    await publishNext(world.store, repository, commit('1'), [host]);
  });

  const by = { role: 'operator', by: 'ada', reason: 'it breaks the VPN', at: 6 } as const;
  async function readRollout() {
    const { rollout } = await world.store.hosts.fleet(repository.id);
    if (rollout === undefined) throw new Error('it was published');
    return rollout;
  }

  test.each<RolloutState>(['COMPLETE', 'SUPERSEDED', 'SOAKING'])('is not stored of one that was %s by then', async (state) => {
    const { rollouts } = world.store;
    const { id, version } = await readRollout();
    await moveRollout(world.store, repository.id, state, 7);
    expect(await rollouts.order({ rolloutId: id, version, kind: 'abort', ...by })).toBe(false);
    const now = await readRollout();
    expect(now.orders.abort).toBeUndefined();
    expect(await rollouts.order({ rolloutId: id, version: now.version, kind: 'abort', ...by })).toBe(true);
  });

  test('is heard by whoever was deciding meanwhile', async () => {
    const { rollouts } = world.store;
    const { id, version, course } = await readRollout();
    expect(await rollouts.order({ rolloutId: id, version, kind: 'abort', ...by })).toBe(true);
    expect(await rollouts.save({ id, version, course: { ...course, state: 'COMPLETE', since: 7 } }, 7, [])).toBe(false);
    expect(await readRollout()).toMatchObject({ state: course.state, orders: { abort: { by: 'ada' } } });
  });

  test('of two that were judged at once, one is stored', async () => {
    const { rollouts } = world.store;
    const { id, version } = await readRollout();
    const both = await Promise.all(
      ['ada', 'bob'].map(async (name) => await rollouts.order({ rolloutId: id, version, kind: 'hotfix', ...by, by: name })),
    );
    expect(new Set(both)).toEqual(new Set([true, false]));
  });

  test('that acknowledges a failure is for that one: after a retry the next one counts', async () => {
    const { hosts, rollouts } = world.store;
    const [toplevel, other] = [path('failed'), path('other')];
    for (const each of [toplevel, other]) await hosts.quarantine(host, each, 'no printer', 5);
    const acknowledged = [toplevel, other].map((each) => ({ host, toplevel: each }));
    await rollouts.order({ rolloutId: (await readRollout()).id, kind: 'resume', acknowledged, ...by });
    const seen = async () => (await hosts.fleet(repository.id, [host])).hosts[0]?.acknowledged;
    expect(await seen()).toEqual(new Set([toplevel, other]));
    await hosts.retry(host, toplevel);
    expect(await seen()).toEqual(new Set([other]));
  });
});
