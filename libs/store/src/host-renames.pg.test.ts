import type { HostName } from '@floe/model';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commit, newRepository, path, publishNext, WORLDS, type World } from './test/test-store.ts';

const OLD = 'ws-old-name' as HostName;
const NEW = 'ws-new-name' as HostName;
const OTHER = 'ws-bystander' as HostName;
const KEY = 'key-of-old';

let world: World;
let query: NonNullable<World['query']>;
beforeAll(async () => {
  world = await WORLDS[1].open();
  query = world.query!;
});
afterAll(async () => await world[Symbol.asyncDispose]());

/** What of a table names a host that was renamed is kept as it was: what people decided, what was said, and the earlier name itself. */
const KEPT = new Set(['audit_log', 'rollout_stories', 'former_hosts']);

async function tablesWith(name: string): Promise<string[]> {
  const tables = await query(`select table_name from information_schema.tables where table_schema = 'public'`);
  const found: string[] = [];
  for (const { table_name: table } of tables as unknown as { table_name: string }[]) {
    const [row] = await query(`select count(*)::int as rows from "${table}" t where to_jsonb(t)::text like '%${name}%'`);
    if (Number(row?.['rows']) > 0) found.push(table);
  }
  return found.toSorted();
}

/** The tables that name hosts in a column of their own. */
async function tablesOfHosts(): Promise<string[]> {
  const rows = await query(`select table_name from information_schema.columns where table_schema = 'public' and column_name = 'host'`);
  return (rows as unknown as { table_name: string }[]).map((row) => row.table_name).toSorted();
}

test('after a rename no row of any table has the old name: also not of a table that is yet to come', async () => {
  const { store } = world;
  const repository = await newRepository(store);
  // Both in the flake, then the new one in the place of the old.
  const first = await publishNext(store, repository, commit('1'), [OLD, NEW, OTHER]);
  await store.hosts.enrol({ host: OLD, repositoryId: repository.id, machineId: 'm', publicKey: KEY, at: 5 });
  const second = await publishNext(store, repository, commit('2'), [NEW, OTHER]);
  const evaluation = (host: HostName, outcome: 'NEW' | 'REMOVED') => ({
    host,
    outcome,
    toplevel: path('x'),
    formerHost: host === NEW ? OTHER : undefined,
  });
  await store.revisions.saveEvaluations(first.id, [evaluation(OLD, 'NEW'), evaluation(NEW, 'NEW')]);
  await store.revisions.saveEvaluations(second.id, [evaluation(OLD, 'REMOVED'), evaluation(NEW, 'NEW')]);
  await query(`update releases set toplevel = '${path('of-old')}', envelope = '{}' where host = '${OLD}'`);
  await query(`update releases set toplevel = '${path('of-new')}', envelope = '{}' where host = '${NEW}'`);
  const release = `(select id from releases where host = '${OLD}' limit 1)`;
  await query(`update hosts set desired_release_id = ${release}, stable_release_id = ${release}, epoch = 3, report_seq = 8 where host = '${OLD}'`);
  await query(
    `update rollouts set rings = '[["${OLD}", 1], ["${NEW}", 2], ["${OTHER}", 0]]', pause = '{"cause": "failures", "count": 1, "failures": [{"host": "${OLD}", "reason": "x"}]}' where revision_id = '${first.id}'`,
  );
  await query(`update rollouts set rings = '[["${NEW}", 2], ["${OTHER}", 0]]' where revision_id = '${second.id}'`);
  await query(
    `insert into enrolment_tokens (hash, host, expires_at, used_at) values ('a', '${OLD}', 9, 8), ('b', '${OLD}', 9, null), ('c', '${NEW}', 9, null)`,
  );
  await query(`insert into pins (host, kind, release_id, reason, "by", created_at) values ('${OLD}', 'pin', ${release}, 'why', 'ada', 1)`);
  await query(`insert into stepping_stones (host, name, release_id, sequence, toplevel) values ('${OLD}', 'agent', ${release}, 1, '${path('x')}')`);
  await query(
    `insert into trials (host, id, sequence, toplevel, "commit", envelope, "by", reason, at, ends_at, epoch) values ('${OLD}', 't', 1, '${path('x')}', '${commit('1')}', '{}', 'ada', 'why', 1, 2, 1)`,
  );
  await query(
    `insert into testing_branches (repository_id, host, head, seen_at, state) values ('${repository.id}', '${OLD}', '${commit('1')}', 1, 'waiting')`,
  );
  await query(
    `insert into submissions (host, id, repository_id, toplevel, "by", reason, at, state) values ('${OLD}', 's', '${repository.id}', '${path('x')}', 'ada', 'why', 1, 'over')`,
  );
  await query(`insert into deploys (host, epoch, level, reason, "by", created_at, expires_at) values ('${OLD}', 1, 'now', 'why', 'ada', 1, 2)`);
  await query(
    `insert into quarantines (host, toplevel, reason, created_at) values ('${OLD}', '${path('bad')}', 'of old', 1), ('${NEW}', '${path('bad')}', 'of new', 1), ('${NEW}', '${path('worse')}', 'of new', 1)`,
  );
  await query(`insert into acknowledgements (host, toplevel, "by", reason, at) values ('${OLD}', '${path('bad')}', 'ada', 'why', 1)`);
  await query(`insert into directives (host, epoch, release_id, mode, issued_at) values ('${OLD}', 1, ${release}, 'activate', 1)`);
  await query(`insert into reports (host, series, seq, epoch, state, observed, at, received_at) values ('${OLD}', 0, 1, 1, 'IDLE', '{}', 1, 1)`);
  await query(
    `insert into host_statements (host, kind, epoch, seq, public_key, envelope, at) values ('${OLD}', 'newest', 0, 1, '${KEY}', '{}', 1), ('${NEW}', 'newest', 0, 1, 'k', '{}', 1)`,
  );
  await query(
    `insert into signing_requests (key, repository_id, host, request, at, envelope) values ('k', '${repository.id}', '${OLD}', '{"host": "${OLD}"}', 1, '{}')`,
  );
  await query(`insert into former_hosts (former_host, host, renamed_at) values ('ws-first-name', '${OLD}', 1)`);
  for (const [host, sha] of [
    [OLD, commit('1')],
    [NEW, commit('2')],
    [NEW, commit('1')],
  ])
    await query(
      `insert into quarantine_orders (repository_id, subject, "commit", reason, "by", created_at) values ('${repository.id}', '${host}', '${sha}', 'why', 'ada', 1)`,
    );
  const planted = await tablesWith(OLD);
  // A new table with a column `host` is to be planted here.
  expect(await tablesOfHosts()).toEqual(planted.filter((table) => table !== 'rollouts' && table !== 'quarantine_orders'));
  const counts = async (name: string) =>
    await Promise.all(
      (await tablesOfHosts()).map(async (table) => [
        table,
        (await query(`select count(*)::int as n from "${table}" where host = '${name}'`))[0]?.['n'],
      ]),
    );
  const before = new Map((await counts(OLD)) as [string, number][]);

  expect(await store.hosts.rename({ formerHost: OLD, host: NEW, publicKey: 'another-key', at: 10 })).toBe('not-enrolled');
  expect(await store.hosts.rename({ formerHost: OLD, host: NEW, publicKey: KEY, at: 4 })).toBe('not-enrolled');
  expect(await tablesWith(OLD)).toEqual(planted);
  expect(await store.hosts.rename({ formerHost: OLD, host: NEW, publicKey: KEY, at: 10 })).toBe('renamed');

  expect((await tablesWith(OLD)).filter((table) => !KEPT.has(table))).toEqual([]);
  const after = new Map((await counts(NEW)) as [string, number][]);
  const lost = [...before].filter(([table, n]) => (after.get(table) ?? 0) < n && !['enrolment_tokens', 'signing_requests'].includes(table));
  expect(lost).toEqual([]);
  expect(await store.hosts.get(NEW)).toMatchObject({ publicKey: KEY, machineId: 'm', epoch: 3, reportSeq: 8, enrolledAt: 10 });
  expect(await store.hosts.get(OLD)).toBeUndefined();
  for (const name of [OLD, 'ws-first-name' as HostName]) expect(await store.hosts.renamed(name)).toMatchObject({ host: NEW });
  // A rename lifts no quarantine of either name.
  expect(await query(`select subject, "commit" from quarantine_orders order by "commit"`)).toEqual([
    { subject: NEW, commit: commit('1') },
    { subject: NEW, commit: commit('2') },
  ]);
  expect(await query(`select host, toplevel, reason from quarantines order by toplevel`)).toEqual([
    { host: NEW, toplevel: path('bad'), reason: 'of new' },
    { host: NEW, toplevel: path('worse'), reason: 'of new' },
  ]);
  // Its own release of the commit that had both is what it ran; nobody was told the other one. The newest one is that of the new name.
  expect(await query(`select sequence::int, toplevel from releases where host = '${NEW}' order by sequence`)).toEqual([
    { sequence: 1, toplevel: path('of-old') },
    { sequence: 2, toplevel: path('of-new') },
  ]);
  expect(await query(`select rings, pause from rollouts where revision_id = '${first.id}'`)).toEqual([
    {
      rings: [
        [NEW, 1],
        [OTHER, 0],
      ],
      pause: { cause: 'failures', count: 1, failures: [{ host: NEW, reason: 'x' }] },
    },
  ]);
  expect(await query(`select outcome from evaluations where host = '${NEW}' and revision_id = '${second.id}'`)).toEqual([{ outcome: 'NEW' }]);
  expect(await query(`select host from enrolment_tokens where used_at is null`)).toEqual([]);
});

test('a host that is enrolled, or whose release is no newer, takes no name away', async () => {
  const { store } = world;
  const repository = await newRepository(store);
  const [ada, bob, eve] = ['rename-ada', 'rename-bob', 'rename-eve'] as HostName[];
  await publishNext(store, repository, commit('3'), [ada!, bob!, eve!]);
  await store.hosts.enrol({ host: ada!, repositoryId: repository.id, machineId: 'a', publicKey: 'a', at: 1 });
  await store.hosts.enrol({ host: bob!, repositoryId: repository.id, machineId: 'b', publicKey: 'b', at: 1 });
  const from = { formerHost: ada!, publicKey: 'a', at: 2 };
  let written = 0;
  const beforeMove = async (): Promise<void> => await Promise.resolve(void (written += 1));
  expect(await store.hosts.rename({ ...from, host: bob!, beforeMove })).toBe('taken');
  expect(await store.hosts.rename({ ...from, host: eve!, beforeMove })).toBe('no-release');
  await store.hosts.revoke(ada!, 3);
  expect(await store.hosts.rename({ ...from, host: eve!, beforeMove })).toBe('not-enrolled');
  expect(written).toBe(0);
});

test('of two renames to one name at once, one succeeds, and the other takes nothing away', async () => {
  const { store } = world;
  const repository = await newRepository(store);
  const rounds = Array.from({ length: 5 }, (_, round) => round);
  const named = (round: number) => ['ada', 'bob'].map((name) => `twice-${name}-${round}` as HostName);
  const to = (round: number) => `twice-new-${round}` as HostName;
  await publishNext(store, repository, commit('4'), rounds.flatMap(named));
  await publishNext(store, repository, commit('5'), rounds.map(to));
  for (const round of rounds) {
    const names = named(round);
    for (const host of names) await store.hosts.enrol({ host, repositoryId: repository.id, machineId: host, publicKey: host, at: 1 });
    const outcomes = await Promise.all(
      names.map(async (host) => await store.hosts.rename({ formerHost: host, host: to(round), publicKey: host, at: 2 })),
    );
    expect(outcomes.toSorted()).toEqual(['renamed', 'taken']);
    const [renamed, left] = outcomes[0] === 'renamed' ? names : names.toReversed();
    expect(await store.hosts.get(to(round))).toMatchObject({ publicKey: renamed });
    expect(await store.hosts.get(left!)).toMatchObject({ publicKey: left });
  }
});
