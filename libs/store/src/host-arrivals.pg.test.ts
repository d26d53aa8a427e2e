import { AGENT_STATES, type CommitSha, type HostName } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HostRow } from './records.ts';
import { COUNTED_DATABASES, type CountedDatabase } from './test/counted-database.ts';
import { storesOn, type StoresOn } from './test/stores-on.ts';
import { commit, newRelease, path, presence, receive, report, toBuilding } from './test/test-store.ts';

const HOSTS = 6;

/** What a host was before its hello, and what the hello says. */
const anyArrival = fc.record({
  epochs: fc.nat(3),
  isDesired: fc.boolean(),
  isTrying: fc.boolean(),
  isRetried: fc.boolean(),
  reported: fc.nat(3),
  says: fc.record({
    epoch: fc.nat(5),
    sequence: fc.constantFrom(0, 1, 2, 7, 2_000_000),
    reportSeq: fc.nat(4),
    state: fc.constantFrom(...AGENT_STATES),
    stateToplevel: fc.constantFrom(undefined, path('wanted'), path('tried'), path('other')),
    capabilities: fc.constantFrom(undefined, [], ['stage']),
    bootId: fc.constantFrom('one', 'two'),
    at: fc.constantFrom(100, 200),
  }),
});

describe.each(COUNTED_DATABASES)('hosts that say hello, on $name', (kind) => {
  let database: CountedDatabase;
  let store: StoresOn;
  let repositories = 0;
  beforeAll(async () => {
    database = await kind.open();
    store = storesOn(database.db);
  });
  afterAll(async () => await database[Symbol.asyncDispose]());

  async function fleetOf(names: readonly HostName[]): Promise<string> {
    await database.empty();
    repositories += 1;
    const repository = await store.repositories.ensure({ url: `https://forge.example/${repositories}.git`, branch: 'main', now: 1 });
    for (const host of names) await store.hosts.enrol({ host, repositoryId: repository.id, machineId: host, publicKey: `key of ${host}`, at: 1 });
    const revision = await receive(store, repository, commit(String(repositories).padStart(40, '0')));
    await toBuilding(store, revision.id);
    await store.revisions.saveEvaluations(
      revision.id,
      names.map((host) => ({ host, outcome: 'CHANGED' as const, toplevel: path('wanted') })),
    );
    await store.releases.publish(
      revision.id,
      names.map((host) => newRelease(revision, host, path('wanted'))),
      1,
    );
    return repository.id;
  }

  /** By what stands in the database afterwards, and by the answers. */
  async function outcome(arrivals: readonly (typeof anyArrival extends fc.Arbitrary<infer One> ? One : never)[], isTogether: boolean) {
    // Other names each time: reports are history, and stay when their host goes.
    const names = arrivals.map((_, index) => `of${repositories}-${index}` as HostName);
    const repositoryId = await fleetOf(names);
    const { hosts } = await store.hosts.fleet(repositoryId);
    for (const [index, { epochs, isDesired, isTrying, isRetried, reported }] of arrivals.entries()) {
      const host = names[index] as HostName;
      const release = hosts.find(({ row }) => row.host === host)?.situation.rollout;
      if (isDesired && release !== undefined) await store.hosts.desire([release], 50);
      for (let n = 0; n < epochs; n += 1) await store.hosts.retry(host, path('other'));
      if (isRetried) await store.hosts.retry(host, path('wanted'));
      const trial = { toplevel: path('tried'), sequence: 1, commit: '1'.repeat(40) as CommitSha, envelope: '{}', by: 'ada', reason: 'why' };
      if (isTrying) await store.hosts.beginTrial({ host, ...trial, at: 60, endsAt: 1_000 });
      if (reported > 0) await store.reports.store([report(host, reported, { state: 'SUCCEEDED', toplevel: path('wanted') })]);
    }
    const connect = async (index: number): Promise<HostRow> =>
      await store.hosts.connect(names[index] as HostName, presence({ ...arrivals[index]?.says, sessionId: `server/${index}` }));
    const answers: HostRow[] = [];
    const all = arrivals.map((_, index) => index);
    if (isTogether) answers.push(...(await Promise.all(all.map(connect))));
    else for (const index of all) answers.push(await connect(index));
    const anonymous = (rows: readonly HostRow[]) =>
      rows.map(({ host, desired, ...row }) => ({
        ...row,
        repositoryId: '',
        publicKey: '',
        machineId: '',
        stableBy: '',
        host: host.replace(/^of\d+-/, ''),
        desired: desired && { ...desired, releaseId: 'r' },
      }));
    const { sequence } = await store.repositories.get(repositoryId);
    return { answers: anonymous(answers), stored: anonymous(await store.hosts.list(repositoryId)), sequence };
  }

  test('are stored together as they are one after another, and answered by what is stored', async () => {
    const numRuns = fc.readConfigureGlobal().numRuns ?? 6;
    await fc.assert(
      fc.asyncProperty(fc.array(anyArrival, { minLength: 3, maxLength: HOSTS }), async (arrivals) => {
        const together = await outcome(arrivals, true);
        expect(together).toEqual(await outcome(arrivals, false));
        expect(together.answers).toEqual(together.stored);
      }),
      { numRuns, endOnFailure: true },
    );
  });

  test('of many at once cost a few statements', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `host${index}` as HostName);
    await fleetOf(names);
    const all = async () => await Promise.all(names.map(async (host) => await store.hosts.connect(host, presence({ sessionId: `server/${host}` }))));
    // Two that wait for nobody, and two transactions for all others at most.
    expect(await database.statements(all)).toBeLessThanOrEqual(4 * 5);
  });

  test('of one that is refused, or that nobody knows, the others do not suffer', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `host${index}` as HostName);
    const repositoryId = await fleetOf(names);
    const odd = (host: string): boolean => host === 'host7';
    const results = await Promise.allSettled(
      [...names, 'nobody' as HostName].map(
        async (host) => await store.hosts.connect(host, presence({ sessionId: `server/${host}`, reportSeq: odd(host) ? 2 ** 80 : 0 })),
      ),
    );
    expect(results.flatMap(({ status }, index) => (status === 'rejected' ? [names[index] ?? 'nobody'] : []))).toEqual(['host7', 'nobody']);
    const connected = (await store.hosts.list(repositoryId)).filter(({ isConnected }) => isConnected).map(({ host }) => host);
    expect(connected.toSorted()).toEqual(names.filter((host) => !odd(host)).toSorted());
  });
});
