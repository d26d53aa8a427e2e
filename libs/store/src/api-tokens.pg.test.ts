import { ROLES, type Role } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unique, type World, WORLDS } from './test/test-store.ts';

describe.each(WORLDS)('API tokens on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
    await world.store.tokens.createApiToken({ name: 'admin', role: 'administrator', token: 'token of admin', at: 1 });
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function make(role: Role, expiresAt?: number): Promise<{ readonly name: string; readonly token: string }> {
    const name = unique('token');
    const token = `secret of ${name}`;
    expect(await world.store.tokens.createApiToken({ name, role, token, at: 1, expiresAt })).toBe('created');
    return { name, token };
  }
  const listed = async (name: string) => (await world.store.tokens.listApiTokens()).find((each) => each.name === name);

  test.each(ROLES)('a token of the role %s is known by itself, until it is revoked', async (role) => {
    const { tokens } = world.store;
    const { name, token } = await make(role);
    expect(await tokens.findApiToken(token, 2)).toEqual({ name, role, person: name });
    expect(await tokens.createApiToken({ name, role, token: 'another', at: 2 })).toBe('name-taken');
    expect(await tokens.findApiToken('another', 2)).toBeUndefined();
    expect(await tokens.revokeApiToken({ name, by: 'admin', now: 2 })).toBe('revoked');
    expect(await tokens.revokeApiToken({ name, by: 'admin', now: 2 })).toBe('unknown');
    expect(await tokens.findApiToken(token, 2)).toBeUndefined();
  });

  test('a token, and the sessions made with it, are good until its end', async () => {
    const { tokens } = world.store;
    const { name, token } = await make('operator', 1_000);
    expect(await tokens.createSession(`session ${name}`, token, 500)).toBe(true);
    expect(await tokens.findApiToken(token, 999)).toEqual({ name, role: 'operator', person: name });
    expect(await tokens.findSession(`session ${name}`, 999)).toEqual({ name, role: 'operator', person: name });
    expect(await tokens.findApiToken(token, 1_000)).toBeUndefined();
    expect(await tokens.findSession(`session ${name}`, 1_000)).toBeUndefined();
    expect(await tokens.createSession('late', token, 1_000)).toBe(false);
    expect(await listed(name)).toMatchObject({ expiresAt: 1_000 });
    expect(await tokens.pruneApiTokens(1_001)).toBeGreaterThanOrEqual(1);
    expect(await listed(name)).toBeUndefined();
  });

  test('sessions end when their token gets another role, or one that is none', async () => {
    const { store, query } = world;
    if (query === undefined) return;
    const { name, token } = await make('administrator');
    await store.tokens.createSession(`session ${name}`, token, 1);
    expect(await store.tokens.findSession(`session ${name}`, 1)).toEqual({ name, role: 'administrator', person: name });
    await query(`update api_tokens set role = 'viewer' where name = '${name}'`);
    expect(await store.tokens.findSession(`session ${name}`, 1)).toBeUndefined();
    expect(await store.tokens.findApiToken(token, 1)).toEqual({ name, role: 'viewer', person: name });
    for (const none of ['', 'Administrator', 'administrator ', '__proto__']) {
      await query(`update api_tokens set role = '${none}' where name = '${name}'`);
      await query(
        `update sessions set role = '${none}' where hash in (select hash from sessions where token_hash in (select hash from api_tokens where name = '${name}'))`,
      );
      expect(await store.tokens.findApiToken(token, 1), none).toBeUndefined();
      expect(await store.tokens.findSession(`session ${name}`, 1), none).toBeUndefined();
      expect(await store.tokens.createSession('x', token, 1), none).toBe(false);
      expect(await listed(name)).toMatchObject({ name, role: undefined });
    }
  });

  test('a list says who made a token, and when it was used, to the minute', async () => {
    const { tokens } = world.store;
    const name = unique('token');
    await tokens.createApiToken({ name, role: 'viewer', token: name, at: 5, by: 'admin', expiresAt: 900_000 });
    const made = {
      name,
      role: 'viewer',
      person: name,
      forgeLogin: undefined,
      signer: undefined,
      createdAt: 5,
      createdBy: 'admin',
      lastUsedAt: undefined,
      expiresAt: 900_000,
    };
    expect(await listed(name)).toEqual(made);
    await tokens.noteUse(name, 100_000);
    await tokens.noteUse(name, 130_000);
    expect(await listed(name)).toEqual({ ...made, lastUsedAt: 100_000 });
    await tokens.noteUse(name, 170_000);
    expect(await listed(name)).toEqual({ ...made, lastUsedAt: 170_000 });
  });

  describe('of administrators', () => {
    test('the last one without an end stays, whoever asks, and whatever others there are', async () => {
      const { tokens } = world.store;
      const limited = await make('administrator', 10_000);
      await make('operator');
      for (const by of ['admin', limited.name]) expect(await tokens.revokeApiToken({ name: 'admin', by, now: 2 })).toBe('last-administrator');
      expect(await tokens.revokeApiToken({ name: limited.name, by: 'admin', now: 2 })).toBe('revoked');
      expect(await tokens.administrators(2)).toEqual(['admin']);
    });

    test('one that expired is revoked like any other, and may nothing itself', async () => {
      const { tokens } = world.store;
      const { name } = await make('administrator', 10_000);
      expect(await tokens.administrators(9_999)).toEqual(['admin', name]);
      expect(await tokens.administrators(10_000)).toEqual(['admin']);
      expect(await tokens.revokeApiToken({ name: 'admin', by: name, now: 10_000 })).toBe('not-allowed');
      expect(await tokens.createApiToken({ name: unique('token'), role: 'viewer', token: 'x', at: 10_000, by: name })).toBe('not-allowed');
      expect(await tokens.revokeApiToken({ name, by: 'admin', now: 10_000 })).toBe('revoked');
    });

    test.each(['viewer', 'operator', 'approver'] as const)('no %s makes or revokes one', async (role) => {
      const { tokens } = world.store;
      const { name } = await make(role);
      expect(await tokens.createApiToken({ name: unique('token'), role: 'viewer', token: 'x', at: 1, by: name })).toBe('not-allowed');
      expect(await tokens.revokeApiToken({ name: 'admin', by: name, now: 1 })).toBe('not-allowed');
    });

    test('two who revoke each other at once: exactly one succeeds, and one stays', async () => {
      const { tokens } = world.store;
      for (let round = 0; round < 10; round += 1) {
        const [one, two] = [await make('administrator'), await make('administrator')];
        const outcomes = await Promise.all([
          tokens.revokeApiToken({ name: two.name, by: one.name, now: 1 }),
          tokens.revokeApiToken({ name: one.name, by: two.name, now: 1 }),
        ]);
        expect(outcomes.toSorted()).toEqual(['not-allowed', 'revoked']);
        const left = [await tokens.findApiToken(one.token, 1), await tokens.findApiToken(two.token, 1)].filter((each) => each !== undefined);
        expect(left).toHaveLength(1);
        await tokens.revokeApiToken({ name: left[0]?.name ?? '', by: 'admin', now: 1 });
      }
    });

    test('all who revoke all at once leave one', async () => {
      const { tokens } = world.store;
      const all = ['admin', (await make('administrator')).name, (await make('administrator')).name];
      const pairs = all.flatMap((by) => all.map((name) => ({ by, name, now: 1 })));
      const outcomes = await Promise.all(pairs.map(async (pair) => await tokens.revokeApiToken(pair)));
      expect(outcomes.filter((outcome) => outcome === 'revoked')).toHaveLength(2);
      const [left, ...others] = await tokens.administrators(1);
      expect(others).toEqual([]);
      // The next tests have theirs again.
      if (left !== 'admin') {
        await tokens.createApiToken({ name: 'admin', role: 'administrator', token: 'token of admin', at: 1 });
        await tokens.revokeApiToken({ name: left ?? '', by: 'admin', now: 1 });
      }
    });

    test('one that is being revoked leaves no other token behind', async () => {
      const { tokens } = world.store;
      for (let round = 0; round < 10; round += 1) {
        const thief = await make('administrator');
        const name = unique('left');
        const [revoked, made] = await Promise.all([
          tokens.revokeApiToken({ name: thief.name, by: 'admin', now: 1 }),
          tokens.createApiToken({ name, role: 'administrator', token: name, at: 1, by: thief.name }),
        ]);
        expect(revoked).toBe('revoked');
        // Made before: then it is in the list, and in the audit log with its maker.
        expect(await listed(name)).toEqual(made === 'created' ? expect.objectContaining({ createdBy: thief.name }) : undefined);
        if (made === 'created') await tokens.revokeApiToken({ name, by: 'admin', now: 1 });
      }
    });
  });
});
