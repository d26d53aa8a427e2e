import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FleetView, type DirectiveMessage, type StorePath } from '@floe/protocol';
import { eventually, startPostgres } from '@floe/testkit';
import fc from 'fast-check';
import postgres from 'postgres';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TABLE_NAMES, type TableName } from '@floe/store';
import { enrolHost, startTestServer, TestAgent, type TestHost, type TestServer } from '../../apps/server/src/test/test-server.ts';

// Whatever a row of any table holds, a server that runs on it goes on, and starts: another host is told its release, and
// reports; and what cannot be read is said to people.

/** What a column of each type holds that no code of ours wrote: another version's value, a hand's, a restored dump's. */
const PLANTED: Readonly<Record<string, readonly string[]>> = {
  bigint: ['-1', '9007199254740993', '9223372036854775806', '-9223372036854775808', 'null'],
  integer: ['-1', '2147483647', 'null'],
  'double precision': ['-1', "'NaN'", "'Infinity'", '1e308', 'null'],
  boolean: ['true', 'false'],
  text: ["''", "'?'", "repeat('x', 20000)", "E'\\u202e\\u0007'", "'__proto__'", 'null'],
  jsonb: ["'null'", "'5'", `'"x"'`, "'[]'", `'{"current": 5}'`, `'{"code": 1}'`, `'{"downloadMs": 1e300}'`, 'null'],
};

/** The row of each table that is spoilt; of the others the fleet goes on. */
const SPOILT: Readonly<Record<TableName, string>> = {
  api_tokens: `name = 'other'`,
  sessions: 'true',
  enrolment_tokens: 'true',
  audit_log: 'true',
  hosts: `host = 'bad'`,
  server_leases: 'true',
  pins: `host = 'bad'`,
  stepping_stones: `host = 'bad'`,
  former_hosts: `host = 'bad'`,
  trials: `host = 'bad'`,
  submissions: `host = 'bad'`,
  handovers: 'true',
  signing_requests: 'true',
  testing_branches: `host = 'bad'`,
  deploys: `host = 'bad'`,
  quarantines: `host = 'bad'`,
  quarantine_orders: 'true',
  acknowledgements: `host = 'bad'`,
  rollout_orders: 'true',
  probe_answers: 'true',
  freezes: 'true',
  label_stops: 'true',
  directives: `host = 'bad'`,
  host_statements: `host = 'bad'`,
  reports: `host = 'bad'`,
  status_outbox: 'true',
  notification_targets: 'true',
  notification_outbox: 'true',
  builder_notices: 'true',
  builds_under_way: 'true',
  repository_leases: 'true',
  repositories: 'true',
  webhook_deliveries: 'true',
  revisions: 'id = (select id from revisions order by sequence desc limit 1)',
  evaluations: `host = 'bad'`,
  releases: `host = 'bad'`,
  rollouts: 'revision_id = (select id from revisions order by sequence desc limit 1)',
  rollout_stories: 'true',
  freshness: 'true',
  server: 'true',
};
/** Named by a row of another table, or what a server knows itself and its repository by: another one is another server's. */
const IDENTITY = new Set(['repositories.url', 'repositories.branch', 'server.release_key', 'server.server_key', 'server.process', 'server.place']);
/**
 * A policy that cannot be read opens no gate: the next commit cannot be compared with it, and waits for an administrator
 * (`libs/store/src/planted-rows.pg.test.ts`). Here the good host has to go on by itself.
 */
const LEFT_ALONE = new Set([...IDENTITY, 'revisions.policy']);

interface Planting {
  readonly table: TableName;
  readonly column: string;
  readonly value: string;
}

const stack = new AsyncDisposableStack();
let sql: postgres.Sql;
let env: Readonly<Record<string, string>>;
let plantings: Planting[];
let keys: ReadonlyMap<string, readonly string[]>;
let dataDir: string;
let count = 0;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'floe-planted-'));
  stack.defer(async () => await rm(dataDir, { recursive: true }));
  const { url } = stack.use(await startPostgres());
  env = { DATABASE_URL: url, FLOE_GITHUB_REPOSITORY: 'a/fleet', FLOE_GITHUB_API_URL: 'http://127.0.0.1:1', FLOE_GITHUB_TOKEN_FILE: '/x' };
  const address = new URL(url);
  sql = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  stack.defer(async () => await sql.end());
});
afterAll(async () => await stack.disposeAsync());

/** Rows of everything for a host of its own, beside the one that has to go on. */
async function furnish({ context: { store }, repository }: TestServer): Promise<void> {
  const release = `/nix/store/${'b'.repeat(32)}-bad` as StorePath;
  await enrolHost(store, repository, 'bad', release);
  const { host } = (await store.hosts.list(repository.id)).find((row) => row.host === 'bad')!;
  const [latest] = [(await store.releases.latest(repository.id)).find((each) => each.host === host)];
  await store.hosts.desire([latest!], 1);
  await store.hosts.quarantine(host, release, 'why', 1);
  await store.hosts.pin({ host, kind: 'hold', releaseId: latest!.id, reason: 'why', by: 'admin', at: 1 });
  await store.hosts.saveDirectives([{ host, epoch: 1, releaseId: latest!.id, mode: 'activate', issuedAt: 1 }]);
  const observed = { current: null, booted: null, profile: null };
  await store.reports.store([{ host, seq: 1, epoch: 1, state: 'IDLE', toplevel: null, observed, at: 1, receivedAt: 1 }]);
  await sql`insert into former_hosts (former_host, host, renamed_at) values ('bad-before', ${host}, 1)`;
  await sql`insert into stepping_stones (host, name, release_id, sequence, toplevel) select host, 'agent', id, sequence, toplevel from releases where host = ${host}`;
  await store.notifications.ensure(['ops'], 1);
  await store.notifications.put([{ target: 'ops', event: { kind: 'host-rolled-back', key: 'host-rolled-back:bad', since: 1, host } }], 1);
  await store.tokens.createApiToken({ name: 'other', role: 'viewer', token: 'o'.repeat(32), at: 1 });
  await store.tokens.createSession('session', 'o'.repeat(32), Date.now());
  await store.tokens.createEnrolmentToken(host, 'enrolment', Date.now());
  await store.deliveries.record({
    forge: 'github',
    id: 'd',
    event: 'push',
    repositoryId: repository.id,
    outcome: 'accepted',
    receivedAt: Date.now(),
  });
  await store.releases.saveFreshness(repository.id, '{}', 1, 1);
  await store.audit.append({ at: 1, actor: 'a', action: 'b', subject: 'c', detail: 'd' });
  await store.revisions.saveEvaluations((await store.revisions.newest(repository.id))!.id, [{ host, outcome: 'CHANGED' }]);
  const inKeys = await sql`
    select k.table_name, k.column_name from information_schema.key_column_usage k join information_schema.table_constraints t using (constraint_name)
    where t.constraint_type = 'PRIMARY KEY'`;
  const byTable = Map.groupBy(inKeys, ({ table_name: table }) => String(table));
  keys = new Map([...byTable].map(([table, columns]) => [table, columns.map(({ column_name: column }) => String(column))]));
  const of = await sql`
    select c.table_name, c.column_name, c.data_type from information_schema.columns c
    where c.table_schema = 'public' and not exists (
      select from information_schema.key_column_usage k join information_schema.table_constraints t using (constraint_name)
      where k.table_name = c.table_name and k.column_name = c.column_name and t.constraint_type in ('PRIMARY KEY', 'FOREIGN KEY'))`;
  plantings = of.flatMap(({ table_name: table, column_name: column, data_type: type }) =>
    (TABLE_NAMES as readonly string[]).includes(String(table)) && !LEFT_ALONE.has(`${String(table)}.${String(column)}`)
      ? (PLANTED[String(type)] ?? []).map((value) => ({ table: String(table) as TableName, column: String(column), value }))
      : [],
  );
}

/** Writes the value, unless the database refuses it. Returns a function that restores the previous value, unless it changed meanwhile. */
async function plant({ table, column, value }: Planting): Promise<() => Promise<void>> {
  const where = SPOILT[table];
  const before = await sql.unsafe(`select to_jsonb(t) as data from "${table}" t where ${where}`);
  // Some do not last: a session that is not as it was written is removed with those that ended.
  if (before.length === 0) return async () => await Promise.resolve();
  await sql.unsafe(`update "${table}" set "${column}" = ${value} where ${where}`).catch(() => undefined);
  const isSame = (keys.get(table) ?? []).map((name) => `t."${name}" = r."${name}"`).join(' and ');
  return async () => {
    for (const { data } of before) {
      await sql.unsafe(
        `update "${table}" t set "${column}" = r."${column}" from jsonb_populate_record(null::"${table}", $1::text::jsonb) r
         where ${isSame} and t."${column}"::text is not distinct from (${value})::text`,
        [JSON.stringify(data)],
      );
    }
  };
}

/** A push for the good host: it is released, the host is told, reports, and the commit and the host are shown. */
async function pushed(server: TestServer, good: TestHost, agent: TestAgent): Promise<void> {
  const { store } = server.context;
  count += 1;
  const toplevel = `/nix/store/${'a'.repeat(32)}-good-${count}` as StorePath;
  const sha = String(count).padStart(40, 'c') as never;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const revision = await store.revisions.receive(server.repository.id, { sha, ...about, receivedAt: 1, fetchedAt: 1 });
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
  await store.revisions.saveEvaluations(revision.id, [{ host: good.host, outcome: 'CHANGED', toplevel }]);
  const [{ envelope }] = (await sql`select envelope from releases where host = 'good' limit 1`) as unknown as [{ envelope: string }];
  await store.releases.publish(revision.id, [{ host: good.host, sequence: revision.sequence, toplevel, commit: sha, issuedAt: 1, envelope }], 1);
  const row = await eventually(
    'the good host is told',
    async () => {
      const now = await store.hosts.get(good.host);
      const wasTold = agent.messages.some((each) => each.type === 'directive' && epochOf(each) === now?.desired?.epoch);
      return now?.desired?.toplevel === toplevel && wasTold ? now : undefined;
    },
    { explain: () => server.lines.slice(-5).join('\n') },
  );
  const observed = { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } };
  agent.send({ type: 'report', seq: row.reportSeq + 1, epoch: row.epoch, state: 'SUCCEEDED', toplevel, observed, at: 1 });
  await eventually(
    'the fleet shows it',
    async () => {
      const answer = await server.request('/api/fleet');
      const fleet = v.parse(FleetView, await answer.json());
      const shown = fleet.hosts.find(({ host }) => host === 'good');
      return fleet.revision?.sha === sha && shown?.standing === 'in-sync' && shown.desired?.toplevel === toplevel ? true : undefined;
    },
    { explain: async () => `${await (await server.request('/api/fleet')).text()}\n${server.lines.slice(-5).join('\n')}` },
  );
  await eventually('its status is to be sent', async () => {
    const [status] = await sql`select 1 as one from status_outbox where sha = ${sha} and context = 'floe/rollout' and state = 'success'`;
    return status;
  });
}

function epochOf({ envelope }: DirectiveMessage): number {
  return v.parse(v.object({ epoch: v.number() }), JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'))).epoch;
}

describe('a server on a database of which rows cannot be read', () => {
  const numRuns = fc.readConfigureGlobal().numRuns ?? 6;
  let good: TestHost;

  test('goes on, whatever one column holds', async () => {
    await using server = await startTestServer({ env, dataDir });
    good = await enrolHost(server.context.store, server.repository, 'good', `/nix/store/${'a'.repeat(32)}-first`);
    await furnish(server);
    await using agent = await TestAgent.welcome(server.url, good);
    await pushed(server, good, agent);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...plantings), async (planting) => {
        const restore = await plant(planting);
        await pushed(server, good, agent).catch((error: unknown) => {
          throw new Error(`${planting.table}.${planting.column} = ${planting.value}`, { cause: error });
        });
        await restore();
      }),
      { numRuns, endOnFailure: true },
    );
  });

  test('starts, with one in every table, and goes on', async () => {
    const ofEach = fc.tuple(...TABLE_NAMES.map((table) => fc.constantFrom(...plantings.filter((each) => each.table === table))));
    await fc.assert(
      fc.asyncProperty(ofEach, async (some) => {
        const restores: (() => Promise<void>)[] = [];
        for (const planting of some) restores.push(await plant(planting));
        const what = some.map(({ table, column, value }) => `${table}.${column} = ${value}`).join('\n');
        await using server = await startTestServer({ env, dataDir });
        const { reportSeq = 0 } = (await server.context.store.hosts.get(good.host)) ?? {};
        await using agent = await TestAgent.welcome(server.url, good, { reportSeq });
        await pushed(server, good, agent).catch((error: unknown) => {
          throw new Error(what, { cause: error });
        });
        for (const restore of restores.toReversed()) await restore();
      }),
      { numRuns: Math.ceil(numRuns / 6), endOnFailure: true },
    );
  });

  // Longer than its own wait, which then says what it saw.
  test('says which rows it leaves out', async () => {
    await using server = await startTestServer({ env, dataDir });
    const { id } = server.repository;
    await sql`insert into hosts (host, repository_id) values ('no host is called so!', ${id}), ('', ${id})`;
    await sql`insert into revisions (id, repository_id, sha, sequence, state, subject, author_name, author_email, committed_at, received_at)
      values ('odd', ${id}, 'zzz', ${2 ** 52 + 1}, 'RECEIVED', '', '', '', 1, 1)`;
    await sql`insert into releases (repository_id, host, sequence, toplevel, commit, issued_at, envelope)
      values (${id}, 'bad', 4000000000, 'no path', ${'0'.repeat(40)}, 1, '{}')`;
    const notice = await eventually(
      'it is told',
      async () => {
        const fleet = v.parse(FleetView, await (await server.request('/api/fleet')).json());
        const found = fleet.repository.notices.find(({ code }) => code === 'ROWS_UNREADABLE');
        return found !== undefined && ['hosts', 'revisions', 'releases'].every((kind) => found.message.includes(kind)) ? found : undefined;
      },
      { everyMs: 250, explain: async () => await (await server.request('/api/fleet')).text() },
    );
    expect(notice.message).toMatch(/"no host is called so!"/);
    expect(notice.message).toMatch(/the one of bad with sequence 4000000000/);
  });
});
