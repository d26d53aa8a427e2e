import { afterAll, beforeAll, expect, test } from 'vitest';
import postgres from 'postgres';
import type { CommitSha, HostName } from '@floe/model';
import { startPostgres, type PostgresServer } from '@floe/testkit';
import { openStore } from './open.ts';
import type { Release, Repository } from './records.ts';
import type { Store } from './store.ts';
import { moveRollout, newRepository, presence, publishNext, report, storeDeps } from './test/test-store.ts';

// Whatever writes many hosts at once, on a real Postgres, in the order in which Postgres comes to the rows: it waits a little after each row, so
// that two that do not lock in one order wait for each other every time.

let server: PostgresServer;
let one: Store;
let two: Store;
let sql: postgres.Sql;
let repository: Repository;
/** The rows are on disk in this order, against that of their names. */
const names = ['d', 'c', 'b', 'a'].map((name) => `order-${name}` as HostName);
let commits = 0;
let seq = 0;

beforeAll(async () => {
  server = await startPostgres();
  one = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  two = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  const address = new URL(server.url);
  sql = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  repository = await newRepository(one);
  for (const name of names) await one.hosts.ensure(repository.id, [name]);
  await publish();
  await sql.unsafe(`
    create function dawdle() returns trigger language plpgsql as $$
    begin if current_setting('application_name') = 'floe' then perform pg_sleep(0.03); end if; return new; end $$;
    create trigger dawdle before update on hosts for each row execute function dawdle();
    create trigger dawdle after insert on directives for each row execute function dawdle();`);
});
afterAll(async () => {
  await sql?.end();
  await one?.[Symbol.asyncDispose]();
  await two?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

async function publish(): Promise<void> {
  commits += 1;
  await publishNext(one, repository, String(commits).padStart(40, 'a') as CommitSha, names);
}

/** What the two stores name in a call they name in opposite orders. */
function namesFor(store: Store): readonly HostName[] {
  return store === one ? names : names.toReversed();
}

async function releases(store: Store): Promise<readonly Release[]> {
  const latest = new Map((await one.releases.latest(repository.id)).map((release) => [release.host, release]));
  return namesFor(store).flatMap((name) => latest.get(name) ?? []);
}

/** Each prepares the rows that it changes, and then changes them. */
const WRITERS: Readonly<Record<string, (store: Store) => Promise<() => Promise<unknown>>>> = {
  async desire(store) {
    const wanted = await releases(store);
    await sql`update hosts set desired_release_id = null`;
    return async () => await store.hosts.desire(wanted, 1);
  },
  async reports(store) {
    await Promise.resolve();
    seq += 1;
    const batch = namesFor(store).map((name) => report(name, seq));
    return async () => await store.reports.store(batch);
  },
  async directives(store) {
    const told = (await releases(store)).map(({ host, id }) => ({ host, epoch: seq, releaseId: id, mode: 'activate' as const, issuedAt: 1 }));
    await sql`delete from directives`;
    return async () => await store.hosts.saveDirectives(told);
  },
  async 'the end of all sessions'(store) {
    await sql`update hosts set is_connected = true, session_id = 'gone/1'`;
    return async () => await store.hosts.disconnectAll('gone/', 1);
  },
  async 'the end of a server'(store) {
    await sql`update hosts set is_connected = true, session_id = 'gone/1'`;
    return async () => await store.hosts.expirePresence('own', 1);
  },
  async 'a complete rollout'(store) {
    await publish();
    return async () => await moveRollout(store, repository.id, 'COMPLETE', 1);
  },
  async 'stable releases in the log'(store) {
    const told = await releases(store);
    await sql`update hosts set logged_stable_id = null, stable_release_id = (select r.id from releases r where r.host = hosts.host order by sequence desc limit 1)`;
    return async () => await store.stable.noteLogged(repository.id, 1, told);
  },
  async 'a new log'(store) {
    await Promise.resolve();
    return async () => await store.stable.relog(repository.id);
  },
  async 'stable releases from the log'(store) {
    const told = await releases(store);
    await sql`update hosts set stable_release_id = null`;
    return async () => await store.stable.restore(repository.id, told);
  },
  async hellos(store) {
    await Promise.resolve();
    return async () =>
      await Promise.all(namesFor(store).map(async (name) => await store.hosts.connect(name, presence({ sessionId: `gone/${name}` }))));
  },
  async 'forgotten refusals'(store) {
    await sql`update hosts set refused_at = 1, refused_count = 1`;
    return async () => await store.hosts.forgetRefusals(2);
  },
};

const PAIRS = Object.keys(WRITERS).flatMap((first, index) =>
  Object.keys(WRITERS)
    .slice(first === 'hellos' ? index : index + 1)
    .map((second) => [first, second] as const),
);

test.each(PAIRS)('%s and %s lock hosts in one order', async (first, second) => {
  const write = await Promise.all([WRITERS[first]?.(one), WRITERS[second]?.(two)]);
  await expect(Promise.all(write.map(async (each) => await each?.()))).resolves.toBeDefined();
});
