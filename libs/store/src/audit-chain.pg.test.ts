import type { AuditHead } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type World, WORLDS } from './test/test-store.ts';

// Who changes, removes, moves or adds an entry of the audit log in the database is found, with the first entry that does not fit.

const DAY_MS = 24 * 3600_000;
const NOBODY = { prunedBefore: 0, heads: [] as AuditHead[] };

describe.each(WORLDS)('the chain of the audit log on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function fill(count: number): Promise<readonly number[]> {
    const { audit } = world.store;
    for (let n = 0; n < count; n += 1) {
      if (n % 4 === 3) await audit.countRefusals({ at: n, actor: `viewer-${n % 8}`, action: 'retry', subject: 'ada', detail: 'may not' }, 2);
      else await audit.append({ at: n, actor: 'ada', action: 'pin', subject: `ws${n}`, detail: 'why' });
    }
    return (await audit.list({ limit: 1_000 })).map(({ id }) => id).toReversed();
  }

  test('holds for what several append at once, refusals that are counted included', async () => {
    const { audit } = world.store;
    await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        const entry = { at: n, actor: 'ada', action: 'retry', subject: '', detail: String(n) };
        await (n % 2 === 0 ? audit.append(entry) : audit.countRefusals(entry, 1));
      }),
    );
    expect(await audit.check(NOBODY)).toMatchObject({ entries: 16, broken: undefined, head: await audit.head() });
    const head = await audit.head();
    expect(await audit.check({ prunedBefore: 0, heads: head === undefined ? [] : [head] })).toMatchObject({ broken: undefined });
  });

  test('names the first entry that somebody changed, removed, moved or added', async () => {
    const { query, store } = world;
    if (query === undefined) return;
    const anyTampering = fc.record({
      what: fc.constantFrom('change', 'remove', 'swap', 'add', 'unchain', 'cut-beginning', 'cut-end', 'change-refusal'),
      column: fc.constantFrom("actor = actor || 'x'", "action = 'unpin'", "subject = ''", "detail = detail || '.'", 'at = at + 1'),
      at: fc.nat(9),
    });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 3, max: 10 }), anyTampering, async (count, { what, column, at }) => {
        await query('truncate audit_log');
        const ids = await fill(count);
        const head = await store.audit.head();
        if (head === undefined) throw new Error('there is a head');
        const heads = [head];
        expect((await store.audit.check({ prunedBefore: 0, heads })).broken).toBeUndefined();
        const index = at % ids.length;
        const [id = 0, next, last = 0] = [ids[index], ids[index + 1], ids.at(-1)];
        const isRefusal = ((await query(`select refused_on from audit_log where id = ${id}`))[0]?.['refused_on'] ?? null) !== null;
        let expected: number | undefined;
        switch (what) {
          case 'change':
            // Of a refusal the last subject and text are not chained.
            if (isRefusal && /subject|detail/.test(column)) return;
            await query(`update audit_log set ${column} where id = ${id}`);
            expected = id;
            break;
          case 'change-refusal':
            if (!isRefusal) return;
            await query(`update audit_log set refused_on = refused_on + 1 where id = ${id}`);
            expected = id;
            break;
          case 'remove':
            await query(`delete from audit_log where id = ${id}`);
            expected = next ?? last;
            break;
          case 'swap':
            if (next === undefined) return;
            await query(`create temp table moved as select * from audit_log where id in (${id}, ${next})`);
            await query(`delete from audit_log where id in (${id}, ${next})`);
            await query(`insert into audit_log overriding system value
              select case when id = ${id} then ${next} else ${id} end, at, actor, action, subject, detail, refused_on, count, last_at, hash from moved`);
            await query('drop table moved');
            expected = id;
            break;
          case 'add':
            await query(`insert into audit_log (at, actor, action, subject, detail, hash) values (1, 'eve', 'pin', '', '', repeat('0', 64))`);
            expected = last + 1;
            break;
          case 'unchain':
            await query(`update audit_log set hash = null where id = ${id}`);
            // The first one looks like one from before there was a chain, but then the chain has no beginning.
            expected = index === 0 ? (next ?? last) : id;
            break;
          case 'cut-beginning':
            if (next === undefined) return;
            await query(`delete from audit_log where id <= ${id}`);
            expected = next;
            break;
          case 'cut-end':
            await query(`delete from audit_log where id >= ${id}`);
            expected = last;
            break;
        }
        const { broken } = await store.audit.check({ prunedBefore: 0, heads });
        if (what === 'add') expect(broken?.why).toBe('changed');
        else expect(broken?.id, `${what} of ${ids.join(' ')} at ${id}`).toBe(expected);
      }),
      { numRuns: Math.max(60, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
    );
  });

  test('holds when old entries are removed, also with entries of clocks that were wrong', async () => {
    const { audit } = world.store;
    if (world.query !== undefined) await world.query('truncate audit_log');
    for (const at of [1, 2, 900 * DAY_MS, 3, 500 * DAY_MS, 501 * DAY_MS])
      await audit.append({ at, actor: 'floe', action: 'x', subject: '', detail: '' });
    const before = await audit.check(NOBODY);
    await audit.prune(499 * DAY_MS);
    const after = await audit.check({ prunedBefore: 499 * DAY_MS, heads: [] });
    expect(after).toMatchObject({ broken: undefined, head: before.head });
    expect(after.entries).toBeLessThan(before.entries);
    // What was cut off without being old is missed.
    expect((await audit.check(NOBODY)).broken?.why).toBe('beginning-missing');
    await audit.append({ at: 502 * DAY_MS, actor: 'floe', action: 'x', subject: '', detail: '' });
    expect((await audit.check({ prunedBefore: 499 * DAY_MS, heads: [] })).broken).toBeUndefined();
  });
});
