import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commit, unique, type World, WORLDS } from './test/test-store.ts';

const DAY_MS = 24 * 3600_000;

describe.each(WORLDS)('the audit log on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('is read newest first, in pages', async () => {
    const { audit } = world.store;
    const entry = { at: 5, actor: 'admin', action: 'revoke', subject: unique('host'), detail: 'stolen\0' };
    for (const at of [4, 5, 6]) await audit.append({ ...entry, at });
    const [newest] = await audit.list({ limit: 1 });
    expect(newest).toEqual({ ...entry, id: expect.any(Number) as number, at: 6, detail: 'stolen\uFFFD' });
    const before = await audit.list({ limit: 2, before: newest?.id });
    expect(before.map(({ at }) => at)).toEqual([5, 4]);
  });

  test('is read for one host, or one commit by its first digits', async () => {
    const { audit } = world.store;
    const [host, other] = [unique('host'), unique('host')];
    const sha = commit('c0ffee1');
    const entry = { at: 1, actor: 'admin', action: 'x', detail: '' };
    for (const subject of [host, other, sha, `${host}%`, 'c0ffee1']) await audit.append({ ...entry, subject });
    const about = async (subject: string) => (await audit.list({ limit: 10, subject })).map((each) => each.subject);
    expect(await about(host)).toEqual([host]);
    expect(await about(sha)).toEqual([sha]);
    expect(await about('c0ffee1')).toEqual(['c0ffee1', sha]);
    for (const nothing of ['%', 'host%', '_', '', "' or true", 'c0ff']) expect(await about(nothing), nothing).toEqual([]);
  });

  test('counts refusals of one actor, action and day in one entry, also concurrent ones', async () => {
    const { audit } = world.store;
    const actor = unique('viewer');
    const refusal = { at: 10 * DAY_MS + 1, actor, action: 'retry', subject: 'ada', detail: 'a viewer may not' };
    const mine = async () => (await audit.list({ limit: 100 })).filter((each) => each.actor === actor);
    await Promise.all(Array.from({ length: 20 }, async (_, n) => await audit.countRefusals({ ...refusal, at: refusal.at + n }, 1)));
    await audit.countRefusals({ ...refusal, at: refusal.at + 99, subject: 'bob' }, 5);
    expect(await mine()).toMatchObject([{ action: 'retry', subject: 'bob', refused: { count: 25, lastAt: refusal.at + 99 } }]);
    await audit.countRefusals({ ...refusal, at: refusal.at + DAY_MS }, 1);
    await audit.countRefusals({ ...refusal, action: 'resume' }, 1);
    // What was done is an entry of its own each time.
    for (let n = 0; n < 2; n += 1) await audit.append(refusal);
    expect((await mine()).map(({ action, refused }) => [action, refused?.count])).toEqual([
      ['retry', undefined],
      ['retry', undefined],
      ['resume', 1],
      ['retry', 1],
      ['retry', 25],
    ]);
  });

  test('takes subjects of any length and every text', async () => {
    const { audit } = world.store;
    for (const subject of ['x'.repeat(100_000), '\uD800', 'ä'.repeat(5_000), '\0'])
      await audit.append({ at: 1, actor: subject, action: 'x', subject, detail: subject });
    expect((await audit.list({ limit: 4 })).every(({ subject }) => subject.length <= 256)).toBe(true);
    await audit.countRefusals({ at: 1, actor: 'a', action: 'x', subject: 'y'.repeat(100_000), detail: '' }, 1);
  });

  test('is read, and counts on, whatever a row of it holds', async () => {
    const { store, query } = world;
    if (query === undefined) return;
    const actor = unique('viewer');
    const refusal = { at: DAY_MS, actor, action: 'retry', subject: 'ada', detail: '' };
    for (const spoilt of ['-1', '9223372036854775807', '9007199254740993']) {
      await store.audit.countRefusals(refusal, 1);
      await query(`update audit_log set count = ${spoilt}, last_at = ${spoilt}, at = ${spoilt} where actor = '${actor}'`);
      expect((await store.audit.list({ limit: 1_000 })).some((each) => each.actor === actor)).toBe(true);
      await store.audit.countRefusals(refusal, 1);
      expect((await store.audit.list({ limit: 1_000 })).find((each) => each.actor === actor)?.refused?.count, spoilt).toBe(1);
    }
  });
});
