import { DEFAULT_POLICY } from '@floe/model';
import { ringWindowState } from '@floe/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commit, newHost, newRepository, path, presence, publishNext, report, WORLDS, type World } from './test/test-store.ts';

/** What a column of each type holds that no code of ours wrote: another version's value, a hand's, a restored dump's. */
const PLANTED: Readonly<Record<string, readonly string[]>> = {
  bigint: ['-1', '9007199254740993', '9223372036854775806', '-9223372036854775808'],
  integer: ['-1', '2147483647'],
  text: ["''", "'?'", "repeat('x', 20000)", "E'\\u202e\\u0007'"],
  jsonb: ["'null'", "'5'", `'"x"'`, "'[]'", `'{"current": 5}'`, `'{"code": 1}'`, `'{"downloadMs": 1e300}'`],
};

let world: World;
beforeAll(async () => {
  const postgres = WORLDS.find(({ name }) => name === 'Postgres');
  if (postgres === undefined) throw new Error('no Postgres');
  world = await postgres.open();
});
afterAll(async () => await world[Symbol.asyncDispose]());

test.each(['hosts', 'evaluations', 'reports', 'quarantines', 'rollouts'])(
  'a row of %s is read whatever one of its columns holds, and so are those beside it',
  async (table) => {
    const { store, query } = world;
    if (query === undefined) throw new Error('no connection beside the store');
    const repository = await newRepository(store);
    const [bad, good] = [newHost(), newHost()];
    const revision = await publishNext(store, repository, commit('1'), [bad, good]);
    await store.revisions.saveEvaluations(
      revision.id,
      [bad, good].map((host) => ({ host, outcome: 'CHANGED', toplevel: path('system'), evaluateMs: 1 })),
    );
    for (const host of [bad, good]) {
      await store.hosts.connect(host, presence());
      await store.reports.store([report(host, 1)]);
      await store.hosts.quarantine(host, path(`${host}-${revision.sequence}`), 'a check failed', 1);
    }
    async function readAll(): Promise<unknown> {
      const hosts = await store.hosts.list(repository.id);
      await store.hosts.fleet(repository.id);
      await store.reports.list(bad, 10);
      await store.revisions.evaluations(revision.id);
      return hosts.find(({ host }) => host === good);
    }
    const before = await readAll();
    const columns = await query(
      `select column_name as name, data_type as type from information_schema.columns where table_name = '${table}' and column_name not in
         (select column_name from information_schema.key_column_usage where table_name = '${table}')`,
    );
    const where = table === 'rollouts' ? `revision_id = '${revision.id}'` : `host = '${bad}'`;
    let planted = 0;
    for (const { name, type } of columns) {
      for (const value of PLANTED[String(type)] ?? []) {
        const [row] = await query(`select "${String(name)}"::text as was from "${table}" where ${where} limit 1`);
        await query(`update "${table}" set "${String(name)}" = ${value} where ${where}`);
        const after = await readAll().catch((error: unknown) => error);
        expect(after, `${table}.${String(name)} = ${value}`).toEqual(before);
        const was = row?.['was'];
        await query(
          `update "${table}" set "${String(name)}" = ${typeof was === 'string' ? `'${was.replaceAll("'", "''")}'::${String(type)}` : 'null'} where ${where}`,
        );
        planted += 1;
      }
    }
    expect(planted).toBeGreaterThan(5);
  },
);

test('a policy that cannot be read lets no change begin, and is said on its revision', async () => {
  const { store, query } = world;
  const repository = await newRepository(store);
  const { id } = await publishNext(store, repository, commit('1'), []);
  await store.revisions.savePolicy(id, DEFAULT_POLICY);
  for (const change of [
    `'5'`,
    `'[]'`,
    `'{}'`,
    `policy - 'rings'`,
    `policy || '{"rings": []}'`,
    `policy || '{"gate": 1}'`,
    `jsonb_set(policy, '{rings,0,minVerified}', '-1')`,
    `jsonb_set(policy, '{rings,0,aGateOfALaterVersion}', '1')`,
    `jsonb_set(policy, '{presence,lostMs}', '1e300')`,
  ]) {
    await query?.(`update revisions set policy = ${change} where id = '${id}'`);
    const revision = await store.revisions.newestPublished(repository.id);
    expect(revision?.error, change).toBe('its row in the database cannot be read: policy');
    expect(ringWindowState([revision?.policy.rings[0]?.windows ?? []], 1_790_000_000_000), change).toEqual({ isOpen: false });
    await store.revisions.savePolicy(id, DEFAULT_POLICY);
  }
});

test("a lease that ends in no time that anybody could mean is nobody's", async () => {
  const { store, query } = world;
  const { id } = await newRepository(store);
  for (const end of ['null', '9223372036854775806', '-1', String(365 * 24 * 3_600_000)]) {
    await query?.(`update repositories set lease_owner = 'nobody', lease_expires_at = ${end} where id = '${id}'`);
    expect(await store.repositories.claim(id, 'somebody', 60_000), end).toBeGreaterThan(0);
    expect(await store.repositories.claim(id, 'another', 60_000), end).toBeUndefined();
  }
});

test('whatever the token of a lease was made to be, the next claim works under it, and those before it do not', async () => {
  const { store, query } = world;
  const { id } = await newRepository(store);
  for (const token of ['9223372036854775807', '-1', '0', '9007199254740993']) {
    const before = await store.repositories.claim(id, 'somebody', 60_000);
    await query?.(`update repository_leases set token = ${token} where repository_id = '${id}'`);
    const after = await store.repositories.claim(id, 'somebody', 60_000);
    if (before === undefined || after === undefined) throw new Error('it is not free');
    await store.underLease({ repositoryId: id, token: after }).repositories.noteAdvice(id, token);
    if (before !== after)
      await expect(store.underLease({ repositoryId: id, token: before }).repositories.noteAdvice(id, 'late'), token).rejects.toMatchObject({
        code: 'LEASE_LOST',
      });
  }
});

test('a counter that was spoilt is gone on from, above what it ever counted', async () => {
  const { store, query } = world;
  for (const spoilt of ['-1', '-9223372036854775808', '9007199254740993', '9223372036854775807']) {
    const repository = await newRepository(store);
    const host = newHost();
    const before = await publishNext(store, repository, commit('1'), [host]);
    await query?.(`update repositories set sequence = ${spoilt}, hint_count = ${spoilt} where id = '${repository.id}'`);
    await query?.(`update hosts set report_series = ${spoilt}, epoch = ${spoilt} where host = '${host}'`);
    await query?.(`update server set beats = ${spoilt}, clock_high = ${spoilt}`);
    await store.repositories.wake(repository.id);
    expect((await publishNext(store, repository, commit('2'), [host])).sequence, spoilt).toBe(before.sequence + 1);
    expect((await store.repositories.get(repository.id)).problem, spoilt).toBeUndefined();
    const enrolled = await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'machine', publicKey: 'key', at: 1 });
    expect(enrolled.unreadable, spoilt).toBeUndefined();
    await query?.(`update freshness set sequence = ${spoilt}, highest_as_of = ${spoilt}, as_of = ${spoilt}`);
    await store.releases.saveFreshness(repository.id, '{}', 2, 5);
    expect(await store.releases.highestAsOf(repository.id), spoilt).toBe(5);
  }
});

test('a sequence that was spoilt is raised above what was ever counted, also by what knows less of it', async () => {
  const { store, query } = world;
  for (const spoilt of ['-1', '-9223372036854775808', '9007199254740993', '9223372036854775807']) {
    for (const raise of ['the statement log', 'a host'] as const) {
      const repository = await newRepository(store);
      const host = newHost();
      await publishNext(store, repository, commit('1'), [host]);
      const before = await publishNext(store, repository, commit('2'), [host]);
      await query?.(`update repositories set sequence = ${spoilt} where id = '${repository.id}'`);
      if (raise === 'a host') await store.hosts.connect(host, presence({ sequence: 1 }));
      else await store.repositories.raiseSequence(repository.id, 1);
      expect((await publishNext(store, repository, commit('3'), [host])).sequence, `${spoilt}, by ${raise}`).toBe(before.sequence + 1);
    }
  }
});

test('a server claims its row and beats, whatever that counted', async () => {
  const { store, query } = world;
  const mine = { releaseKey: 'r', serverKey: 's', place: 'p', process: 'x', description: 'd', now: 1, deadBeats: undefined, mayReplaceKeys: true };
  await store.server.claim(mine);
  for (const spoilt of ['-1', '-9223372036854775808', '9007199254740993', '9223372036854775807']) {
    await query?.(`update server set beats = ${spoilt}, clock_high = ${spoilt}`);
    expect(await store.server.claim(mine), spoilt).toMatchObject({ kind: 'claimed' });
    await query?.(`update server set beats = ${spoilt}, clock_high = ${spoilt}`);
    expect((await store.server.beat('x', 7))?.clockHigh, spoilt).toBeGreaterThanOrEqual(7);
  }
});

test('one status that was spoilt stops no other', async () => {
  const { store, query } = world;
  const { id } = await newRepository(store);
  const status = { repositoryId: id, state: 'pending', description: 'd', targetUrl: 'https://floe.example', now: 1 } as const;
  for (const column of ['attempts', 'version', 'sent_version', 'due_at', 'updated_at']) {
    for (const spoilt of column === 'attempts' ? ['-2147483648', '2147483647'] : ['-9223372036854775808', '9223372036854775807']) {
      await store.outbox.putAll([{ ...status, sha: commit('a'), context: `${column} ${spoilt}` }]);
      await query?.(`update status_outbox set due_at = 1 where repository_id = '${id}' and sent_version < version`);
      await query?.(`update status_outbox set "${column}" = ${spoilt} where context = '${column} ${spoilt}'`);
      const context = `beside ${column} ${spoilt}`;
      await store.outbox.putAll([{ ...status, sha: commit('b'), context }]);
      const claimed = await store.outbox.claimDue({ now: 1_000, limit: 1_000, leaseMs: 1 });
      expect(claimed.map((each) => each.context)).toContain(context);
      for (const each of claimed) await store.outbox.markSent(each, 1_000);
      // Each is sent, and then no more.
      expect(await store.outbox.claimDue({ now: 1_000_000, limit: 1_000, leaseMs: 1 }), `${column} ${spoilt}`).toEqual([]);
    }
  }
});
