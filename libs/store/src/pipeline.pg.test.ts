import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, type CommitSha, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import fc from 'fast-check';
import {
  commit,
  newestRelease,
  newHost,
  newRelease,
  newRepository,
  path,
  presence,
  moveRollout,
  publishNext,
  receive,
  rolloutOf,
  toBuilding,
  type World,
  WORLDS,
} from './test/test-store.ts';

/** With a value in each place. */
const POLICY: RolloutPolicy = {
  rings: [
    {
      name: 'canary',
      members: { hosts: ['web*'], labels: ['role=dns'], share: 12.5 },
      successPercent: 80,
      errors: { percent: 0, minStarted: 1 },
      minVerified: 1,
      soakMs: 1_800_000,
      deadlineMs: 86_400_000,
      maxInFlight: 3,
      windows: [{ kind: 'allow', cron: '0 22 * * mon-fri', durationMs: 3_600_000, timeZone: 'Europe/Berlin' }],
      approvals: { count: 1, role: 'approver', notAuthor: true },
      probes: [{ name: 'errors', everyMs: 60_000 }],
      pauseAfter: true,
    },
    ...DEFAULT_POLICY.rings,
  ],
  labels: { ada: ['laptop'] } as RolloutPolicy['labels'],
  maxInFlight: 10,
  budgets: [{ label: 'role=dns', atMost: 1 }],
  checks: ['unit tests'],
  steppingStones: ['agent-2'],
  shrink: { percent: 20, hosts: 4 },
  presence: { staleMs: 1, lostMs: 2 },
  downloads: { ahead: false, spreadMs: 3 },
  notify: { 'rollout-paused': ['chat'] },
};

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('the newest revisions stay, whatever sequence a host says that it accepted', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    for (const digit of ['1', '2', '3']) {
      const { id } = await receive(store, repository, commit(digit));
      for (const event of ['accepted', 'verified', 'evaluation-failed'] as const) await store.revisions.advance(id, event, 30);
    }
    await store.hosts.ensure(repository.id, [host]);
    await store.hosts.connect(host, presence({ sequence: 40_000 }));
    await receive(store, repository, commit('4'));
    await store.revisions.prune(1e12);
    const stayed = (await store.revisions.list(repository.id, 100)).map(({ revision }) => revision.sequence);
    expect(stayed).toEqual([40_001, 3, 2, 1]);
  });

  test('a release that was chosen before the host was told another one moves nothing', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    await publishNext(store, repository, commit('1'), [host]);
    await moveRollout(store, repository.id, 'ROLLING', 55);
    const { row, desired: old } = (await store.hosts.fleet(repository.id, [host])).hosts[0] ?? {};
    await publishNext(store, repository, commit('2'), [host]);
    await moveRollout(store, repository.id, 'ROLLING', 55);
    const fresh = (await store.hosts.fleet(repository.id, [host])).hosts[0]?.desired;
    if (row === undefined || old?.kind !== 'release' || fresh?.kind !== 'release') throw new Error('no release');
    await store.hosts.desire([{ ...fresh.release, epoch: row.epoch }], 100);
    expect(await store.hosts.desire([{ ...old.release, epoch: row.epoch }], 101)).toEqual([]);
    expect((await store.hosts.get(host))?.desired).toMatchObject({ sequence: fresh.release.sequence });
  });

  describe('a repository', () => {
    test('is made once', async () => {
      const { store } = world;
      const made = await newRepository(store);
      expect(made).toMatchObject({ branch: 'main', ref: 'refs/heads/main', sequence: 0, hintCount: 0 });
      expect(await store.repositories.ensure({ url: made.url, branch: 'main', now: 99 })).toEqual(made);
    });

    test('whose branch gets another name is the same one, with its hosts, whatever rows a trial of another branch has left', async () => {
      const { store } = world;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ branch: fc.constantFrom('main', 'trunk', 'a', ''), enrols: fc.boolean(), fetches: fc.boolean() }), {
            minLength: 1,
            maxLength: 6,
          }),
          async (steps) => {
            const url = `https://forge.example/${newHost()}.git`;
            const enrolled = new Set<string>();
            for (const [at, { branch, enrols, fetches }] of steps.entries()) {
              const { repositories } = store;
              const row = branch === '' ? await repositories.ensureDefault({ url, now: at }) : await repositories.ensure({ url, branch, now: at });
              if (branch !== '') expect(row).toMatchObject({ branch, ref: `refs/heads/${branch}` });
              expect(await store.repositories.get(row.id)).toMatchObject({ branch: row.branch });
              const hosts = (await store.hosts.list(row.id)).map(({ host }) => host);
              expect(new Set(hosts)).toEqual(enrolled);
              if (fetches && row.branch !== '') await store.repositories.recordFetch(row.id, { now: at + 10 });
              if (!enrols) continue;
              const host = newHost();
              await store.hosts.enrol({ host, repositoryId: row.id, machineId: 'm', publicKey: 'k', at });
              enrolled.add(host);
            }
          },
        ),
        { numRuns: fc.readConfigureGlobal().numRuns ?? 30 },
      );
    });

    test('of which an earlier server made a row without hosts for another branch: the one with the hosts gets its name', async () => {
      const { store, query } = world;
      // No store makes such rows any more.
      if (query === undefined) return;
      const url = 'https://forge.example/renamed.git';
      const made = await store.repositories.ensure({ url, branch: 'main', now: 1 });
      const empty = await store.repositories.ensure({ url: `${url}?`, branch: 'trunk', now: 2 });
      await query(`update repositories set url = '${url}' where id = '${empty.id}'`);
      await store.hosts.enrol({ host: newHost(), repositoryId: made.id, machineId: 'm', publicKey: 'k', at: 3 });
      for (const [at, { id }] of [made, empty].entries()) await store.repositories.recordFetch(id, { now: at });
      expect(await store.repositories.ensure({ url, branch: 'trunk', now: 4 })).toMatchObject({ id: made.id, branch: 'trunk', formerBranch: 'main' });
      expect(await store.repositories.get(empty.id)).toMatchObject({ branch: 'main' });
      expect(await store.repositories.ensureDefault({ url, now: 5 })).toMatchObject({ id: made.id });
      // One that has hosts, too, keeps its name.
      await store.hosts.enrol({ host: newHost(), repositoryId: empty.id, machineId: 'm', publicKey: 'k', at: 6 });
      expect(await store.repositories.ensure({ url, branch: 'main', now: 7 })).toMatchObject({ id: empty.id, branch: 'main' });
      expect(await store.repositories.ensure({ url, branch: 'trunk', now: 8 })).toMatchObject({ id: made.id, branch: 'trunk' });
    });

    test('of which no branch is set is the one that was followed last, or waits for its name, which it is given once', async () => {
      const { store } = world;
      const url = 'https://forge.example/default.git';
      const waiting = await store.repositories.ensureDefault({ url, now: 1 });
      expect(waiting).toMatchObject({ branch: '', sequence: 0 });
      expect(await store.repositories.ensureDefault({ url, now: 2 })).toEqual(waiting);
      expect(await store.repositories.nameBranch(waiting.id, 'master')).toBe(true);
      expect(await store.repositories.nameBranch(waiting.id, 'main')).toBe(false);
      await store.repositories.recordFetch(waiting.id, { now: 5 });
      expect(await store.repositories.ensureDefault({ url, now: 7 })).toMatchObject({ id: waiting.id, branch: 'master', ref: 'refs/heads/master' });
      expect(await store.repositories.ensure({ url, branch: 'next', now: 8 })).toMatchObject({ id: waiting.id, formerBranch: 'master' });
      expect(await store.repositories.ensureDefault({ url, now: 9 })).toMatchObject({ id: waiting.id, branch: 'next' });
    });

    test('whose branch was set wrongly, and never fetched, waits for its name, and keeps its row', async () => {
      const { store } = world;
      const url = 'https://forge.example/mistaken.git';
      const mistaken = await store.repositories.ensure({ url, branch: 'mian', now: 1 });
      expect(await store.repositories.ensureDefault({ url, now: 2 })).toMatchObject({ id: mistaken.id, branch: '' });
    });

    test('that nobody made is a bug', async () => {
      await expect(world.store.repositories.get('none')).rejects.toMatchObject({ code: 'STORE_ROW_MISSING', retryable: false });
    });

    test('has one lease: a second owner waits until it expires or is given back', async () => {
      const { repositories } = world.store;
      const { id } = await newRepository(world.store);
      expect(await repositories.claim(id, 'one', 60_000)).toBe(1);
      expect(await repositories.claim(id, 'two', 60_000)).toBeUndefined();
      expect(await repositories.renew({ repositoryId: id, token: 1 }, 'one', 60_000)).toBe(true);
      expect(await repositories.claim(id, 'two', 60_000)).toBeUndefined();
      expect(await repositories.renew({ repositoryId: id, token: 1 }, 'one', 0)).toBe(true); // which is over at once
      expect(await repositories.claim(id, 'two', 60_000)).toBe(2);
      expect(await repositories.renew({ repositoryId: id, token: 1 }, 'one', 60_000)).toBe(false);
      await repositories.unclaim(id, 'one'); // late: the lease is not its own any more
      expect(await repositories.claim(id, 'one', 60_000)).toBeUndefined();
      await repositories.unclaim(id, 'two');
      expect(await repositories.renew({ repositoryId: id, token: 2 }, 'two', 60_000)).toBe(false);
      expect(await repositories.claim(id, 'one', 60_000)).toBe(3);
      // A worker that starts again, and one that still believes that it is this one.
      expect(await repositories.claim(id, 'one', 60_000)).toBe(4);
      expect(await repositories.renew({ repositoryId: id, token: 3 }, 'one', 60_000)).toBe(false);
    });

    test('keeps the beginning of a problem and of a held commit', async () => {
      const { repositories } = world.store;
      const { id } = await newRepository(world.store);
      const problem = { code: 'GIT_UNREACHABLE', message: 'no route' };
      const held = { commit: commit('a'), reason: 'force-push' };
      await repositories.recordFetch(id, { now: 1, held });
      await repositories.recordFetch(id, { now: 2, problem });
      await repositories.recordFetch(id, { now: 3, problem });
      expect(await repositories.get(id)).toMatchObject({ problem: { ...problem, since: 2 }, held: { ...held, since: 1 }, lastFetchAt: 1 });
      await repositories.recordFetch(id, { now: 4, problem: { code: 'GIT_DENIED', message: 'token' } });
      expect(await repositories.get(id)).toMatchObject({ problem: { code: 'GIT_DENIED', since: 4 } });
      await repositories.recordFetch(id, { now: 5 });
      expect(await repositories.get(id)).toMatchObject({ problem: undefined, held: undefined, lastFetchAt: 5 });
      // Its evaluation held it while the branch was fetched.
      await repositories.hold(id, held, 6);
      await repositories.recordFetch(id, { now: 7, held: { stays: commit('a') } });
      expect(await repositories.get(id)).toMatchObject({ held: { ...held, since: 6 }, lastFetchAt: 7 });
      await repositories.recordFetch(id, { now: 8, held: { stays: commit('b') } });
      expect((await repositories.get(id)).held).toBeUndefined();
    });

    test('has a sequence that never falls', async () => {
      const { store } = world;
      const { id } = await newRepository(store);
      await store.repositories.raiseSequence(id, 7);
      await store.repositories.raiseSequence(id, 3);
      expect((await store.repositories.get(id)).sequence).toBe(7);
    });
  });

  describe('a webhook delivery', () => {
    const delivery = { id: 'd-1', forge: 'github', event: 'push', outcome: 'accepted' };

    test('is stored once, and wakes its repository once', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const push = { ...delivery, id: repository.id, repositoryId: repository.id, ref: repository.ref, after: commit('b'), receivedAt: 5 };
      expect(await store.deliveries.record(push)).toBe('stored');
      expect(await store.deliveries.record(push)).toBe('duplicate');
      expect(await store.deliveries.record({ ...push, forge: 'forgejo', receivedAt: 9 })).toBe('stored');
      expect((await store.repositories.get(repository.id)).hintCount).toBe(2);
      expect(await store.deliveries.latestFor(repository.id, commit('b'))).toBe(9);
      expect(await store.deliveries.latestFor(repository.id, commit('c'))).toBeUndefined();
    });

    test('that is repeated some seconds later is a hint again, and one that is repeated without end is not', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const push = { ...delivery, id: `again ${repository.id}`, repositoryId: repository.id, ref: repository.ref, after: commit('b') };
      const hints = async (): Promise<number> => (await store.repositories.get(repository.id)).hintCount;
      await store.deliveries.record({ ...push, receivedAt: 10_000 });
      for (let repeat = 0; repeat < 20; repeat += 1)
        expect(await store.deliveries.record({ ...push, receivedAt: 10_000 + repeat * 100 })).toBe('duplicate');
      expect(await hints()).toBe(1);
      await store.deliveries.record({ ...push, receivedAt: 20_000 });
      expect(await hints()).toBe(2);
      // An old one that comes again hides no newer one.
      await store.deliveries.record({ ...push, id: `newer ${repository.id}`, after: commit('c'), receivedAt: 21_000 });
      await store.deliveries.record({ ...push, receivedAt: 30_000 });
      expect(await store.deliveries.newestPushes(repository.id)).toEqual([
        { after: commit('b'), receivedAt: 30_000 },
        { after: commit('c'), receivedAt: 21_000 },
      ]);
    });

    test('of a branch that is followed only later is known once the forge repeats it', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const push = { ...delivery, id: `early ${repository.id}`, repositoryId: repository.id, ref: 'refs/heads/trunk', after: commit('d') };
      await store.deliveries.record({ ...push, outcome: 'other-branch', receivedAt: 10_000 });
      expect(await store.deliveries.newestPushes(repository.id)).toEqual([]);
      expect(await store.deliveries.record({ ...push, receivedAt: 20_000 })).toBe('duplicate');
      expect(await store.deliveries.newestPushes(repository.id)).toEqual([{ after: commit('d'), receivedAt: 20_000 }]);
      expect((await store.repositories.get(repository.id)).hintCount).toBe(1);
    });

    test('that nothing follows from wakes nobody, and is forgotten in time', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      await store.deliveries.record({ ...delivery, id: `old ${repository.id}`, repositoryId: repository.id, outcome: 'other branch', receivedAt: 1 });
      expect((await store.repositories.get(repository.id)).hintCount).toBe(0);
      expect(await store.deliveries.prune(2)).toBe(1);
      expect(await store.deliveries.prune(2)).toBe(0);
      // Who pushed is asked for as long as a ring was not asked.
      const [day, now] = [24 * 3600_000, 4_000 * 24 * 3600_000];
      await store.deliveries.record({
        ...delivery,
        id: `pushed ${repository.id}`,
        repositoryId: repository.id,
        outcome: 'accepted',
        receivedAt: now,
      });
      // Those of other tests.
      await store.deliveries.prune(now);
      expect([await store.deliveries.prune(now + 300 * day), await store.deliveries.prune(now + 367 * day)]).toEqual([0, 1]);
    });
  });

  describe('a revision', () => {
    test('of the newest commit is not taken in twice', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const first = await receive(store, repository, commit('a'));
      expect(first).toMatchObject({ sequence: 1, state: 'RECEIVED', receivedAt: 10, fetchedAt: 20 });
      expect(await receive(store, repository, commit('a'))).toEqual(first);
      expect(await store.repositories.get(repository.id)).toMatchObject({ sequence: 1, acceptedCommit: commit('a') });
    });

    test('supersedes unfinished older ones, and no ended one', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const published = await publishNext(store, repository, commit('1'), []);
      const failed = await receive(store, repository, commit('2'));
      await store.revisions.advance(failed.id, 'refused', 1, 'unsigned');
      const overtaken = await receive(store, repository, commit('3'));
      await toBuilding(store, overtaken.id);
      const newest = await receive(store, repository, commit('1')); // moved back: a revision of its own
      expect(newest.sequence).toBe(4);
      const states = (await store.revisions.list(repository.id, 10)).map(({ revision }) => `${revision.sequence} ${revision.state}`);
      expect(states).toEqual(['4 RECEIVED', '3 SUPERSEDED', '2 REJECTED', '1 PUBLISHED']);
      expect((await store.revisions.nextUnfinished(repository.id))?.id).toBe(newest.id);
      expect((await store.revisions.newestPublished(repository.id))?.id).toBe(published.id);
      expect((await store.revisions.get(failed.id))?.error).toBe('unsigned');
    });

    test('numbers continue above what was raised', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      await store.repositories.raiseSequence(repository.id, 41);
      expect((await receive(store, repository, commit('a'))).sequence).toBe(42);
    });

    test('moves by events, stamps the times, and refuses what comes too late', async () => {
      const { store } = world;
      const { id } = await receive(store, await newRepository(store), commit('a'));
      expect(await store.revisions.advance(id, 'evaluated', 1)).toEqual({ kind: 'stale', state: 'RECEIVED' });
      expect(await store.revisions.advance(id, 'accepted', 100)).toEqual({ kind: 'advanced', state: 'VERIFYING' });
      expect(await store.revisions.advance(id, 'verified', 101)).toEqual({ kind: 'advanced', state: 'EVALUATING' });
      expect(await store.revisions.advance(id, 'evaluated', 102)).toEqual({ kind: 'advanced', state: 'BUILDING' });
      expect(await store.revisions.advance(id, 'evaluated', 103)).toEqual({ kind: 'stale', state: 'BUILDING' });
      expect(await store.revisions.advance(id, 'build-failed', 104, 'no space')).toEqual({ kind: 'advanced', state: 'BUILD_FAILED' });
      expect(await store.revisions.get(id)).toMatchObject({ verifiedAt: 101, evaluatedAt: 102, publishedAt: undefined, error: 'no space' });
    });

    test('says why a step is tried again, until the step is done', async () => {
      const { revisions } = world.store;
      const { id } = await receive(world.store, await newRepository(world.store), commit('a'));
      await revisions.noteError(id, 'the cache is full\0');
      expect((await revisions.get(id))?.error).toBe('the cache is full\uFFFD');
      await revisions.noteError(id, undefined);
      expect((await revisions.get(id))?.error).toBeUndefined();
      await revisions.noteError(id, 'again');
      await revisions.advance(id, 'accepted', 1);
      expect((await revisions.get(id))?.error).toBeUndefined();
      await revisions.advance(id, 'refused', 2, 'unsigned');
      await revisions.noteError(id, 'late');
      expect((await revisions.get(id))?.error).toBe('unsigned');
    });

    test('is found by the beginning of its commit', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const one = await receive(store, repository, commit('ab1'));
      const two = await receive(store, repository, commit('ab2'));
      const find = async (prefix: string): Promise<string[]> => (await store.revisions.byShaPrefix(repository.id, prefix)).map(({ id }) => id);
      expect(await find('ab')).toEqual([two.id, one.id]);
      expect(await find('ab1')).toEqual([one.id]);
      expect(await find('%')).toEqual([]);
    });

    test('has a policy, the default until one is stored; lists leave it out', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const { id, policy: first } = await receive(store, repository, commit('a'));
      expect([first, (await store.revisions.get(id))?.policy]).toEqual([DEFAULT_POLICY, DEFAULT_POLICY]);
      await store.revisions.savePolicy(id, POLICY);
      expect((await store.revisions.nextUnfinished(repository.id))?.policy).toStrictEqual(POLICY);
      expect((await store.revisions.list(repository.id, 1))[0]?.revision).not.toHaveProperty('policy');
      await store.revisions.savePolicy(id, undefined);
      expect((await store.revisions.get(id))?.policy).toEqual(DEFAULT_POLICY);
    });

    test('has the evaluation of one host, and of the one that was called so before', async () => {
      const { store } = world;
      const { id } = await receive(store, await newRepository(store), commit('a'));
      const [ada, bob, eve] = ['ada', 'bob', 'eve'] as HostName[] as [HostName, HostName, HostName];
      await store.revisions.saveEvaluations(id, [
        { host: ada, outcome: 'CHANGED' },
        { host: bob, outcome: 'NEW', formerHost: eve },
      ]);
      const about = async (host: HostName) => (await store.revisions.evaluationsAbout(id, host)).map((each) => each.host);
      expect([await about(ada), await about(bob), await about(eve), await about('dan' as HostName)]).toEqual([[ada], [bob], [bob], []]);
    });

    test('has evaluations, that are replaced whole, and builds on top', async () => {
      const { store } = world;
      const { id } = await receive(store, await newRepository(store), commit('a'));
      const [ada, bob] = ['ada', 'bob'] as HostName[] as [HostName, HostName];
      await store.revisions.saveEvaluations(id, [
        { host: bob, outcome: 'EVAL_ERROR', error: 'undefined variable' },
        {
          host: ada,
          outcome: 'CHANGED',
          drvPath: '/nix/store/a.drv',
          toplevel: path('a'),
          system: 'x86_64-linux',
          labels: ['role=dns'],
          ring: 'canary',
          evaluateMs: 7,
        },
      ]);
      await store.revisions.saveBuilds(id, [{ host: ada, buildMs: 8, builtAt: 60 }]);
      await store.revisions.savePublished(id, ada, 'sha256-x', 2 ** 40);
      expect(await store.revisions.evaluations(id)).toMatchObject([
        {
          host: ada,
          outcome: 'CHANGED',
          toplevel: path('a'),
          labels: ['role=dns'],
          ring: 'canary',
          evaluateMs: 7,
          buildMs: 8,
          builtAt: 60,
          narHash: 'sha256-x',
          closureSizeBytes: 2 ** 40,
        },
        { host: bob, outcome: 'EVAL_ERROR', error: 'undefined variable', toplevel: undefined, labels: [], ring: undefined },
      ]);
      await store.revisions.saveBuilds(id, [{ host: ada, outcome: 'BUILD_ERROR', error: 'gcc' }]);
      expect((await store.revisions.evaluations(id))[0]).toMatchObject({ outcome: 'BUILD_ERROR', error: 'gcc', toplevel: path('a') });
      await store.revisions.saveEvaluations(id, [{ host: ada, outcome: 'UNCHANGED', toplevel: path('a') }]);
      expect((await store.revisions.evaluations(id))[0]).toEqual({
        host: ada,
        retryAt: undefined,
        tries: 0,
        warnings: [],
        labels: [],
        ring: undefined,
        outcome: 'UNCHANGED',
        toplevel: path('a'),
        drvPath: undefined,
        system: undefined,
        error: undefined,
        evaluateMs: undefined,
        buildMs: undefined,
        builtAt: undefined,
        narHash: undefined,
        closureSizeBytes: undefined,
      });
      await expect(store.revisions.saveBuilds(id, [{ host: 'eve' as HostName, buildMs: 1 }])).rejects.toMatchObject({ code: 'STORE_ROW_MISSING' });
    });

    test('may have thousands of hosts', async () => {
      const { store } = world;
      const { id } = await receive(store, await newRepository(store), commit('a'));
      const rows = Array.from({ length: 5_001 }, (_, index) => ({ host: `many${index}` as HostName, outcome: 'UNCHANGED' as const }));
      await store.revisions.saveEvaluations(id, rows);
      expect((await store.revisions.evaluations(id)).length).toBe(5_001);
    });
  });

  describe('publishing', () => {
    test('hands out releases, moves the revision and starts its rollout, once', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = newHost();
      const revision = await receive(store, repository, commit('a'));
      await toBuilding(store, revision.id);
      await store.revisions.saveEvaluations(revision.id, [
        { host, outcome: 'NEW' },
        { host: newHost(), outcome: 'NEW' },
      ]);
      await store.revisions.saveBuilds(revision.id, [{ host, builtAt: 45 }]);
      const first = await store.releases.publish(revision.id, [newRelease(revision, host, path('x'))], 50);
      expect(first).toEqual({ kind: 'published' });
      const handedOut = await store.releases.latest(repository.id);
      expect(handedOut).toMatchObject([{ host, sequence: 1, revisionId: revision.id, toplevel: path('x') }]);
      expect(await store.revisions.get(revision.id)).toMatchObject({ state: 'PUBLISHED', builtAt: 45, publishedAt: 50 });
      expect((await store.hosts.fleet(repository.id)).rollout).toMatchObject({ revisionId: revision.id, state: 'WAITING_APPROVAL', startedAt: 50 });
      expect(await store.releases.publish(revision.id, [newRelease(revision, host, path('other'))], 60)).toEqual(first);
      expect(await store.releases.latest(repository.id)).toEqual(handedOut);
    });

    test('of nothing is a rollout too, built when it was published', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const revision = await publishNext(store, repository, commit('a'), []);
      expect(await store.revisions.get(revision.id)).toMatchObject({ state: 'PUBLISHED', builtAt: 50 });
      expect(await rolloutOf(store, repository.id, revision.id)).toMatchObject({ state: 'WAITING_APPROVAL' });
    });

    test('a superseded revision stores nothing', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = newHost();
      await store.hosts.ensure(repository.id, [host]);
      const overtaken = await receive(store, repository, commit('a'));
      await toBuilding(store, overtaken.id);
      await receive(store, repository, commit('b'));
      expect(await store.releases.publish(overtaken.id, [newRelease(overtaken, host, path('x'))], 50)).toEqual({
        kind: 'stale',
        state: 'SUPERSEDED',
      });
      expect(await newestRelease(store, repository, host)).toBeUndefined();
      expect(await rolloutOf(store, repository.id, overtaken.id)).toBeUndefined();
    });

    test('is all or nothing', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const revision = await receive(store, repository, commit('a'));
      await toBuilding(store, revision.id);
      const [good, bad] = [newHost(), newHost()];
      await store.hosts.ensure(repository.id, [good, bad]);
      const broken = { ...newRelease(revision, bad, path('x')), envelope: 'text with a \0' };
      await expect(store.releases.publish(revision.id, [newRelease(revision, good, path('x')), broken], 50)).rejects.toThrow(
        'code 22021, method publish',
      );
      expect(await store.revisions.get(revision.id)).toMatchObject({ state: 'BUILDING', publishedAt: undefined });
      expect(await newestRelease(store, repository, good)).toBeUndefined();
    });

    test('supersedes the rollouts before it, and leaves ended ones', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [one, two, three] = [
        await publishNext(store, repository, commit('1'), [newHost()]),
        await publishNext(store, repository, commit('2'), [newHost()]),
        await publishNext(store, repository, commit('3'), [newHost()]),
      ];
      const four = await (async () => {
        expect(await moveRollout(store, repository.id, 'COMPLETE', 70)).toBe(true);
        return await publishNext(store, repository, commit('4'), []);
      })();
      const states = await Promise.all([one, two, three, four].map(async ({ id }) => (await rolloutOf(store, repository.id, id))?.state));
      expect(states).toEqual(['SUPERSEDED', 'SUPERSEDED', 'COMPLETE', 'WAITING_APPROVAL']);
    });

    test('supersedes nothing without a new release, and waits', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const one = await publishNext(store, repository, commit('1'), [newHost()]);
      const two = await publishNext(store, repository, commit('2'), []);
      const { rollout, next } = await store.hosts.fleet(repository.id);
      expect(rollout).toMatchObject({ revisionId: one.id, state: 'WAITING_APPROVAL' });
      expect(next).toMatchObject({ revisionId: two.id, hasNews: false, after: one.sha });
      // Another one with nothing new takes its place; what a host is built for late is news.
      const three = await publishNext(store, repository, commit('3'), []);
      expect((await store.hosts.fleet(repository.id)).next).toMatchObject({ revisionId: three.id, hasNews: false });
      expect(await store.revisions.get(two.id)).toMatchObject({ supersededBy: three.sha });
      await store.releases.publish(three.id, [newRelease(three, newHost(), path('late'))], 80);
      expect((await store.hosts.fleet(repository.id)).next).toMatchObject({ revisionId: three.id, hasNews: true });
    });

    test('waits for the train after three supersessions in a row, and begins once', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const ids: string[] = [];
      for (const sha of ['1', '2', '3', '4']) {
        ids.push((await publishNext(store, repository, commit(sha), [newHost()])).id);
        await moveRollout(store, repository.id, 'ROLLING', 60);
      }
      expect((await store.hosts.fleet(repository.id)).rollout).toMatchObject({ revisionId: ids[3], state: 'ROLLING' });
      const five = await publishNext(store, repository, commit('5'), [newHost()]);
      const waiting = (await store.hosts.fleet(repository.id)).next;
      expect(waiting).toMatchObject({ revisionId: five.id, hasNews: true, isHotfix: false, superseded: { count: 3 } });
      // Of several that wait, only the newest; it has waited as long.
      const six = await publishNext(store, repository, commit('6'), [newHost()]);
      const { rollout, next } = await store.hosts.fleet(repository.id);
      expect(rollout).toMatchObject({ revisionId: ids[3], state: 'ROLLING' });
      expect(next).toMatchObject({ revisionId: six.id, since: waiting?.since });
      expect(await store.revisions.get(five.id)).toMatchObject({ supersededBy: six.sha });
      expect(await store.rollouts.stories([five.id])).toEqual([]);
      if (next === undefined) throw new Error('nothing waits');
      expect((await Promise.all([store.rollouts.begin(next, 90), store.rollouts.begin(next, 90)])).toSorted()).toEqual([false, true]);
      const after = await store.hosts.fleet(repository.id);
      expect(after.rollout).toMatchObject({ revisionId: six.id, state: 'WAITING_APPROVAL', startedAt: 90, course: { since: 90, ringSince: 90 } });
      expect(after.next).toBeUndefined();
      expect(await store.rollouts.stories([ids[3] ?? ''])).toMatchObject([{ at: 90 }]);
      expect((await rolloutOf(store, repository.id, ids[3] ?? ''))?.state).toBe('SUPERSEDED');
    });
  });

  describe('a rollout', () => {
    test('is written by one of two who decided at the same time', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      await publishNext(store, repository, commit('a'), []);
      const { rollout } = await store.hosts.fleet(repository.id);
      if (rollout === undefined) throw new Error('no rollout');
      expect(rollout).toMatchObject({ state: 'WAITING_APPROVAL', version: 0 });
      const decided = { id: rollout.id, version: 0, course: { ...rollout.course, state: 'COMPLETE', since: 60 } } as const;
      const saved = await Promise.all([store.rollouts.save(decided, 60, []), store.rollouts.save(decided, 60, [])]);
      expect(saved.toSorted()).toEqual([false, true]);
      expect((await store.hosts.fleet(repository.id)).rollout).toMatchObject({ state: 'COMPLETE', completedAt: 60, version: 1 });
      expect(await moveRollout(store, repository.id, 'ROLLING', 80)).toBe(true);
      expect((await store.hosts.fleet(repository.id)).rollout).toMatchObject({ state: 'ROLLING', completedAt: undefined });
    });

    test('has its course, its rings and what people asked of it', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = newHost();
      await publishNext(store, repository, commit('a'), [host]);
      const { rollout } = await store.hosts.fleet(repository.id);
      if (rollout === undefined) throw new Error('no rollout');
      const pause = { cause: 'failures', count: 1, failures: [{ host, toplevel: path('bad'), reason: 'no network' }] } as const;
      const course = { state: 'PAUSED', ring: 1, since: 70, ringSince: 60, pause, provedRing: 0 } as const;
      expect(await store.rollouts.save({ id: rollout.id, version: 0, course, rings: new Map([[host, 1]]) }, 70, [])).toBe(true);
      const by = { by: 'ada', role: 'operator', reason: 'seen', at: 80 } as const;
      // A host that the pause names may have been forgotten since.
      const acknowledged = [host, newHost()].map((each) => ({ host: each, toplevel: path('bad') }));
      await store.rollouts.order({ rolloutId: rollout.id, kind: 'resume', subject: 70, acknowledged, ...by });
      await store.rollouts.order({ rolloutId: rollout.id, kind: 'approve', subject: 1, ...by });
      await store.rollouts.freeze(repository.id, { by: 'eve', reason: 'holidays', at: 81, until: 90 });
      const fleet = await store.hosts.fleet(repository.id);
      expect(fleet.rollout).toMatchObject({ course, rings: new Map([[host, 1]]) });
      expect(fleet.hosts[0]?.acknowledged).toEqual(new Set([path('bad')]));
      expect((await store.hosts.fleet(repository.id)).rollout?.orders).toEqual({
        freeze: { by: 'eve', reason: 'holidays', at: 81, until: 90 },
        resume: { ...by, of: 70 },
        abort: undefined,
        hotfix: undefined,
        approvals: [{ ...by, ring: 1 }],
      });
      const freeze = { by: 'eve', reason: 'holidays', at: 81, until: 90 };
      expect(await store.rollouts.unfreeze(repository.id, { ...freeze, at: 80 })).toBe(false);
      expect(await Promise.all([1, 2].map(async () => await store.rollouts.unfreeze(repository.id, freeze)))).toEqual(
        expect.arrayContaining([true, false]),
      );
      expect((await store.hosts.fleet(repository.id)).rollout?.orders.freeze).toBeUndefined();
    });
  });

  test('a system is of the commit that it came with at that time, whatever has the same system later', async () => {
    const { store } = world;
    const push = fc.record({ system: fc.constantFrom('one', 'two', 'three'), afterMs: fc.integer({ min: 1, max: 5 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(push, { minLength: 1, maxLength: 6 }), fc.array(fc.nat(30), { maxLength: 4 }), async (pushes, times) => {
        const repository = await newRepository(store);
        const host = newHost();
        const released: { readonly toplevel: StorePath; readonly commit: CommitSha; readonly issuedAt: number }[] = [];
        for (const [index, { system, afterMs }] of pushes.entries()) {
          const issuedAt = (released.at(-1)?.issuedAt ?? 0) + afterMs;
          const statement = { host, sequence: index + 1, toplevel: path(system), commit: commit(`${index + 1}`), issuedAt, envelope: '{}' };
          await store.releases.importStatement({ repositoryId: repository.id, ...statement });
          released.push(statement);
        }
        for (const asOf of [undefined, ...times])
          for (const toplevel of ['one', 'two', 'three'].map(path)) {
            const [found] = await store.releases.commitsOf([{ host, toplevel, asOf }]);
            const wanted = released.findLast((each) => each.toplevel === toplevel && each.issuedAt <= (asOf ?? Number.POSITIVE_INFINITY));
            expect(found?.commit).toBe(wanted?.commit);
          }
      }),
      { numRuns: 10 },
    );
  });

  describe('a release', () => {
    test('is the newest of its host, found in three ways', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [newHost(), newHost()];
      await publishNext(store, repository, commit('1'), [ada, bob]);
      await publishNext(store, repository, commit('2'), [ada]);
      expect((await store.releases.latest(repository.id)).map(({ host, sequence }) => [host, sequence])).toEqual([
        [ada, 2],
        [bob, 1],
      ]);
      const latest = await newestRelease(store, repository, ada);
      expect(latest?.sequence).toBe(2);
      expect((await store.releases.toOffer(repository.id, [latest?.id ?? '', 'none'])).releases).toEqual([latest]);
    });

    test('tells by what commit a system came, the newest where there are more', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [newHost(), newHost()];
      const { subject } = await publishNext(store, repository, commit('1'), [ada, bob]);
      const [ofAda, ofBob] = [ada, bob].map((host) => ({ host, toplevel: path(`${host}-1`) }));
      if (ofAda === undefined || ofBob === undefined) throw new Error('two systems');
      expect(await store.releases.commitsOf([ofAda])).toEqual([{ ...ofAda, commit: commit('1'), sequence: 1, subject }]);
      await store.releases.importStatement({
        ...ofAda,
        repositoryId: repository.id,
        sequence: 9,
        commit: commit('9'),
        issuedAt: 1,
        envelope: '{}',
      });
      const told = await store.releases.commitsOf([ofAda, ofBob, { host: ada, toplevel: ofBob.toplevel }]);
      expect(told.map(({ host, sequence }) => `${host} ${sequence}`).toSorted()).toEqual([`${ada} 9`, `${bob} 1`].toSorted());
      expect(await store.releases.commitsOf([])).toEqual([]);
    });

    test('comes back from the statement log once', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = newHost();
      const statement = { repositoryId: repository.id, host, sequence: 9, toplevel: path('x'), commit: commit('9'), issuedAt: 1, envelope: '{}' };
      await store.hosts.ensure(repository.id, [host]);
      await store.releases.importStatement(statement);
      const imported = await newestRelease(store, repository, host);
      expect(imported).toMatchObject({ sequence: 9, toplevel: path('x'), revisionId: undefined });
      await store.releases.importStatement({ ...statement, toplevel: path('y') });
      expect(await newestRelease(store, repository, host)).toEqual(imported);
    });

    test('of a revision that was never published does not come back', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const host = newHost();
      await store.hosts.ensure(repository.id, [host]);
      const revision = await receive(store, repository, commit('a'));
      await receive(store, repository, commit('b'));
      await store.releases.importStatement({ repositoryId: repository.id, ...newRelease(revision, host, path('x')) });
      expect(await newestRelease(store, repository, host)).toBeUndefined();
    });

    test('has a freshness statement that is only replaced by a newer one', async () => {
      const { store } = world;
      const { id } = await newRepository(store);
      expect((await store.releases.toOffer(id, [])).freshness).toBeUndefined();
      await store.releases.saveFreshness(id, 'second', 2, 200);
      await store.releases.saveFreshness(id, 'first', 1, 100);
      expect((await store.releases.toOffer(id, [])).freshness).toBe('second');
      await store.releases.saveFreshness(id, 'third', 2, 300);
      expect((await store.releases.toOffer(id, [])).freshness).toBe('third');
    });
  });
});
