import type { CommitSha, HostName } from '@floe/model';
import { HostView } from '@floe/protocol';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { startTestServer, type TestServer } from './test/test-server.ts';

// Orders about hosts with odd input, and by two people at once.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** Few, since each publishes commits and asks for much; more by FLOE_FUZZ_RUNS. */
const RUNS = Number(process.env['FLOE_FUZZ_RUNS'] ?? 1);

const HOSTS = ['ada', 'bob'] as const;
const HOUR = 3_600_000;

interface Order {
  readonly method: 'POST' | 'DELETE';
  readonly path: string;
  readonly commit?: string | undefined;
  readonly until?: number | undefined;
}

const host = fc.constantFrom(...HOSTS, ...HOSTS, ...HOSTS, 'zed', '*', 'ADA', '-', '%2e%2e', '%00', 'a'.repeat(300));
const until = fc.constantFrom(undefined, undefined, HOUR, HOUR, 0, -HOUR, -Date.now(), 8.64e15, 2 ** 53, 0.5);
/** `first`, `last`: of a commit that is there, so many digits. */
const commit = fc.constantFrom('first 40', 'first 7', 'last 40', 'last 40', 'last 10', 'last 6', '0'.repeat(40), 'main', '', 'LAST 40', undefined);

const orders: fc.Arbitrary<Order> = fc.oneof(
  fc.record({ method: fc.constant('POST'), path: host.map((name) => `hosts/${name}/pin`), commit, until }),
  fc.record({ method: fc.constant('POST'), path: host.map((name) => `hosts/${name}/hold`), until }),
  fc.record({ method: fc.constant('DELETE'), path: host.map((name) => `hosts/${name}/pin`) }),
  fc.record({ method: fc.constantFrom('POST', 'DELETE'), path: host.map((name) => `hosts/${name}/ordered-quarantine`), commit }),
  fc.record({ method: fc.constantFrom('POST', 'DELETE'), path: fc.constant('ordered-quarantine'), commit }),
  fc.record({ method: fc.constant('DELETE'), path: host.map((name) => `hosts/${name}/enrolment`) }),
  fc.record({ method: fc.constant('DELETE'), path: host.map((name) => `hosts/${name}`) }),
);

async function give({ method, path, commit: named, until: end }: Order, shas: readonly CommitSha[]): Promise<void> {
  const [which, digits] = named?.split(' ') ?? [];
  const sha = which?.toLowerCase() === 'first' ? shas[0] : which?.toLowerCase() === 'last' ? shas.at(-1) : undefined;
  const short = sha?.slice(0, Number(digits));
  const body = { reason: 'x', commit: short === undefined ? named : which === 'LAST' ? short.toUpperCase() : short, until: end && Date.now() + end };
  const { status, text } = await server.ask(method, path, body);
  expect(status, `${method} ${path} ${JSON.stringify(body)}: ${text}`).toBeLessThan(500);
  if (status < 300 && end !== undefined) expect(end).toBeGreaterThan(0);
}

test('any orders of two people at once are taken or refused, and none of them outlives its host', async () => {
  const shas: CommitSha[] = [];
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(orders, { maxLength: 8 }), fc.array(orders, { maxLength: 8 }), async (mine, yours) => {
      round += 1;
      for (const name of HOSTS) await server.enrol(name);
      shas.push((await publishCommit(server, { ada: system(`a${round}`), bob: system(`b${round % 2}`) })).sha);
      // Gone from the flake, so that they can be forgotten.
      if (round % 2 === 0) shas.push((await publishCommit(server, { ada: 'REMOVED', bob: 'REMOVED' })).sha);
      await Promise.all(
        [mine, yours].map(async (person) => {
          for (const order of person) await give(order, shas);
        }),
      );

      const { hosts } = await server.context.store.hosts.fleet(server.repository.id);
      for (const { desired, situation } of hosts)
        if (desired.kind === 'release') expect(situation.ordered?.has(desired.release.toplevel) ?? false).toBe(false);
      for (const name of HOSTS) {
        const isThere = hosts.some(({ row }) => row.host === name);
        if (!isThere) await server.enrol(name);
        expect((await server.ask('GET', `hosts/${name}/why`)).status).toBe(200);
        const { orders: standing } = v.parse(HostView, JSON.parse((await server.ask('GET', `hosts/${name}`)).text));
        if (!isThere) expect(standing.filter(({ kind }) => kind !== 'quarantine-all')).toEqual([]);
      }
      for (const sha of shas) await server.ask('DELETE', 'ordered-quarantine', { reason: 'x', commit: sha });
    }),
    { numRuns: RUNS },
  );
});

test('neither a quarantine nor a pin of a host that was forgotten meanwhile is taken', async () => {
  await server.enrol('dan');
  const { sha } = await publishCommit(server, { dan: system('d1') });
  const { store } = server.context;
  const dan = 'dan' as HostName;
  await store.hosts.revoke(dan, 1);
  const [release] = (await store.hosts.fleet(server.repository.id, [dan])).hosts.flatMap(({ situation }) => situation.rollout ?? []);
  expect(await store.hosts.forget(dan)).toBe(true);
  const order = { repositoryId: server.repository.id, host: dan, commit: sha, reason: 'x', by: 'admin', at: 1 };
  expect(await store.hosts.orderQuarantine(order)).toBe(false);
  expect(await store.hosts.pin({ host: dan, kind: 'pin', releaseId: release?.id ?? '', reason: 'x', by: 'admin', at: 1 })).toBe(false);
  await server.enrol('dan');
  expect((await store.hosts.fleet(server.repository.id, [dan])).hosts[0]?.situation.ordered).toBeUndefined();
});
