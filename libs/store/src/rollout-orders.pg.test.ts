import type { HostName, RolloutState } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CurrentRollout, Repository } from './records.ts';
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

  test('is stored exactly where nobody wrote since it was judged, and nobody decides without having seen it', async () => {
    const { rollouts } = world.store;
    const anyMove = fc.tuple(fc.constantFrom('look', 'look', 'order', 'order', 'save', 'save', 'publish', 'all'), fc.nat({ max: 2 }));
    await fc.assert(
      fc.asyncProperty(fc.array(anyMove, { minLength: 8, maxLength: 16 }), async (moves) => {
        repository = await newRepository(world.store);
        const own = newHost();
        let commits = 1;
        await publishNext(world.store, repository, commit('1'), [own]);
        // Who looked at it, and has not written since: people, and servers that decide.
        const seen = new Map<number, { readonly rollout: CurrentRollout; readonly after: number }>();
        const stored: string[] = [];
        let orders = 0;
        /** How often anybody wrote. */
        let written = 0;
        const namesOf = ({ orders: { approvals } }: CurrentRollout): readonly string[] => approvals.map(({ by: name }) => name);
        const giveOrder = async ({ id, version }: CurrentRollout): Promise<boolean> => {
          orders += 1;
          const name = `p${orders}`;
          const isStored = await rollouts.order({ rolloutId: id, version, kind: 'approve', ...by, by: name });
          if (isStored) stored.push(name);
          return isStored;
        };
        const save = async ({ id, version, course }: CurrentRollout): Promise<boolean> =>
          await rollouts.save({ id, version, course: { ...course, since: course.since + 1 } }, 7, []);
        for (const who of [0, 1, 2]) seen.set(who, { rollout: await readRollout(), after: 0 });
        for (const [what, who] of moves) {
          const judged = seen.get(who);
          if (what === 'look') seen.set(who, { rollout: await readRollout(), after: written });
          else if (what === 'publish') {
            [commits, written] = [commits + 1, written + 1];
            await publishNext(world.store, repository, commit(String(commits % 10)), [own]);
            stored.length = 0;
          } else if (what === 'all') {
            // Whoever has looked writes, all at the same moment: one of those that saw the newest, and nobody else.
            const isTaken = await Promise.all(
              [...seen].map(async ([each, { rollout }]) => await (each % 2 === 0 ? giveOrder(rollout) : save(rollout))),
            );
            const mayWrite = [...seen.values()].map(({ after }) => after === written);
            expect(isTaken.filter(Boolean)).toHaveLength(mayWrite.includes(true) ? 1 : 0);
            expect(mayWrite[isTaken.indexOf(true)] ?? true).toBe(true);
            if (isTaken.includes(true)) written += 1;
          } else if (judged !== undefined) {
            const isTaken = await (what === 'order' ? giveOrder(judged.rollout) : save(judged.rollout));
            expect(isTaken).toBe(judged.after === written);
            if (isTaken) written += 1;
            // No order is overlooked: who decides has seen all that are stored.
            if (isTaken && what === 'save') expect(namesOf(judged.rollout)).toEqual(stored);
          }
          expect(namesOf(await readRollout())).toEqual(stored);
        }
      }),
      { numRuns: Math.max(15, Math.round((fc.readConfigureGlobal().numRuns ?? 0) / 20)) },
    );
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
