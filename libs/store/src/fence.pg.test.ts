import fc from 'fast-check';
import { isFloeError, silentLogger, systemClock } from '@floe/runtime';
import { eventually, startPostgres } from '@floe/testkit';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from './open.ts';
import type { Repository } from './records.ts';
import type { Store } from './store.ts';
import { commit, MIGRATIONS_DIR, newHost, newRelease, newRepository, path, receive, toBuilding } from './test/test-store.ts';
import { TABLE_NAMES } from './table-names.ts';

// Two builders, each with a connection pool of its own, on a real Postgres. One is held up in the middle of a write past its lease.

const stack = new AsyncDisposableStack();
let first: Store;
let second: Store;
let beside: postgres.Sql;
beforeAll(async () => {
  const server = stack.use(await startPostgres());
  const open = async (): Promise<Store> =>
    stack.use(await openStore({ kind: 'postgres', url: server.url }, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR }));
  [first, second] = [await open(), await open()];
  beside = postgres({ host: server.socketFolder, username: 'floe', database: 'floe', max: 2, onnotice: () => undefined });
  stack.defer(async () => await beside.end());
});
afterAll(async () => await stack.disposeAsync());

/** What a builder writes, each as one call; `n` makes each different. */
type Write = (store: Store, about: Subject, n: number) => Promise<unknown>;
interface Subject {
  readonly repository: Repository;
  readonly revisionId: string;
  readonly revision: Awaited<ReturnType<typeof receive>>;
  readonly host: ReturnType<typeof newHost>;
}
const WRITES: Readonly<Record<string, Write>> = {
  'repositories.accept': async (store, { repository }, n) => await store.repositories.accept(repository.id, commit(`${n % 10}`)),
  'repositories.recordFetch': async (store, { repository }, n) =>
    await store.repositories.recordFetch(repository.id, { now: n, problem: { code: `P${n}`, message: `${n}` } }),
  'repositories.hold': async (store, { repository }, n) =>
    await store.repositories.hold(repository.id, { commit: commit(`${n % 10}`), reason: `${n}` }, n),
  'repositories.noteAdvice': async (store, { repository }, n) => await store.repositories.noteAdvice(repository.id, `advice ${n}`),
  'repositories.raiseSequence': async (store, { repository }, n) => await store.repositories.raiseSequence(repository.id, 100 + n),
  'repositories.wake': async (store, { repository }) => await store.repositories.wake(repository.id),
  'revisions.receive': async (store, { repository }, n) => await receive(store, repository, commit(`${n % 10}${(n + 1) % 10}`)),
  'revisions.noteError': async (store, { revisionId }, n) => await store.revisions.noteError(revisionId, `error ${n}`),
  'revisions.noteBuilds': async (store, { repository, revisionId, host }, n) =>
    await store.revisions.noteBuilds(repository.id, revisionId, [{ host, since: n }]),
  'releases.handOut': async (store, { revision, revisionId, host }, n) =>
    await store.releases.handOut(revisionId, [newRelease(revision, host, path(`system-${n}`))], n),
  'releases.publish': async (store, { revision, revisionId, host }, n) =>
    await store.releases.publish(revisionId, [newRelease(revision, host, path(`system-${n}`))], n),
  'releases.saveFreshness': async (store, { repository }, n) => await store.releases.saveFreshness(repository.id, `${n}`, n, n),
  'hosts.ensure': async (store, { repository }) => await store.hosts.ensure(repository.id, [newHost()]),
};

async function newSubject(): Promise<Subject> {
  const repository = await newRepository(first);
  const revision = await receive(first, repository, commit('a'));
  await toBuilding(first, revision.id);
  const host = newHost();
  await first.hosts.ensure(repository.id, [host]);
  return { repository, revision, revisionId: revision.id, host };
}

async function claimed(store: Store, { id }: Repository, owner: string): Promise<number> {
  // Which is over at once.
  const token = await store.repositories.claim(id, owner, 0);
  if (token === undefined) throw new Error('the lease is held');
  return token;
}

/** All that the database has, but for claims. */
async function contents(): Promise<string> {
  const tables = TABLE_NAMES.filter((name) => name !== 'repository_leases');
  const rows = await Promise.all(
    tables.map(async (name) => await beside.unsafe(`select to_jsonb(t) - 'lease_owner' - 'lease_expires_at' as row from "${name}" t order by 1`)),
  );
  return JSON.stringify(rows);
}

const refused = async (call: Promise<unknown>): Promise<boolean> =>
  await call.then(
    () => false,
    (error: unknown) => {
      if (isFloeError(error, 'LEASE_LOST')) return true;
      throw error;
    },
  );

describe('what comes late of a builder', () => {
  test.each(Object.keys(WRITES))('is not taken: %s', async (name) => {
    const write = WRITES[name] as Write;
    const about = await newSubject();
    const { repository } = about;
    let lost = 0;
    const old = first.underLease({ repositoryId: repository.id, token: await claimed(first, repository, 'first'), onLost: () => (lost += 1) });
    const other = await newSubject();
    const held = first.underLease({ repositoryId: other.repository.id, token: await claimed(first, other.repository, 'first') });
    expect(await refused(write(held, other, 1))).toBe(false);
    const token = await claimed(second, repository, 'second');
    const before = await contents();
    expect(await refused(write(old, about, 2))).toBe(true);
    expect(await contents()).toBe(before);
    expect(lost).toBe(1);
    // Reading is not held up, and the one that holds the lease writes.
    await old.repositories.get(repository.id);
    expect(await refused(write(second.underLease({ repositoryId: repository.id, token }), about, 3))).toBe(false);
    expect(await contents()).not.toBe(before);
  });

  test('is not taken either of a builder that has the same name, such as a copy', async () => {
    const { repository } = await newSubject();
    const old = first.underLease({ repositoryId: repository.id, token: await claimed(first, repository, 'same') });
    await claimed(second, repository, 'same');
    expect(await refused(old.repositories.accept(repository.id, commit('b')))).toBe(true);
  });

  test('is not taken when it was held up in the middle of the write, while another builder took over', async () => {
    const about = await newSubject();
    const { repository, revisionId } = about;
    const old = first.underLease({ repositoryId: repository.id, token: await claimed(first, repository, 'first') });
    const reached = Promise.withResolvers<undefined>();
    const go = Promise.withResolvers<undefined>();
    const holding = beside.begin(async (tx) => {
      await tx`select id from revisions where id = ${revisionId} for update`;
      reached.resolve(undefined);
      await go.promise;
    });
    await reached.promise;
    const late = refused(old.revisions.noteError(revisionId, 'late'));
    await eventually('the late write waits', async () => (await beside`select from pg_locks where not granted`)[0]);
    await claimed(second, repository, 'second');
    go.resolve(undefined);
    await holding;
    expect(await late).toBe(true);
    expect((await first.revisions.get(revisionId))?.error).toBeUndefined();
  });

  test('is never committed once another builder has its claim, however they meet', async () => {
    const names = Object.keys(WRITES);
    const step = fc.record({
      before: fc.array(fc.constantFrom(...names), { maxLength: 4 }),
      during: fc.array(fc.constantFrom(...names), { maxLength: 4 }),
      turns: fc.nat({ max: 30 }),
    });
    let n = 10;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), async (steps) => {
        const about = await newSubject();
        const { repository } = about;
        const both = [first, second];
        let current = first.underLease({ repositoryId: repository.id, token: await claimed(first, repository, 'builder 0') });
        for (const [index, { before, during, turns }] of steps.entries()) {
          const old = current;
          const send = (each: string): Promise<boolean> => refused((WRITES[each] as Write)(old, about, (n += 1)));
          // Those that were sent first may be committed or not, but never after the claim.
          const sent = before.map(send);
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          const next = both[(index + 1) % 2] ?? first;
          const claiming = claimed(next, repository, `builder ${index + 1}`);
          const meanwhile = during.map(send);
          const token = await claiming;
          const then = await contents();
          await Promise.all([...sent, ...meanwhile]);
          expect(await contents()).toBe(then);
          current = next.underLease({ repositoryId: repository.id, token });
          expect(await refused(current.repositories.noteAdvice(repository.id, `holds ${(n += 1)}`))).toBe(false);
        }
      }),
      { numRuns: 40 },
    );
  });
});
