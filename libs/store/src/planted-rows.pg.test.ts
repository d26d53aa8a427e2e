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
      await store.hosts.situation(repository.id, undefined);
      await store.hosts.quarantines(repository.id);
      await store.reports.list(bad, 10);
      await store.revisions.evaluations(revision.id);
      await store.rollouts.current(repository.id);
      await store.rollouts.forRevision(revision.id);
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
