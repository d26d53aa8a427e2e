import type { HostName } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HostStatementStore, SavedHostStatement } from './host-statement-contract.ts';
import { newHost, newRepository, type World, WORLDS } from './test/test-store.ts';

describe.each(WORLDS)('signed words about hosts, on $name', ({ open }) => {
  let world: World;
  let repositoryId: string;
  beforeAll(async () => {
    world = await open();
    repositoryId = (await newRepository(world.store)).id;
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function enrolled(): Promise<HostName> {
    const host = newHost();
    await world.store.hosts.enrol({ host, repositoryId, machineId: 'm', publicKey: `key of ${host}`, at: 1 });
    return host;
  }

  /** Of these hosts, page by page. */
  async function all(limit: number, hosts: readonly HostName[]): Promise<string[]> {
    const found: string[] = [];
    for (let after: Parameters<HostStatementStore['page']>[1]; ;) {
      const page = await world.store.hostStatements.page(limit, after);
      found.push(...page.filter(({ host }) => hosts.includes(host)).map(({ kind, epoch, envelope }) => `${kind} ${epoch} ${envelope}`));
      after = page.at(-1);
      if (page.length < limit) return found;
    }
  }

  test('in whatever order and batches they come, the newest of each directive stays, and of directives the newest 16', async () => {
    const Said = fc.record({ kind: fc.constantFrom('newest' as const, 'end' as const, 'permit' as const), epoch: fc.nat(24), seq: fc.nat(5) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(Said, { maxLength: 12 }), { maxLength: 8 }), fc.integer({ min: 1, max: 7 }), async (batches, limit) => {
        const host = await enrolled();
        const kept = new Map<string, { readonly kind: string; readonly epoch: number; readonly seq: number; readonly envelope: string }>();
        let count = 0;
        for (const batch of batches) {
          const rows = batch.map(({ kind, epoch, seq }): SavedHostStatement => {
            const row = { kind, epoch: kind === 'newest' ? 0 : epoch, seq, envelope: `${seq} ${(count += 1)}` };
            const key = `${kind} ${row.epoch}`;
            if ((kept.get(key)?.seq ?? -1) <= seq) kept.set(key, row);
            return { ...row, host, publicKey: 'one', at: 1 };
          });
          await world.store.hostStatements.save(rows);
          for (const kind of ['end', 'permit'])
            for (const old of [...kept.values()]
              .filter((each) => each.kind === kind)
              .toSorted((one, other) => other.epoch - one.epoch)
              .slice(16))
              kept.delete(`${kind} ${old.epoch}`);
        }
        const expected = [...kept.values()].map(({ kind, epoch, envelope }) => `${kind} ${epoch} ${envelope}`);
        expect((await all(limit, [host])).toSorted()).toEqual(expected.toSorted());
      }),
      { numRuns: 25 },
    );
  });

  test('of another key begin again, are nobody’s without a host, and go with it', async () => {
    const host = await enrolled();
    const say = async (of: HostName, publicKey: string, seq: number): Promise<void> =>
      await world.store.hostStatements.save([{ host: of, kind: 'newest', epoch: 0, seq, publicKey, envelope: `${publicKey} ${seq}`, at: 1 }]);
    await say(host, 'one', 7);
    await say(host, 'one', 6);
    expect(await all(100, [host])).toEqual(['newest 0 one 7']);
    await say(host, 'two', 1);
    expect(await all(100, [host])).toEqual(['newest 0 two 1']);
    const stranger = newHost();
    await say(stranger, 'one', 1);
    expect(await all(100, [stranger])).toEqual([]);
  });
});
