import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, VERDICT_MS, type HostName, type ReleaseRef, type RolloutState } from '@floe/model';
import type { HostRow, Repository } from './records.ts';
import { ringHosts } from './ring-hosts.ts';
import {
  commit,
  newestRelease,
  newHost,
  newRelease,
  newRepository,
  observed,
  path,
  presence,
  moveRollout,
  publishNext,
  quarantinesOf,
  receive,
  report,
  toBuilding,
  unique,
  type World,
  WORLDS,
} from './test/test-store.ts';

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function enrolled(repository: Repository, machineId = 'machine'): Promise<HostName> {
    const host = newHost();
    await world.store.hosts.enrol({ host, repositoryId: repository.id, machineId, publicKey: `key of ${host}`, at: 5 });
    return host;
  }
  async function get(host: HostName): Promise<HostRow> {
    const row = await world.store.hosts.get(host);
    if (row === undefined) throw new Error(`no ${host}`);
    return row;
  }
  /** An enrolled host, and two releases for it. */
  async function withReleases(): Promise<{ host: HostName; repository: Repository; first: ReleaseRef; second: ReleaseRef }> {
    const repository = await newRepository(world.store);
    const host = await enrolled(repository);
    const refs: ReleaseRef[] = [];
    for (const digit of ['1', '2']) {
      await publishNext(world.store, repository, commit(digit), [host]);
      const latest = await newestRelease(world.store, repository, host);
      if (latest !== undefined) refs.push({ id: latest.id, host, sequence: latest.sequence, toplevel: latest.toplevel });
    }
    const [first, second] = refs;
    if (first === undefined || second === undefined) throw new Error('no releases');
    return { host, repository, first, second };
  }

  describe('a host', () => {
    test('has a row as soon as it is in the flake', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [newHost(), newHost()];
      await store.hosts.ensure(repository.id, [bob, ada]);
      await store.hosts.connect(ada, presence({ state: 'SUCCEEDED' }));
      await store.hosts.ensure(repository.id, [ada, bob]);
      await store.hosts.ensure(repository.id, []);
      const rows = await store.hosts.list(repository.id);
      expect(rows.map(({ host, state }) => [host, state])).toEqual([
        [ada, 'SUCCEEDED'],
        [bob, 'IDLE'],
      ]);
      expect(rows[1]).toMatchObject({
        epoch: 0,
        isConnected: false,
        reportSeq: 0,
        desired: undefined,
        observed: { current: null, booted: null, profile: null },
      });
      expect(await store.hosts.get(newHost())).toBeUndefined();
    });

    test('enrols, is known with its key, and is refused and admitted again', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository, 'laptop');
      expect(await get(host)).toMatchObject({ publicKey: `key of ${host}`, machineId: 'laptop', enrolledAt: 5 });
      await store.hosts.revoke(host, 7);
      await store.hosts.markCloned(host, 8);
      expect(await get(host)).toMatchObject({ revokedAt: 7, clonedAt: 8 });
      await store.hosts.clearCloned(host);
      expect((await get(host)).clonedAt).toBeUndefined();
      await store.hosts.markCloned(host, 9);
      await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'new laptop', publicKey: 'new key', at: 10 });
      expect(await get(host)).toMatchObject({
        machineId: 'new laptop',
        publicKey: 'new key',
        enrolledAt: 10,
        revokedAt: undefined,
        clonedAt: undefined,
      });
      await expect(store.hosts.revoke(newHost(), 1)).rejects.toMatchObject({ code: 'STORE_ROW_MISSING' });
    });

    test('that enrols again keeps its epoch, and its reports count from 1', async () => {
      const { host, repository, first } = await withReleases();
      const { store } = world;
      await store.hosts.desire([first], 1);
      await store.reports.store([report(host, 1, { state: 'SUCCEEDED' }), report(host, 2)]);
      await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'new', publicKey: 'new key', at: 10 });
      expect(await get(host)).toMatchObject({ epoch: 1, reportSeq: 0, state: 'IDLE', isConnected: false, stateToplevel: undefined });
      expect(await store.reports.store([report(host, 1, { state: 'OFFERED' })])).toEqual(new Map([[host, 1]]));
      expect((await get(host)).state).toBe('OFFERED');
      expect((await store.reports.list(host, 10)).map(({ seq, state }) => `${seq} ${state}`)).toEqual(['1 OFFERED', '2 DOWNLOADING', '1 SUCCEEDED']);
    });
  });

  describe('presence', () => {
    test('is what the agent says when it connects', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      const row = await store.hosts.connect(host, presence({ state: 'SUCCEEDED', stateToplevel: path('x'), observed: observed(path('x')), at: 100 }));
      expect(row).toMatchObject({
        isConnected: true,
        sessionId: 'server/1',
        bootId: 'boot',
        state: 'SUCCEEDED',
        stateSince: 100,
        observed: observed(path('x')),
        lastSeenAt: 100,
      });
      expect(await get(host)).toEqual(row);
      const again = await store.hosts.connect(host, presence({ sessionId: 'server/2', state: 'SUCCEEDED', stateToplevel: path('x'), at: 200 }));
      expect(again).toMatchObject({ sessionId: 'server/2', stateSince: 100, lastSeenAt: 200 });
    });

    test('of a host whose enrolment a lost database had counts from its restoring', async () => {
      const { store } = world;
      const { id: repositoryId } = await newRepository(store);
      const given = { repositoryId, machineId: 'm', publicKey: 'key', at: 100 };
      expect((await store.hosts.enrol({ ...given, host: newHost() })).lastSeenAt).toBeUndefined();
      const restored = await store.hosts.enrol({ ...given, host: newHost(), isRestored: true });
      expect(restored.enrolledAt).toBe(100);
      expect(restored.lastSeenAt).toBe(1_000_000);
    });

    test('ends with its own session only', async () => {
      const { hosts } = world.store;
      const host = await enrolled(await newRepository(world.store));
      await hosts.connect(host, presence({ sessionId: 'a/1' }));
      await hosts.connect(host, presence({ sessionId: 'a/2' }));
      expect(await hosts.disconnect(host, 'a/1', 300)).toBe(false);
      expect((await get(host)).isConnected).toBe(true);
      expect(await hosts.disconnect(host, 'a/2', 300)).toBe(true);
      expect(await get(host)).toMatchObject({ isConnected: false, lastSeenAt: 300 });
      expect(await hosts.disconnect(host, 'a/2', 400)).toBe(false);
    });

    test('of a server that is gone ends at once', async () => {
      const { hosts } = world.store;
      const repository = await newRepository(world.store);
      const [one, two, three] = [await enrolled(repository), await enrolled(repository), await enrolled(repository)];
      await hosts.disconnectAll(undefined, 1);
      await hosts.connect(one, presence({ sessionId: 'dead%/1' }));
      await hosts.connect(two, presence({ sessionId: 'dead%/2' }));
      await hosts.connect(three, presence({ sessionId: 'deadline/1' }));
      expect(await hosts.disconnectAll('dead%/', 500)).toBe(2);
      expect((await get(three)).isConnected).toBe(true);
      expect(await hosts.disconnectAll(undefined, 600)).toBe(1);
      expect(await get(three)).toMatchObject({ isConnected: false, lastSeenAt: 600 });
      expect(await get(one)).toMatchObject({ isConnected: false, lastSeenAt: 500 });
    });

    test('is good as long as the lease of its server, and every server knows its own', async () => {
      const { hosts } = world.store;
      const repository = await newRepository(world.store);
      const [mine, living, dead, old] = [
        await enrolled(repository),
        await enrolled(repository),
        await enrolled(repository),
        await enrolled(repository),
      ];
      const [own, other, gone] = [unique('own'), unique('other'), unique('gone')];
      await hosts.disconnectAll(undefined, 1);
      await hosts.renewLease(other, 3600_000);
      await hosts.renewLease(gone, 3600_000);
      await hosts.renewLease(gone, -1);
      await hosts.connect(mine, presence({ sessionId: `${own}/1` }));
      await hosts.connect(living, presence({ sessionId: `${other}/1` }));
      await hosts.connect(dead, presence({ sessionId: `${gone}/1` }));
      await hosts.connect(old, presence({ sessionId: `${own}x/1` }));
      expect(await hosts.expirePresence(own, 700)).toBe(2);
      expect(await get(dead)).toMatchObject({ isConnected: false, lastSeenAt: 700 });
      expect([(await get(mine)).isConnected, (await get(living)).isConnected, (await get(old)).isConnected]).toEqual([true, true, false]);
      expect(await hosts.present(own)).toEqual([{ host: mine, sessionId: `${own}/1` }]);
      await hosts.disconnectAll(undefined, 800);
      expect(await hosts.present(own)).toEqual([]);
      expect(await hosts.reconnect(mine, `${own}/1`, 900)).toBe(true);
      expect(await hosts.reconnect(mine, `${own}/2`, 900)).toBe(false);
      expect(await get(mine)).toMatchObject({ isConnected: true, sessionId: `${own}/1`, lastSeenAt: 900 });
    });
  });

  describe('the desired release', () => {
    test('gets an epoch when it changes, and only then', async () => {
      const { hosts } = world.store;
      const { host, first, second } = await withReleases();
      expect(await hosts.desire([first], 10)).toEqual([{ host, epoch: 1 }]);
      expect(await hosts.desire([first], 20)).toEqual([]);
      expect(await get(host)).toMatchObject({
        epoch: 1,
        desired: { releaseId: first.id, toplevel: first.toplevel, sequence: 1, epoch: 1, since: 10 },
      });
      expect(await hosts.desire([second], 30)).toEqual([{ host, epoch: 2 }]);
      expect(await hosts.desire([first], 40)).toEqual([{ host, epoch: 3 }]); // a pin, say
      expect(await hosts.retry(host, first.toplevel)).toBe(4);
      expect(await hosts.desire([first], 50)).toEqual([]);
      expect(await hosts.desire([{ ...first, host: newHost() }], 1)).toEqual([]);
      await expect(hosts.retry(newHost(), first.toplevel)).rejects.toMatchObject({ code: 'STORE_ROW_MISSING' });
    });

    test('is a retry from the word of a person until the agent has accepted it, as a report or a hello says', async () => {
      const { store } = world;
      const { host, first, second } = await withReleases();
      await store.hosts.desire([first], 10);
      expect((await get(host)).retryEpoch).toBeUndefined();
      expect(await store.hosts.retry(host, first.toplevel)).toBe(2);
      expect(await get(host)).toMatchObject({ epoch: 2, retryEpoch: 2 });
      // What was said of the directive before is no answer, and neither is a hello from before.
      await store.reports.store([report(host, 1, { epoch: 1, state: 'ROLLED_BACK' })]);
      await store.hosts.connect(host, presence({ epoch: 1, stateToplevel: first.toplevel, reportSeq: 1 }));
      await store.hosts.desire([second], 20);
      expect(await get(host)).toMatchObject({ epoch: 3, retryEpoch: 2 });
      await store.reports.store([report(host, 2, { epoch: 3, state: 'OFFERED' })]);
      expect((await get(host)).retryEpoch).toBeUndefined();

      await store.hosts.retry(host, second.toplevel);
      await store.hosts.connect(host, presence({ epoch: 4, stateToplevel: second.toplevel, reportSeq: 2 }));
      expect((await get(host)).retryEpoch).toBeUndefined();
    });

    test('keeps its epoch over a reconnection', async () => {
      const { hosts } = world.store;
      const { host, first } = await withReleases();
      await hosts.desire([first], 10);
      expect((await hosts.connect(host, presence({ epoch: 0 }))).epoch).toBe(1);
      const row = await hosts.connect(host, presence({ epoch: 1, state: 'SUCCEEDED', stateToplevel: first.toplevel }));
      expect(row.desired).toMatchObject({ epoch: 1, since: 10 });
    });

    test('gets a fresh epoch when the agent knows more than a restored database', async () => {
      const { hosts } = world.store;
      const { host, first, second } = await withReleases();
      await hosts.desire([first], 10);
      const ahead = await hosts.connect(host, presence({ epoch: 8, state: 'SUCCEEDED', stateToplevel: second.toplevel }));
      expect(ahead).toMatchObject({ epoch: 9, desired: { releaseId: first.id, epoch: 9 } });
      expect(await hosts.desire([second], 20)).toEqual([{ host, epoch: 10 }]);
    });

    test('gets a fresh epoch when the agent knows this one for something else', async () => {
      const { hosts } = world.store;
      const { host, first, second } = await withReleases();
      await hosts.desire([first], 10);
      expect(await hosts.connect(host, presence({ epoch: 1, state: 'SUCCEEDED', stateToplevel: second.toplevel }))).toMatchObject({
        epoch: 2,
        desired: { epoch: 2 },
      });
    });

    test("that is none has an epoch above the agent's, for the next", async () => {
      const { hosts } = world.store;
      const { host, first } = await withReleases();
      await hosts.connect(host, presence({ epoch: 5 }));
      expect(await hosts.desire([first], 10)).toEqual([{ host, epoch: 7 }]);
    });
  });

  describe('a situation', () => {
    async function situationOf(repository: Repository, host: HostName) {
      const { hosts } = await world.store.hosts.fleet(repository.id, [host]);
      if (hosts[0] === undefined) throw new Error('no such host');
      return hosts[0].situation;
    }

    test('of a new host is empty', async () => {
      const repository = await newRepository(world.store);
      const host = await enrolled(repository);
      expect(await situationOf(repository, host)).toEqual({
        pin: undefined,
        hold: undefined,
        isRingPromoted: false,
        rollout: undefined,
        stable: undefined,
        revert: undefined,
        floor: 0,
        directed: undefined,
        quarantined: new Set(),
      });
    });

    test('has the release of the rollout, and stable from the last complete one', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [await enrolled(repository), await enrolled(repository)];
      await publishNext(store, repository, commit('1'), [ada, bob]);
      expect(await situationOf(repository, ada)).toMatchObject({ isRingPromoted: false, rollout: { host: ada, sequence: 1 }, stable: undefined });
      await moveRollout(store, repository.id, 'ROLLING', 55);
      expect(await situationOf(repository, ada)).toMatchObject({ isRingPromoted: true, rollout: { sequence: 1 }, stable: undefined });
      await moveRollout(store, repository.id, 'COMPLETE', 60);
      expect(await situationOf(repository, ada)).toMatchObject({ isRingPromoted: true, rollout: { sequence: 1 }, stable: { sequence: 1 } });
      const second = await publishNext(store, repository, commit('2'), [ada]);
      expect(await situationOf(repository, ada)).toMatchObject({ isRingPromoted: false, rollout: { sequence: 2 }, stable: { sequence: 1 } });
      // The revision has nothing for it: it stays on stable.
      expect(await situationOf(repository, bob)).toMatchObject({ rollout: undefined, stable: { sequence: 1 } });
      // Not changed by the revision: its release stays the one that it has.
      await store.revisions.saveEvaluations(second.id, [{ host: bob, outcome: 'UNCHANGED', toplevel: path(`${bob}-1`) }]);
      expect(await situationOf(repository, bob)).toMatchObject({ rollout: { sequence: 1 }, stable: { sequence: 1 } });
    });

    test('has a stepping stone from the first complete rollout of its name, while policies have the name', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [await enrolled(repository), await enrolled(repository)];
      let at = 60;
      const complete = async (digit: string, steppingStones: readonly string[], hosts: readonly HostName[], state: RolloutState = 'COMPLETE') => {
        const revision = await publishNext(store, repository, commit(digit), hosts);
        await store.revisions.savePolicy(revision.id, { ...DEFAULT_POLICY, steppingStones });
        await moveRollout(store, repository.id, state, (at += 10));
        return revision;
      };
      const stoneOf = async (host: HostName) => {
        const { stone } = await situationOf(repository, host);
        return stone && `${stone.name} ${stone.sequence}`;
      };
      // What did not complete is none.
      await complete('1', ['agent'], [ada, bob], 'PAUSED');
      expect(await stoneOf(ada)).toBeUndefined();
      const second = await complete('2', ['agent'], [ada]);
      // It has nothing for bob.
      await store.revisions.saveEvaluations(second.id, [{ host: bob, outcome: 'EVAL_ERROR', error: 'broken' }]);
      expect([await stoneOf(ada), await stoneOf(bob)]).toEqual(['agent 2', undefined]);
      await complete('3', ['agent', 'keys'], [ada, bob]);
      await complete('4', ['agent', 'keys'], [ada, bob]);
      expect([await stoneOf(ada), await stoneOf(bob)]).toEqual(['agent 2', 'keys 3']);
      // Old ones stay, for as long as somebody has to run them.
      await store.releases.prune(1_000);
      expect([await stoneOf(ada), await stoneOf(bob)]).toEqual(['agent 2', 'keys 3']);
      const [wanted] = (await store.hosts.fleet(repository.id, [ada])).hosts;
      expect(wanted?.desired).toMatchObject({ kind: 'release', release: { sequence: 2 }, because: 'stable' });
      await complete('5', ['keys'], [ada, bob], 'PAUSED');
      expect(await stoneOf(ada)).toBe('agent 2');
      await complete('6', ['keys'], [ada, bob]);
      expect([await stoneOf(ada), await stoneOf(bob)]).toEqual(['keys 3', 'keys 3']);
      await complete('7', [], [ada, bob]);
      expect([await stoneOf(ada), await stoneOf(bob)]).toEqual([undefined, undefined]);
    });

    test('stable is what a complete rollout proved, not what a later one failed with', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      await publishNext(store, repository, commit('1'), [host]);
      await moveRollout(store, repository.id, 'COMPLETE', 60);
      await publishNext(store, repository, commit('2'), [host]);
      await moveRollout(store, repository.id, 'PAUSED', 70);
      // The third does not evaluate for the host, and is complete without it.
      const third = await publishNext(store, repository, commit('3'), [await enrolled(repository)]);
      await store.revisions.saveEvaluations(third.id, [{ host, outcome: 'EVAL_ERROR', error: 'broken' }]);
      await moveRollout(store, repository.id, 'COMPLETE', 80);
      expect(await situationOf(repository, host)).toMatchObject({ rollout: undefined, stable: { sequence: 1 } });
    });

    test('does not lose a host whose rollout was superseded before it was reached', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [await enrolled(repository), await enrolled(repository)];
      await publishNext(store, repository, commit('1'), [ada, bob]);
      const second = await publishNext(store, repository, commit('2'), [ada]);
      await store.revisions.saveEvaluations(second.id, [{ host: bob, outcome: 'UNCHANGED', toplevel: path(`${bob}-1`) }]);
      await moveRollout(store, repository.id, 'ROLLING', 60);
      expect(await situationOf(repository, bob)).toMatchObject({ isRingPromoted: true, rollout: { host: bob, sequence: 1 }, stable: undefined });
    });

    test('has as stable what the statement log calls so, and no release that only came back from there', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      await publishNext(store, repository, commit('1'), [host]);
      const lost = { repositoryId: repository.id, host, sequence: 7, toplevel: path('seven'), commit: commit('7'), issuedAt: 1, envelope: '{}' };
      await store.releases.importStatement(lost);
      await store.repositories.raiseSequence(repository.id, 7);
      expect(await situationOf(repository, host)).toMatchObject({ rollout: { sequence: 1 }, stable: undefined });
      const told = { host, sequence: 7, toplevel: path('seven') };
      const strange = { ...told, toplevel: path('eight') };
      expect(await store.stable.restore(repository.id, [strange])).toEqual([strange]);
      expect(await store.stable.restore(repository.id, [told])).toEqual([]);
      // The rollout before it is over for the host.
      expect(await situationOf(repository, host)).toMatchObject({ rollout: undefined, stable: { sequence: 7 } });
      await store.stable.restore(repository.id, [{ host, sequence: 1, toplevel: path(`${host}-1`) }]);
      expect(await situationOf(repository, host)).toMatchObject({ stable: { sequence: 7 } });
      expect((await store.stable.unlogged(repository.id)).hosts).toEqual([]);
      await publishNext(store, repository, commit('8'), [host]);
      expect(await situationOf(repository, host)).toMatchObject({ rollout: { sequence: 8 }, stable: { sequence: 7 } });
    });

    test('is told to the statement log once, and again when it moved meanwhile', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      await publishNext(store, repository, commit('1'), [host]);
      expect(await store.stable.unlogged(repository.id)).toEqual({ number: 0, hosts: [] });
      await moveRollout(store, repository.id, 'COMPLETE', 60);
      const { hosts } = await store.stable.unlogged(repository.id);
      expect(hosts).toEqual([{ host, sequence: 1, toplevel: path(`${host}-1`) }]);
      await publishNext(store, repository, commit('2'), [host]);
      await moveRollout(store, repository.id, 'COMPLETE', 70);
      await store.stable.noteLogged(repository.id, 4, hosts);
      expect(await store.stable.unlogged(repository.id)).toMatchObject({ number: 4, hosts: [{ sequence: 2 }] });
      await store.stable.noteLogged(repository.id, 3, [{ host, sequence: 2, toplevel: path(`${host}-2`) }]);
      expect(await store.stable.unlogged(repository.id)).toMatchObject({ number: 4, hosts: [] });
      await store.stable.relog(repository.id);
      expect((await store.stable.unlogged(repository.id)).hosts).toHaveLength(1);
    });

    test('is told with the policy under which it became that, also to whoever asks at the moment when the rollout ends', async () => {
      const { store } = world;
      for (let round = 0; round < 12; round++) {
        const repository = await newRepository(store);
        await publishNext(store, repository, commit('1'), [await enrolled(repository)]);
        const ended = new AbortController();
        const asked: Promise<void>[] = [];
        async function ask(): Promise<void> {
          while (!ended.signal.aborted) {
            const told = await store.stable.unlogged(repository.id);
            expect(told.policy === undefined).toBe(told.hosts.length === 0);
          }
        }
        for (let asker = 0; asker < 3; asker++) asked.push(ask());
        try {
          await moveRollout(store, repository.id, 'COMPLETE', 60);
        } finally {
          ended.abort();
          await Promise.all(asked);
        }
        expect(await store.stable.unlogged(repository.id)).toMatchObject({ hosts: [{ sequence: 1 }], policy: 'default' });
      }
    });

    test('keeps what a database that is gone told, as far as a hello and the log prove it', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      await publishNext(store, repository, commit('1'), [host]);
      const lost = { repositoryId: repository.id, host, sequence: 7, toplevel: path('seven'), commit: commit('7'), issuedAt: 1, envelope: '{}' };
      await store.releases.importStatement(lost);
      const hello = async (sequence: number, stateToplevel: ReturnType<typeof path>): Promise<unknown> => {
        await store.hosts.connect(host, presence({ sequence, stateToplevel, state: 'SUCCEEDED' }));
        return await situationOf(repository, host);
      };
      // Of another repository, or a lie: the log has nothing like it.
      expect(await hello(8, path('seven'))).toMatchObject({ floor: 0, directed: undefined });
      // It went back by a permit since, or is about something else.
      expect(await hello(6, path('six'))).toMatchObject({ floor: 6, directed: undefined });
      expect(await hello(7, path('one'))).toMatchObject({ floor: 7, directed: undefined });
      expect((await store.hosts.fleet(repository.id, [host])).hosts[0]?.desired).toEqual({ kind: 'nothing' });
    });

    test('is what it was told last, when the database that told it is gone', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      const lost = { repositoryId: repository.id, host, sequence: 7, toplevel: path('seven'), commit: commit('7'), issuedAt: 1, envelope: '{}' };
      await store.releases.importStatement(lost);
      await store.hosts.connect(host, presence({ sequence: 7, stateToplevel: path('seven'), state: 'SUCCEEDED', epoch: 5 }));
      const [each] = (await store.hosts.fleet(repository.id, [host])).hosts;
      expect(each).toMatchObject({ situation: { floor: 7, directed: { sequence: 7 } }, desired: { kind: 'release', because: 'kept' } });
      expect(each?.row.epoch).toBeGreaterThan(5);
    });

    test('ignores the logged releases of a revision that was superseded before it was published', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = await enrolled(repository);
      await publishNext(store, repository, commit('1'), [host]);
      const next = await receive(store, repository, commit('2'));
      await toBuilding(store, next.id);
      await receive(store, repository, commit('3'));
      await store.releases.importStatement({ repositoryId: repository.id, ...newRelease(next, host, path('unpublished')) });
      expect(await situationOf(repository, host)).toMatchObject({ rollout: { sequence: 1 } });
    });

    test('has pins and holds until they expire or are taken off', async () => {
      const { store, clock } = world;
      const { host, repository, first, second } = await withReleases();
      clock.time = 1_000;
      const word = { host, reason: 'shows a bug', by: 'ada', at: 900 };
      await store.hosts.pin({ ...word, kind: 'hold', releaseId: first.id });
      await store.hosts.pin({ ...word, kind: 'pin', releaseId: first.id, expiresAt: 1_001 });
      expect(await situationOf(repository, host)).toMatchObject({ pin: first, hold: first });
      clock.time = 1_001;
      expect(await situationOf(repository, host)).toMatchObject({ pin: undefined, hold: first });
      await store.hosts.pin({ ...word, kind: 'hold', releaseId: second.id });
      expect(await situationOf(repository, host)).toMatchObject({ hold: second });
      await store.hosts.unpin(host, 'hold');
      await store.hosts.unpin(host, 'hold');
      expect(await situationOf(repository, host)).toMatchObject({ pin: undefined, hold: undefined });
    });

    test('has what the host rolled back, until a person lets it try again', async () => {
      const { store } = world;
      const { host, repository, first, second } = await withReleases();
      await store.hosts.quarantine(host, second.toplevel, 'no network', 10);
      await store.hosts.quarantine(host, second.toplevel, 'again', 20);
      expect((await situationOf(repository, host)).quarantined).toEqual(new Set([second.toplevel]));
      expect(await quarantinesOf(store, repository.id)).toEqual([
        { host, toplevel: second.toplevel, sequence: second.sequence, reason: 'no network', at: 10 },
      ]);
      await store.hosts.quarantine(host, first.toplevel, 'no sound', 30);
      await store.hosts.quarantine(host, path('invented'), 'never released to it', 40);
      await store.hosts.retry(host, second.toplevel);
      // The host's agent keeps what it rolled back too, and is told about this one alone.
      expect((await situationOf(repository, host)).quarantined).toEqual(new Set([first.toplevel]));
    });

    test('has what failed on it of earlier commits, also once it is proved to run a newer one (O12)', async () => {
      const { store, clock } = world;
      const { host, repository, first, second } = await withReleases();
      const failedBefore = async () => {
        const { rollout, hosts } = await store.hosts.fleet(repository.id);
        const [asked, ...others] = rollout === undefined ? [] : ringHosts(rollout, hosts, clock.time);
        expect([asked?.change, others]).toEqual([second.sequence, []]);
        return asked?.failedBefore?.map(({ failure, ...rest }) => ({ ...rest, isNamed: failure?.includes('no network') }));
      };
      expect(await failedBefore()).toBeUndefined();
      await store.hosts.quarantine(host, second.toplevel, 'no network', 10);
      await store.hosts.quarantine(host, path('invented'), 'never released to it', 20);
      expect(await failedBefore()).toBeUndefined();
      await store.hosts.quarantine(host, first.toplevel, 'no network', 30);
      const { toplevel, sequence: change } = first;
      expect(await failedBefore()).toEqual([{ toplevel, change, isAcknowledged: false, isNamed: true }]);
      const { rollout } = await store.hosts.fleet(repository.id);
      const word = { by: 'ada', role: 'operator', reason: 'seen', at: 40 } as const;
      await store.rollouts.order({ rolloutId: rollout?.id ?? '', kind: 'resume', subject: 1, acknowledged: [{ host, toplevel }], ...word });
      expect(await failedBefore()).toEqual([{ toplevel, change, isAcknowledged: true, isNamed: true }]);
      // A person has it try again: what failed is not known to fail.
      await store.hosts.retry(host, toplevel);
      expect(await failedBefore()).toBeUndefined();
      // Silent since its go.
      await store.hosts.takeSlot(repository.id, host, () => ({ toplevel, until: 50 }));
      clock.time = 49;
      expect(await failedBefore()).toBeUndefined();
      clock.time = 51;
      expect(await failedBefore()).toMatchObject([{ toplevel, change, isNamed: false }]);
      // It waits for a restart, however long: nothing is lost. From the restart on it has its time again, and its place.
      clock.time = 200;
      await store.reports.store([report(host, 1, { state: 'BOOT_STAGED', toplevel, receivedAt: clock.time })]);
      expect(await failedBefore()).toBeUndefined();
      const gone = async (): Promise<number> => {
        let count = 0;
        await store.hosts.takeSlot(repository.id, host, (facts) => void (count = facts.gone.length));
        return count;
      };
      expect(await gone()).toBe(0);
      clock.time = 9_000_000;
      await store.reports.store([report(host, 2, { state: 'BOOT_VERIFYING', toplevel, receivedAt: clock.time })]);
      expect([await failedBefore(), await gone()]).toEqual([undefined, 1]);
      clock.time += VERDICT_MS + 1;
      expect(await failedBefore()).toMatchObject([{ toplevel, change, isNamed: false }]);
      // Others may be asked late, also for what is stable here by now.
      await moveRollout(store, repository.id, 'COMPLETE', 60);
      expect(await failedBefore()).toMatchObject([
        { toplevel: second.toplevel, isNamed: true },
        { toplevel, change, isNamed: false },
      ]);
    });

    test('is of those that were asked for, or of all of the repository', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [await enrolled(repository), await enrolled(repository)];
      const elsewhere = await enrolled(await newRepository(store));
      const names = async (hosts: HostName[] | undefined): Promise<string[]> =>
        (await store.hosts.fleet(repository.id, hosts)).hosts.map(({ row }) => row.host);
      expect(await names(undefined)).toEqual([ada, bob]);
      expect(await names([bob, elsewhere])).toEqual([bob]);
      expect(await names([])).toEqual([]);
    });
  });

  test('a directive that was sent is kept', async () => {
    const { store } = world;
    const { host, first } = await withReleases();
    const directive = { host, epoch: 1, releaseId: first.id, mode: 'activate', issuedAt: 5 };
    await store.hosts.saveDirectives([directive]);
    await store.hosts.saveDirectives([directive]);
    await expect(store.hosts.saveDirectives([{ ...directive, releaseId: 'none' }])).rejects.toThrow('directives_release_id');
  });

  describe('reports', () => {
    test('are stored once, move the row to the newest, and are acknowledged', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      const detail = { code: 'SWITCH_FAILED', message: 'unit \0 failed \uD800' };
      const batch = [
        report(host, 1, { state: 'OFFERED' }),
        report(host, 2, { state: 'SUCCEEDED', observed: observed(path('new')), detail, timings: { downloadMs: 1.5 } }),
      ];
      expect(await store.reports.store(batch)).toEqual(new Map([[host, 2]]));
      const row = await get(host);
      expect(row).toMatchObject({
        state: 'SUCCEEDED',
        stateToplevel: path('new'),
        stateSince: 1_002,
        lastSeenAt: 1_002,
        reportSeq: 2,
        observed: observed(path('new')),
        timings: { downloadMs: 1.5 },
      });
      expect(row.detail).toEqual({ code: 'SWITCH_FAILED', message: 'unit \uFFFD failed \uFFFD' });
      expect(await store.reports.store(batch)).toEqual(new Map([[host, 2]]));
      expect(await get(host)).toEqual(row);
      expect((await store.reports.list(host, 10)).map(({ seq }) => seq)).toEqual([2, 1]);
      const listed = { series: 0, hasLog: false };
      expect((await store.reports.list(host, 1))[0]).toEqual({ ...batch[1], ...listed, detail: row.detail });
      expect((await store.reports.list(host, 10))[1]).toEqual({ ...batch[0], ...listed, detail: undefined, timings: undefined });
    });

    test('may come in any order and twice in one batch', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      const third = report(host, 3, { state: 'VERIFYING' });
      expect(await store.reports.store([third, report(host, 1, { state: 'OFFERED' }), third])).toEqual(new Map([[host, 3]]));
      expect(await store.reports.store([report(host, 2, { state: 'STAGED' })])).toEqual(new Map([[host, 3]]));
      expect(await get(host)).toMatchObject({ state: 'VERIFYING', reportSeq: 3 });
      expect((await store.reports.list(host, 10)).map(({ seq }) => seq)).toEqual([3, 2, 1]);
    });

    test('from before the last hello do not undo what it said', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      await store.hosts.connect(
        host,
        presence({ state: 'SUCCEEDED', stateToplevel: path('new'), observed: observed(path('new')), reportSeq: 5, at: 2_000 }),
      );
      await store.reports.store([report(host, 4, { state: 'VERIFYING' })]);
      expect(await get(host)).toMatchObject({ state: 'SUCCEEDED', observed: observed(path('new')), reportSeq: 4, lastSeenAt: 2_000 });
      const detail = { code: 'FINE', message: 'all well' };
      await store.reports.store([report(host, 5, { state: 'SUCCEEDED', observed: observed(path('new')), detail })]);
      expect(await get(host)).toMatchObject({ state: 'SUCCEEDED', stateSince: 2_000, detail, reportSeq: 5 });
    });

    test('of a disk that was restored to an older day are new ones', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      await store.reports.store([1, 2, 3].map((seq) => report(host, seq)));
      const row = await store.hosts.connect(host, presence({ state: 'SUCCEEDED', reportSeq: 1 }));
      expect(row.reportSeq).toBe(0);
      expect(await store.reports.store([report(host, 2, { state: 'STAGED' })])).toEqual(new Map([[host, 2]]));
      expect((await get(host)).state).toBe('STAGED');
      expect((await store.reports.list(host, 10)).map(({ seq }) => seq)).toEqual([2, 3, 2, 1]);
    });

    test('of a rollback quarantine the system, once', async () => {
      const { store } = world;
      const { host, repository, second } = await withReleases();
      const { toplevel } = second;
      const detail = { code: 'CHECK_FAILED', message: 'no network' };
      const batch = [
        report(host, 1, { state: 'ROLLING_BACK', toplevel, detail }),
        report(host, 2, { state: 'ROLLED_BACK', toplevel, detail }),
        report(host, 3, { state: 'ROLLED_BACK', toplevel: path('invented'), detail }),
      ];
      await store.reports.store(batch);
      expect(await quarantinesOf(store, repository.id)).toMatchObject([{ host, toplevel, reason: 'no network', at: 1_002 }]);
      await store.hosts.retry(host, toplevel);
      await store.reports.store(batch); // sent again: it is no news
      expect(await quarantinesOf(store, repository.id)).toEqual([]);
    });

    test('keep the log of what failed, each with its own, and give it when asked for it', async () => {
      const { store } = world;
      const [ada, bob] = [await enrolled(await newRepository(store)), await enrolled(await newRepository(store))];
      const log = `${'x'.repeat(16_000)}\n\0 "quoted" \uD800 the end`;
      await store.reports.store([report(ada, 1, { state: 'ROLLED_BACK', log }), report(bob, 1), report(ada, 2)]);
      const listed = await store.reports.list(ada, 10);
      expect(listed.map(({ seq, hasLog }) => [seq, hasLog])).toEqual([
        [2, false],
        [1, true],
      ]);
      expect(listed.every((each) => !('log' in each))).toBe(true);
      expect(await store.reports.log({ host: ada, series: 0, seq: 1 })).toBe(log.replace('\0', '\uFFFD').replace('\uD800', '\uFFFD'));
      expect(await store.reports.log({ host: ada, series: 0, seq: 2 })).toBeUndefined();
      expect(await store.reports.log({ host: bob, series: 0, seq: 1 })).toBeUndefined();
      expect(await store.reports.log({ host: ada, series: 1, seq: 1 })).toBeUndefined();
      // A number that comes again on a disk that was restored is another report.
      await store.hosts.connect(ada, presence({ reportSeq: 0 }));
      await store.reports.store([report(ada, 1, { state: 'BLOCKED', log: 'no space' })]);
      expect(await store.reports.log({ host: ada, series: 1, seq: 1 })).toBe('no space');
      expect(await store.reports.log({ host: ada, series: 0, seq: 1 })).toContain('the end');
    });

    test('of unknown hosts are left out', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      const stranger = newHost();
      expect(await store.reports.store([report(stranger, 1), report(host, 1)])).toEqual(new Map([[host, 1]]));
      expect(await store.reports.list(stranger, 10)).toEqual([]);
      expect(await store.reports.store([])).toEqual(new Map());
    });

    test('come in batches of thousands', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const hosts = Array.from({ length: 3_000 }, newHost);
      await store.hosts.ensure(repository.id, hosts);
      const acks = await store.reports.store(hosts.flatMap((host) => [report(host, 1), report(host, 2, { state: 'SUCCEEDED' })]));
      expect(acks.size).toBe(3_000);
      expect(new Set(acks.values())).toEqual(new Set([2]));
      expect((await store.hosts.list(repository.id)).every(({ state }) => state === 'SUCCEEDED')).toBe(true);
      expect((await store.hosts.fleet(repository.id, hosts)).hosts.length).toBe(3_000);
    });

    test('are forgotten in time, but for the newest of each host', async () => {
      const { store } = world;
      const host = await enrolled(await newRepository(store));
      await store.reports.store([report(host, 1, { receivedAt: 10 }), report(host, 2, { receivedAt: 20 }), report(host, 3, { receivedAt: 30 })]);
      expect(await store.reports.prune(25)).toBe(2);
      expect(await store.reports.prune(100)).toBe(0);
      expect((await store.reports.list(host, 10)).map(({ seq }) => seq)).toEqual([3]);
    });
  });
});
