import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import postgres from 'postgres';
import { openStore } from './open.ts';
import type { Hint, Store } from './store.ts';
import {
  commit,
  newestRelease,
  moveRollout,
  newHost,
  newRelease,
  newRepository,
  path,
  presence,
  publishNext,
  receive,
  report,
  storeDeps,
  toBuilding,
  unique,
} from './test/test-store.ts';

// Two processes on one Postgres, each with several connections. Every race is run often: a lost one shows as a failure
// now and then, never as a failure of code that is right.
const ROUNDS = 15;

let server: PostgresServer;
let one: Store;
let two: Store;
let beside: postgres.Sql;
beforeAll(async () => {
  server = await startPostgres();
  one = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  two = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  beside = postgres({ host: server.socketFolder, username: 'floe', database: 'floe', max: 2, onnotice: () => undefined });
});
afterAll(async () => {
  await beside?.end();
  await one?.[Symbol.asyncDispose]();
  await two?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

async function rounds(run: (round: number) => Promise<void>): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) await run(round);
}

describe('of two processes at once', () => {
  test("one gets a repository's lease", async () => {
    await rounds(async () => {
      const { id } = await newRepository(one);
      const claims = [one, two, one, two].map(async (store, index) => await store.repositories.claim(id, `owner ${index}`, 60_000));
      expect((await Promise.all(claims)).filter((token) => token !== undefined).length).toBe(1);
    });
  });

  test('one takes a head in, the other gets the same revision', async () => {
    await rounds(async () => {
      const repository = await newRepository(one);
      const [first, second] = await Promise.all([receive(one, repository, commit('a')), receive(two, repository, commit('a'))]);
      expect(first.id).toBe(second.id);
      expect((await one.repositories.get(repository.id)).sequence).toBe(1);
    });
  });

  test('both take in heads of their own, and one is superseded', async () => {
    await rounds(async () => {
      const repository = await newRepository(one);
      await Promise.all([receive(one, repository, commit('a')), receive(two, repository, commit('b'))]);
      const revisions = (await one.revisions.list(repository.id, 10)).map(({ revision }) => revision);
      expect(revisions.map(({ sequence, state }) => [sequence, state])).toEqual([
        [2, 'RECEIVED'],
        [1, 'SUPERSEDED'],
      ]);
      expect((await one.repositories.get(repository.id)).acceptedCommit).toBe(revisions[0]?.sha);
    });
  });

  test('one moves a revision', async () => {
    await rounds(async () => {
      const { id } = await receive(one, await newRepository(one), commit('a'));
      const moves = await Promise.all([one.revisions.advance(id, 'accepted', 1), two.revisions.advance(id, 'accepted', 2)]);
      expect(moves.toSorted((a, b) => a.kind.localeCompare(b.kind))).toEqual([
        { kind: 'advanced', state: 'VERIFYING' },
        { kind: 'stale', state: 'VERIFYING' },
      ]);
    });
  });

  test('one publishes, the other gets its releases', async () => {
    await rounds(async () => {
      const host = newHost();
      const revision = await receive(one, await newRepository(one), commit('a'));
      await toBuilding(one, revision.id);
      const [first, second] = await Promise.all(
        [one, two].map(async (store, index) => await store.releases.publish(revision.id, [newRelease(revision, host, path(`x${index}`))], 50)),
      );
      expect(first).toEqual(second);
      expect(first?.kind).toBe('published');
    });
  });

  test('one publishes while the other supersedes: either, and never half of both', async () => {
    const ends = new Set<string>();
    await rounds(async () => {
      const repository = await newRepository(one);
      const host = newHost();
      await one.hosts.ensure(repository.id, [host]);
      const revision = await receive(one, repository, commit('a'));
      await toBuilding(one, revision.id);
      const [published] = await Promise.all([
        one.releases.publish(revision.id, [newRelease(revision, host, path('x'))], 50),
        receive(two, repository, commit('b')),
      ]);
      const after = await one.revisions.get(revision.id);
      const release = await newestRelease(one, repository, host);
      ends.add(`${published.kind}, ${after?.state}, ${release === undefined ? 'no release' : 'a release'}`);
    });
    for (const end of ends) expect(['published, PUBLISHED, a release', 'stale, SUPERSEDED, no release']).toContain(end);
  });

  test('both desire: one epoch for one release', async () => {
    await rounds(async () => {
      const repository = await newRepository(one);
      const host = newHost();
      await one.hosts.ensure(repository.id, [host]);
      await one.releases.importStatement({
        repositoryId: repository.id,
        host,
        sequence: 1,
        toplevel: path('x'),
        commit: commit('a'),
        issuedAt: 1,
        envelope: '{}',
      });
      const release = await newestRelease(one, repository, host);
      if (release === undefined) throw new Error('no release');
      const desires = await Promise.all([one, two, one, two].map(async (store) => await store.hosts.desire([release], 1)));
      expect(desires.flat()).toEqual([{ host, epoch: 1 }]);
    });
  });

  test('one desires by what a host was told before the other, which it waited for: the host is told nothing', async () => {
    await rounds(async () => {
      const repository = await newRepository(one);
      const hosts = [newHost(), newHost()].toSorted();
      const [moved, still] = hosts;
      if (moved === undefined || still === undefined) throw new Error('no hosts');
      await publishNext(one, repository, commit('a'), hosts);
      const wanted = await Promise.all(
        hosts.map(async (host) => {
          const release = await newestRelease(one, repository, host);
          if (release === undefined) throw new Error('no release');
          return { ...release, epoch: 0 };
        }),
      );
      let desired: ReturnType<Store['hosts']['desire']> | undefined;
      await beside.begin(async (tx) => {
        await tx`update hosts set epoch = 7 where host = ${moved}`;
        desired = one.hosts.desire(wanted, 1);
        await eventually('it waits for the lock', async () => {
          const [waiting] = await beside`select from pg_stat_activity where wait_event_type = 'Lock' and query like '%desired_release_id%'`;
          return waiting;
        });
      });
      expect(await desired).toEqual([{ host: still, epoch: 1 }]);
      expect(await one.hosts.get(moved)).toMatchObject({ epoch: 7, desired: undefined });
    });
  });

  test('both store reports of the same hosts, in opposite orders', async () => {
    const repository = await newRepository(one);
    const hosts = Array.from({ length: 200 }, newHost);
    await one.hosts.ensure(repository.id, hosts);
    await rounds(async (round) => {
      const batch = hosts.map((host) => report(host, round + 1));
      const [first, second] = await Promise.all([one.reports.store(batch), two.reports.store(batch.toReversed())]);
      expect(new Set([...first.values(), ...second.values()])).toEqual(new Set([round + 1]));
    });
    expect((await one.reports.list(hosts[0] ?? newHost(), 1_000)).length).toBe(ROUNDS);
  });

  test('one uses an enrolment token', async () => {
    await rounds(async () => {
      const host = newHost();
      await one.tokens.createEnrolmentToken(host, `token ${host}`, 1_000);
      const kinds = await Promise.all([one, two].map(async (store) => (await store.tokens.consumeEnrolmentToken(`token ${host}`, host, 1)).kind));
      expect(kinds.toSorted()).toEqual(['consumed', 'used']);
    });
  });

  test('each gets other statuses to send', async () => {
    const { id } = await newRepository(one);
    await rounds(async (round) => {
      // Long enough after the round before for its words to be told.
      const now = 1 + round * 86_400_000;
      const about = { repositoryId: id, sha: commit('a'), state: 'pending', description: `${round}`, targetUrl: '', now } as const;
      for (let index = 0; index < 10; index += 1) await one.outbox.putAll([{ ...about, context: `context ${index}` }]);
      const claims = await Promise.all([one, two].map(async (store) => await store.outbox.claimDue({ now, limit: 10, leaseMs: 10 })));
      const ids = claims.flat().map((claimed) => claimed.id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const store of [one, two]) for (const left of await store.outbox.claimDue({ now, limit: 10, leaseMs: 10 })) claims.push([left]);
      for (const claimed of claims.flat()) await one.outbox.markSent(claimed, now + 1);
      expect(claims.flat().length).toBe(10);
    });
  });

  test('hints of one reach the other', async () => {
    const heard = Promise.withResolvers<unknown>();
    await using _listener = await two.hints.listen(heard.resolve);
    const { id } = await newRepository(one);
    await one.repositories.wake(id);
    expect(await heard.promise).toEqual([{ topic: 'repository', id }]);
  });

  test('hints of what the caller acts on reach the other, and are not echoed to the one who wrote', async () => {
    const repository = await newRepository(one);
    const host = newHost();
    const revision = await publishNext(one, repository, commit('a'), [host]);
    const heard: { readonly one: Hint[]; readonly two: Hint[] } = { one: [], two: [] };
    await using _one = await one.hints.listen((hints) => heard.one.push(...hints));
    await using _two = await two.hints.listen((hints) => heard.two.push(...hints));
    const hostHint = { topic: 'host', host } as const;
    const latest = await newestRelease(one, repository, host);
    const status = {
      repositoryId: repository.id,
      sha: commit('a'),
      context: unique('echo'),
      state: 'pending',
      description: '',
      targetUrl: '',
    } as const;
    const writes: readonly (readonly [() => Promise<unknown>, ...Hint[]])[] = [
      [async () => await one.hosts.connect(host, presence({ sessionId: 'one/1' })), hostHint],
      [async () => await one.reports.store([report(host, 1)]), hostHint],
      [async () => await one.hosts.desire(latest === undefined ? [] : [latest], 1), hostHint],
      [async () => await one.hosts.disconnect(host, 'one/1', 2), hostHint],
      [async () => await one.hosts.reconnect(host, 'one/1', 3), hostHint],
      [async () => await moveRollout(one, repository.id, 'COMPLETE', 4), { topic: 'revision', id: revision.id }, { topic: 'host', host: '*' }],
      [async () => await one.outbox.putAll([{ ...status, now: 1 }]), { topic: 'outbox' }],
    ];
    for (const [write, ...hints] of writes) {
      const before = heard.two.length;
      await write();
      await eventually('the other hears of it', () => (heard.two.length > before ? true : undefined));
      expect(heard.two.slice(before)).toEqual(hints);
    }
    // A repeat, which changes nothing, tells nobody.
    const before = heard.two.length;
    if (latest !== undefined) expect(await one.hosts.desire([latest], 1)).toEqual([]);
    // What comes after them is heard, so that they would have been.
    const marker = { topic: 'repository', id: repository.id } as const;
    await one.repositories.wake(repository.id);
    await eventually('the marker is heard', () => (heard.one.length > 0 ? true : undefined));
    expect(heard.one).toEqual([marker]);
    await eventually('the other hears the marker', () => (heard.two.length > before ? true : undefined));
    expect(heard.two.slice(before)).toEqual([marker]);
  });
});
