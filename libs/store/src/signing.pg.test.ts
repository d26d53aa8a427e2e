import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Hint } from './store.ts';
import { newHost, newRepository, unique, type World, WORLDS } from './test/test-store.ts';

describe.each(WORLDS)('what a builder is asked to sign, on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('is asked once, answered once, and both sides hear of it', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const other = await newRepository(store);
    const host = newHost();
    const heard: Hint[] = [];
    await using _listening = await store.hints.listen((hints) => void heard.push(...hints));
    const question = (text: string) => ({ key: unique('key'), repositoryId: repository.id, host, request: text });
    const [first, second] = [question('one'), question('two')];

    expect(await store.signing.ask(first, 10)).toBeUndefined();
    await Promise.all([store.signing.ask(first, 20), store.signing.ask(second, 30), store.signing.ask(second, 30)]);
    expect(await store.signing.waiting(repository.id)).toEqual([first, second]);
    expect(await store.signing.waiting(other.id)).toEqual([]);
    await expect.poll(() => heard.filter((hint) => hint.topic === 'repository' && hint.id === repository.id).length).toBeGreaterThan(1);

    // What a second builder says of the same comes too late.
    await store.signing.answer(first.key, { envelope: 'signed' });
    await store.signing.answer(first.key, { refused: 'no' });
    await store.signing.answer(second.key, { refused: 'not ours' });
    expect(await store.signing.ask(first, 40)).toEqual({ envelope: 'signed' });
    expect(await store.signing.ask(second, 40)).toEqual({ refused: 'not ours' });
    expect(await store.signing.waiting(repository.id)).toEqual([]);
    await expect.poll(() => heard.filter((hint) => hint.topic === 'host' && hint.host === host).length).toBe(2);

    expect(await store.signing.prune(20)).toBeGreaterThanOrEqual(1);
    expect(await store.signing.ask(first, 50)).toBeUndefined();
    expect(await store.signing.ask(second, 50)).toEqual({ refused: 'not ours' });
  });

  test('what was refused is asked again after five minutes, with its newer times, and what was signed is not', async () => {
    const { store } = world;
    const { id } = await newRepository(store);
    const question = (request: string) => ({ key: unique('key'), repositoryId: id, host: newHost(), request });
    const [refused, signed] = [question('at 10'), question('at 10')];
    const later = 10 + 5 * 60_000;
    for (const each of [refused, signed]) await store.signing.ask(each, 10);
    await store.signing.answer(refused.key, { refused: 'not stable' });
    await store.signing.answer(signed.key, { envelope: 'signed' });
    expect(await store.signing.ask(refused, later - 1)).toEqual({ refused: 'not stable' });
    expect(await store.signing.waiting(id)).toEqual([]);

    const again = { ...refused, request: 'later' };
    await using _listening = await store.hints.listen((hints) => void heard.push(...hints));
    const heard: Hint[] = [];
    expect(await store.signing.ask(again, later)).toEqual({ refused: 'not stable' });
    await expect.poll(() => heard.some((hint) => hint.topic === 'repository' && hint.id === id)).toBe(true);
    expect(await store.signing.waiting(id)).toEqual([again]);
    expect(await store.signing.ask(signed, later)).toEqual({ envelope: 'signed' });
    await store.signing.answer(refused.key, { envelope: 'signed' });
    expect(await store.signing.ask(again, later + 1)).toEqual({ envelope: 'signed' });
  });

  test('the lease says who holds it until when', async () => {
    const { store } = world;
    const { id } = await newRepository(store);
    expect(await store.repositories.lease(id)).toBeUndefined();
    const before = Date.now();
    await store.repositories.claim(id, 'one', 30_000);
    const lease = await store.repositories.lease(id);
    expect(lease?.owner).toBe('one');
    // The clock of the database is this machine's.
    expect(Math.abs((lease?.expiresAt ?? 0) - before - 30_000)).toBeLessThan(20_000);
    await store.repositories.unclaim(id, 'one');
    expect(await store.repositories.lease(id)).toBeUndefined();
  });
});
