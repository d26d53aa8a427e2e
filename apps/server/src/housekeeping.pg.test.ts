import type { HostName } from '@floe/model';
import { silentLogger, systemClock, Troubles } from '@floe/runtime';
import { TABLE_NAMES } from '@floe/store';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newHost, newRepository, report, WORLDS, type World } from '../../../libs/store/src/test/test-store.ts';
import { GROWTH, keepHouse } from './housekeeping.ts';

// Every table that a host, a pusher or a stranger can grow has a bound, and an age where the bound moves with time.

const YEAR_MS = 365 * 24 * 3_600_000;
const LATER = { clock: { ...systemClock, now: () => 10 * YEAR_MS }, logger: silentLogger };

let world: World & { readonly query: NonNullable<World['query']> };
beforeAll(async () => {
  const opened = await WORLDS[1].open();
  if (opened.query === undefined) throw new Error('no connection beside the store');
  world = { ...opened, query: opened.query };
});
afterAll(async () => await world[Symbol.asyncDispose]());

/** One round of it, ten years after whatever the tests wrote. */
async function keepHouseOnce(): Promise<void> {
  const stopping = new AbortController();
  const troubles = new Troubles(LATER);
  const clock = { ...LATER.clock, sleep: async () => await Promise.resolve(stopping.abort()) };
  await keepHouse({ store: world.store, troubles, ...LATER, clock }, stopping.signal);
  expect(TABLE_NAMES.map((table) => troubles.of(`table ${table}`))).toEqual(TABLE_NAMES.map(() => undefined));
}

async function countOf(table: string): Promise<number> {
  const [row] = await world.query(`select count(*)::int as count from "${table}"`);
  return Number(row?.['count']);
}

test('no table of the database is forgotten', async () => {
  const rows = await world.query(`select table_name as name from information_schema.tables where table_schema = 'public'`);
  const ours = rows.map(({ name }) => String(name)).filter((name) => name !== 'floe_migrations');
  expect(ours.toSorted()).toEqual(TABLE_NAMES.toSorted());
  expect(Object.keys(GROWTH).toSorted()).toEqual(TABLE_NAMES.toSorted());
  for (const { bound } of Object.values(GROWTH)) expect(bound).not.toBe('');
});

test('what is old goes from each table that has an age', async () => {
  const { store, query } = world;
  const repository = await newRepository(store);
  const host = newHost();
  await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'machine', publicKey: 'key', at: 1 });
  await store.hosts.noteRefusal(host, 'why', 1, 1);
  const token = 'a'.repeat(32);
  await store.tokens.createApiToken({ name: 'admin', role: 'administrator', token, at: 1 });
  await store.tokens.createApiToken({ name: 'guest', role: 'viewer', token: 'b'.repeat(32), at: 1, expiresAt: 2 });
  await store.tokens.createSession('session', token, 1);
  await store.tokens.createEnrolmentToken(host, 'enrolment', 1);
  await query(`
    insert into revisions (id, repository_id, sha, sequence, state, subject, author_name, author_email, committed_at, received_at)
    select 'old' || n, '${repository.id}', lpad(n::text, 40, '0'), n, 'PUBLISHED', '', '', '', 1, 1 from generate_series(1, 500) n;
    insert into evaluations (revision_id, host, outcome) select 'old' || n, '${host}', 'CHANGED' from generate_series(1, 500) n;
    insert into rollouts (revision_id, state, started_at) select 'old' || n, 'COMPLETE', 1 from generate_series(1, 500) n;
    insert into releases (id, repository_id, revision_id, host, sequence, toplevel, commit, issued_at, envelope)
    select 'old' || n, '${repository.id}', 'old' || n, '${host}', n, '/nix/store/${'0'.repeat(32)}-' || n, lpad(n::text, 40, '0'), 1, '{}' from generate_series(1, 500) n;
    insert into directives (host, epoch, release_id, mode, issued_at) select '${host}', n, 'old' || n, 'activate', 1 from generate_series(301, 500) n;
    insert into quarantines (host, toplevel, reason, created_at) select '${host}', '/nix/store/${'0'.repeat(32)}-' || n, '', 1 from generate_series(1, 500) n;
    insert into status_outbox (repository_id, sha, context, state, description, target_url, updated_at)
    -- Of commits that are not known any more.
    select '${repository.id}', lpad((n + 1000)::text, 40, '0'), 'c', 'success', '', '', 1 from generate_series(1, 500) n;
    insert into webhook_deliveries (forge, id, event, outcome, received_at) select 'github', n, 'push', 'accepted', 1 from generate_series(1, 500) n;
    insert into audit_log (at, actor, action, subject, detail) select 1, '', '', '', '' from generate_series(1, 500) n;
    insert into reports (host, series, seq, epoch, state, observed, at, received_at)
    select '${host}', 1, n, 1, 'IDLE', '{}', 1, 1 from generate_series(1, 500) n`);
  await keepHouseOnce();
  const left = Object.fromEntries(await Promise.all(TABLE_NAMES.map(async (table) => [table, await countOf(table)] as const)));
  expect(left).toMatchObject({
    api_tokens: 1,
    sessions: 0,
    enrolment_tokens: 0,
    audit_log: 0,
    // The newest, and what the host rolled back from in it.
    quarantines: 1,
    directives: 1,
    reports: 1,
    status_outbox: 0,
    webhook_deliveries: 0,
    releases: 1,
    // What the commands list.
    revisions: 200,
    evaluations: 200,
    rollouts: 200,
  });
  expect((await store.hosts.get(host))?.refused).toBeUndefined();
});

test('history goes after as long as the operator said, and nothing else does', async () => {
  const { store } = world;
  const host = newHost();
  const repository = await newRepository(store);
  await store.hosts.ensure(repository.id, [host]);
  const day = YEAR_MS / 365;
  const [at, now] = [10 * YEAR_MS, 10 * YEAR_MS + 20 * day];
  const push = { forge: 'github', id: 'young', event: 'push', outcome: 'ignored', receivedAt: at } as const;
  await store.deliveries.record(push);
  await store.reports.store([1, 2].map((seq) => report(host, seq, { receivedAt: at })));
  const clock = { ...systemClock, now: () => now };
  const round = async (historyMs: number): Promise<number> => {
    const stopping = new AbortController();
    const sleep = async (): Promise<void> => await Promise.resolve(stopping.abort());
    const deps = { store, logger: silentLogger, clock: { ...clock, sleep }, historyMs };
    await keepHouse({ ...deps, troubles: new Troubles(deps) }, stopping.signal);
    return (await store.reports.list(host, 10)).length;
  };
  expect(await round(21 * day)).toBe(2);
  expect(await round(19 * day)).toBe(1);
  expect(await store.deliveries.record(push)).toBe('duplicate');
});

test('more than one statement removes goes too, and what a host runs or booted stays', async () => {
  const { store, query } = world;
  const repository = await newRepository(store);
  const host = newHost();
  await store.hosts.ensure(repository.id, [host]);
  const key = repository.id.slice(0, 8);
  await query(`
    insert into releases (id, repository_id, host, sequence, toplevel, commit, issued_at, envelope)
    select '${key}' || n, '${repository.id}', '${host}', n, '/nix/store/${'0'.repeat(32)}-' || n, lpad('', 40, '0'), 1, '{}' from generate_series(1, 12000) n;
    update hosts set state_toplevel = '/nix/store/${'0'.repeat(32)}-5', observed = '${JSON.stringify({
      current: `/nix/store/${'0'.repeat(32)}-7`,
      booted: `/nix/store/${'0'.repeat(32)}-9`,
      profile: { generation: 1, toplevel: `/nix/store/${'0'.repeat(32)}-11` },
    })}' where host = '${host}'`);
  expect(await store.releases.prune(2)).toBe(12_000 - 5);
  const left = await query(`select sequence::int from releases where host = '${host}' order by sequence`);
  expect(left.map(({ sequence }) => sequence)).toEqual([5, 7, 9, 11, 12_000]);
});

const HOSTS = ['one', 'two', 'three'] as const;
const history = fc.array(
  fc.record({
    state: fc.constantFrom('PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'EVAL_FAILED', 'SUPERSEDED', 'BUILDING'),
    rollout: fc.constantFrom('COMPLETE', 'ROLLING', 'SUPERSEDED'),
    released: fc.subarray([...HOSTS]),
    /** Whose release became stable, when the rollout was complete. */
    proved: fc.subarray([...HOSTS]),
    imported: fc.subarray([...HOSTS]),
    quarantined: fc.subarray([...HOSTS]),
    /** So many numbers further, of which so many are old commits that nothing came of: more than the commands list, or than a host may skip. */
    gap: fc.constantFrom(1, 30, 150, 300, 900_000),
  }),
  { minLength: 1, maxLength: 12 },
);

test('whatever the history, what hosts are told stays the same without what is old', async () => {
  const { store, query } = world;
  await fc.assert(
    fc.asyncProperty(history, async (pushes) => {
      const repository = await newRepository(store);
      const named = new Map(HOSTS.map((name) => [name, newHost()]));
      await store.hosts.ensure(repository.id, [...named.values()]);
      const key = repository.id.slice(0, 8);
      const statements: string[] = [];
      let sequence = 0;
      for (const { state, rollout, released, proved, imported, quarantined, gap } of pushes) {
        const fillers = gap === 900_000 ? 0 : gap - 1;
        statements.push(`insert into revisions (id, repository_id, sha, sequence, state, subject, author_name, author_email, committed_at, received_at)
          select '${key}-filler-' || n, '${repository.id}', lpad(n::text, 40, 'f'), n, 'SUPERSEDED', '', '', '', 1, 1 from generate_series(${sequence + 1}, ${sequence + fillers}) n`);
        sequence += gap;
        const id = `${key}-${sequence}`;
        const sha = `${key}${sequence}`.padEnd(40, '0').replaceAll(/[^0-9a-f]/g, '0');
        statements.push(`insert into revisions (id, repository_id, sha, sequence, state, subject, author_name, author_email, committed_at, received_at)
          values ('${id}', '${repository.id}', '${sha}', ${sequence}, '${state}', '', '', '', 1, 1)`);
        for (const host of named.values())
          statements.push(
            `insert into evaluations (revision_id, host, outcome, toplevel) values ('${id}', '${host}', 'UNCHANGED', '/nix/store/${'0'.repeat(32)}-${sequence % 3}')`,
          );
        if (state !== 'PUBLISHED') continue;
        statements.push(`insert into rollouts (revision_id, state, started_at) values ('${id}', '${rollout}', 1)`);
        for (const name of HOSTS) {
          const of = released.includes(name) ? `'${id}'` : imported.includes(name) ? 'null' : undefined;
          if (of === undefined) continue;
          const toplevel = `/nix/store/${'0'.repeat(32)}-${sequence % 3}`;
          statements.push(`insert into releases (repository_id, revision_id, host, sequence, toplevel, commit, issued_at, envelope)
            values ('${repository.id}', ${of}, '${named.get(name)}', ${sequence}, '${toplevel}', '${sha}', 1, '{}')`);
          if (rollout === 'COMPLETE' && released.includes(name) && proved.includes(name))
            statements.push(
              `update hosts set stable_release_id = (select id from releases where host = '${named.get(name)}' and sequence = ${sequence}) where host = '${named.get(name)}'`,
            );
          if (quarantined.includes(name))
            statements.push(
              `insert into quarantines (host, toplevel, reason, created_at) values ('${named.get(name)}', '${toplevel}', '', ${9.5 * YEAR_MS}) on conflict do nothing`,
            );
        }
      }
      await query(statements.join(';'));
      const look = async (): Promise<unknown> => ({
        situations: (await store.hosts.fleet(repository.id)).hosts.map(({ situation }) => situation),
        latest: (await store.releases.latest(repository.id)).map(({ id }) => id),
        current: (await store.hosts.fleet(repository.id)).rollout,
        newest: await store.revisions.newest(repository.id),
        unfinished: await store.revisions.nextUnfinished(repository.id),
        published: await publishedHosts(repository.id),
        listed: (await store.revisions.list(repository.id, 200)).map(({ revision }) => revision.id),
      });
      const before = await look();
      for (const growth of Object.values(GROWTH)) if ('prune' in growth) await growth.prune(store, 10 * YEAR_MS - growth.keepMs);
      expect(await look()).toEqual(before);
    }),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 15, endOnFailure: true },
  );

  async function publishedHosts(repositoryId: string): Promise<readonly HostName[]> {
    const newest = await store.revisions.newestPublished(repositoryId);
    return newest === undefined ? [] : (await store.revisions.evaluations(newest.id)).map(({ host }) => host);
  }
});
