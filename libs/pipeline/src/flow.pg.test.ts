import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isEndedRevision, type CommitSha } from '@floe/model';
import { FloeError, silentLogger } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openStatementLog } from './statements/statement-log.ts';
import type { World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let dir = '';
let world: World;
const openWorld = worldForEachTest((...given) => {
  [world, dir] = given;
});

const shaOf = (number: number): CommitSha => String(number).padStart(40, '0') as CommitSha;
/** A build, or an evaluation, that ends when it is told to. */
function gate(host: string, of: 'buildsAfter' | 'evaluatesAfter' = 'buildsAfter'): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  world[of].set(host, promise);
  return resolve;
}
async function revisionOf(sha: CommitSha): Promise<Revision | undefined> {
  return (await world.store.revisions.byShaPrefix(world.repository.id, sha))[0];
}
async function released(expected: Record<string, number>): Promise<void> {
  await eventually(`released: ${JSON.stringify(expected)}`, async () => (isDeepStrictEqual(await world.released(), expected) ? true : undefined), {
    explain: async () => JSON.stringify(await world.released()),
  });
}
const coming = async (): Promise<readonly string[]> => [...((await world.store.hosts.fleet(world.repository.id)).rollout?.coming?.keys() ?? [])];

describe('each host flows by itself', () => {
  test('a host is released when it is built, though another one takes hours', async () => {
    const finish = gate('bob');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 }, cyd: { evaluates: 1, builds: 'no-machine' } });
    await world.start(dir);
    await released({ ada: 1 });
    const building = await revisionOf(shaOf(1));
    expect(building?.state).toBe('BUILDING');
    expect((await world.store.revisions.newestFinished(world.repository.id))?.id).toBe(building?.id);
    expect((await world.store.hosts.fleet(world.repository.id)).rollout?.state).toBe('WAITING_APPROVAL');
    expect(await coming()).toEqual(['bob']);
    // Whoever has it can tell that it is the newest.
    await eventually('that is signed', async () => (await world.store.releases.toOffer(world.repository.id, [])).freshness);
    finish();
    const revision = await world.ended(shaOf(1), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 1, bob: 1 });
    expect(await coming()).toEqual([]);
    expect(await world.row(revision, 'cyd')).toMatchObject({ outcome: 'BUILD_ERROR' });
  });

  test('what a newer commit overtakes stays released, and says of the others that they were not built', async () => {
    gate('bob');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await released({ ada: 1 });
    world.buildsAfter.clear();
    await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 } });
    const older = await world.ended(shaOf(1), 'PUBLISHED');
    expect(await world.row(older, 'ada')).toMatchObject({ outcome: 'NEW', error: undefined });
    expect(await world.row(older, 'bob')).toMatchObject({ outcome: 'BUILD_ERROR', error: 'not built: 0000000000 came first', retryAt: undefined });
    await world.ended(shaOf(2), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 2, bob: 2 });
    expect((await revisionOf(shaOf(1)))?.supersededBy).toBe(shaOf(2));
  });

  test('a host that a commit leaves as it is has its system published again, if that left the cache', async () => {
    const published: string[] = [];
    world.onPublish = (paths) => void published.push(...paths);
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await world.ended(shaOf(1), 'PUBLISHED');
    const before = await world.store.releases.latest(world.repository.id);
    const ofAda = before.filter(({ host }) => host === 'ada').map(({ toplevel }) => toplevel);
    for (const toplevel of ofAda) world.gone.add(toplevel);
    published.length = 0;
    await world.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    const revision = await world.ended(shaOf(2), 'PUBLISHED');
    expect(published).toEqual(ofAda);
    expect([...world.gone]).toEqual([]);
    expect(await world.row(revision, 'ada')).toMatchObject({ outcome: 'CHANGED' });
    expect(await world.row(revision, 'bob')).toMatchObject({ outcome: 'UNCHANGED' });
    const after = await world.store.releases.latest(world.repository.id);
    expect(after.map(({ host, sequence, toplevel }) => [host, sequence, toplevel])).toEqual(
      before.map(({ host, toplevel }) => [host, host === 'ada' ? 2 : 1, toplevel]),
    );
  });

  test('what is overtaken before a release is superseded', async () => {
    gate('ada');
    const builds: string[] = [];
    world.onBuild = (host) => void builds.push(host);
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await eventually('it is being built', () => (builds.length > 0 ? true : undefined));
    world.buildsAfter.clear();
    await world.push({ ada: { evaluates: 2 } });
    await world.ended(shaOf(1), 'SUPERSEDED');
    await released({ ada: 2 });
  });

  test('a server that was killed in between builds the others, and releases nobody twice', async () => {
    gate('bob');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await released({ ada: 1 });
    await world.shutDown();
    world.buildsAfter.clear();
    const builds: string[] = [];
    world.onBuild = (host) => void builds.push(host);
    await world.start(dir);
    await world.ended(shaOf(1), 'PUBLISHED');
    expect(builds).toEqual(['bob']);
    const log = openStatementLog(join(dir, 'statements'), silentLogger);
    expect(await log.listReleases()).toHaveLength(2);
  });

  test('one copy takes what is ready by then; what the cache did not take goes with the next, or when the step is repeated', async () => {
    const finish = [gate('bob'), gate('cyd')];
    const copies: (readonly string[])[] = [];
    const first = Promise.withResolvers<void>();
    world.onPublish = async (paths) => {
      copies.push(paths.map((path) => path.split('-')[1] ?? ''));
      if (copies.length === 1) await first.promise;
      if (copies.length === 2) throw new FloeError('CACHE_FULL', 'no space is left', { retryable: true });
    };
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 }, cyd: { evaluates: 1 } });
    await world.start(dir);
    await eventually('the first copy runs', () => (copies.length === 1 ? true : undefined));
    for (const each of finish) each();
    const revision = await eventually('it is there', async () => await revisionOf(shaOf(1)));
    for (const host of ['bob', 'cyd'])
      await eventually(`${host} is built`, async () => ((await world.row(revision, host))?.builtAt === undefined ? undefined : true));
    first.resolve();
    await world.ended(shaOf(1), 'PUBLISHED');
    expect(copies.slice(0, 2).map((paths) => paths.toSorted())).toEqual([['ada'], ['bob', 'cyd']]);
    expect(copies.slice(2).flat().toSorted()).toEqual(['bob', 'cyd']);
    expect(await world.released()).toEqual({ ada: 1, bob: 1, cyd: 1 });
  });

  test('what is submitted waits for a commit that some hosts have, also when the cache refuses the others for a while', async () => {
    const finish = gate('bob');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await released({ ada: 1 });
    const id = await world.submit('ada', 7);
    await eventually('it has a number', async () => await world.store.handovers.revisionOf(id));
    let refusals = 1;
    world.onPublish = () => {
      if (refusals-- > 0) throw new FloeError('CACHE_FULL', 'no space is left', { retryable: true });
    };
    finish();
    await world.submitted(id, 'PUBLISHED');
    expect(refusals).toBeLessThan(1);
    expect(await world.released()).toEqual({ ada: 7, bob: 1 });
    expect((await revisionOf(shaOf(1)))?.state).toBe('PUBLISHED');
  });
});

describe('a commit that hangs and has to be finished first', () => {
  const MINUTE = 60_000;
  async function isUnderWay(): Promise<void> {
    await eventually('it is under way', async () => ((await revisionOf(shaOf(1)))?.verifiedAt === undefined ? undefined : true));
  }
  /** The first commit has come far enough, and long ago enough, that it is finished before a newer one. */
  async function pushBehind(hosts: Record<string, WorldHost>): Promise<void> {
    world.laterMs += 4 * MINUTE;
    const sha = await world.push(hosts);
    await eventually('it is taken in, and waits', async () => ((await revisionOf(sha))?.state === 'RECEIVED' ? true : undefined));
    expect((await world.store.revisions.nextUnfinished(world.repository.id))?.sha).toBe(shaOf(1));
  }

  test.each([
    ['a build', 'buildsAfter'],
    ['an evaluation', 'evaluatesAfter'],
  ] as const)('%s holds a newer commit back for a quarter of an hour, and no longer', async (_, of) => {
    const finish = gate('ada', of);
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await isUnderWay();
    await pushBehind({ ada: { evaluates: 2 } });
    const waits = await world.store.revisions.waiting(world.repository.id);
    expect(waits).toMatchObject({ sha: shaOf(2), after: shaOf(1) });
    const fetchedAt = (await revisionOf(shaOf(2)))?.fetchedAt ?? 0;
    expect((waits?.until ?? 0) - fetchedAt).toBe(15 * MINUTE);
    const looks = world.fetchedAt.length;
    await world.later(14 * MINUTE);
    await eventually('the repository was looked at', () => (world.fetchedAt.length > looks + 1 ? true : undefined));
    expect((await revisionOf(shaOf(2)))?.state).toBe('RECEIVED');
    await world.later(2 * MINUTE);
    await world.ended(shaOf(1), 'SUPERSEDED');
    expect(await world.store.revisions.waiting(world.repository.id)).toBeUndefined();
    finish();
    await released({ ada: 2 });
  });

  test('what it released stays, and its other hosts get the newer commit', async () => {
    const finish = gate('bob');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await released({ ada: 1 });
    await pushBehind({ ada: { evaluates: 1 }, bob: { evaluates: 2 } });
    // Another one comes meanwhile: the time counts from the first one that waits.
    world.laterMs += 10 * MINUTE;
    await world.push({ ada: { evaluates: 1 }, bob: { evaluates: 3 } });
    await world.ended(shaOf(2), 'SUPERSEDED');
    await world.later(6 * MINUTE);
    const older = await world.ended(shaOf(1), 'PUBLISHED');
    expect(await world.row(older, 'bob')).toMatchObject({ outcome: 'BUILD_ERROR' });
    finish();
    await released({ ada: 1, bob: 3 });
  });

  test('is ended by a server that was started since, too', async () => {
    const finish = gate('ada');
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await isUnderWay();
    await pushBehind({ ada: { evaluates: 2 } });
    await world.shutDown();
    world.laterMs += 16 * MINUTE;
    await world.start(dir);
    await world.ended(shaOf(1), 'SUPERSEDED');
    finish();
    await released({ ada: 2 });
  });

  test('a second one that hangs is given twice the time', async () => {
    const finish = gate('ada');
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await isUnderWay();
    await pushBehind({ ada: { evaluates: 2 } });
    await world.later(16 * MINUTE);
    await world.ended(shaOf(1), 'SUPERSEDED');
    await eventually('the second one is under way', async () => ((await revisionOf(shaOf(2)))?.verifiedAt === undefined ? undefined : true));
    await world.push({ ada: { evaluates: 3 } });
    await eventually('the third one waits', async () => await revisionOf(shaOf(3)));
    const { revisions } = world.store;
    const now = (): number => Date.now() + world.laterMs;
    expect(await revisions.endOverdue(world.repository.id, now() + 29 * MINUTE)).toBe(false);
    // What people are told is when it ends.
    const until = (await revisions.waiting(world.repository.id))?.until ?? 0;
    expect(until - now()).toBeGreaterThan(29 * MINUTE);
    expect(await revisions.endOverdue(world.repository.id, until - 1)).toBe(false);
    await world.later(31 * MINUTE);
    await world.ended(shaOf(2), 'SUPERSEDED');
    finish();
    await released({ ada: 3 });
  });

  test('an administrator has a commit that waits for it taken at once', async () => {
    const finish = gate('ada');
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await isUnderWay();
    await pushBehind({ ada: { evaluates: 2 } });
    const { revisions, repositories } = world.store;
    expect(await revisions.endOlder(world.repository.id, shaOf(1), 1)).toEqual([]);
    expect(await revisions.endOlder(world.repository.id, shaOf(2), 1)).toEqual([shaOf(1)]);
    await repositories.wake(world.repository.id);
    await world.ended(shaOf(1), 'SUPERSEDED');
    finish();
    await released({ ada: 2 });
    expect(await revisions.endOlder(world.repository.id, shaOf(2), 1)).toEqual([]);
  });

  test.each(['an administrator', 'the time'] as const)('is ended by %s while the git server is left alone, too', async (by) => {
    gate('ada');
    world.commits.push({ ada: { evaluates: 1 } });
    const hangs = new Promise<void>((resolve) => (world.onBuild = () => resolve()));
    await world.start(dir);
    await isUnderWay();
    await hangs;
    await pushBehind({ ada: { evaluates: 2 } });
    world.refuse = () => {
      throw new FloeError('REPOSITORY_BUSY', 'too many requests', { retryable: true, data: { retryAfterMs: 60 * MINUTE } });
    };
    const { revisions, repositories } = world.store;
    await repositories.wake(world.repository.id);
    await eventually('it was asked to leave', async () => (await repositories.get(world.repository.id)).problem);
    const looks = world.fetchedAt.length;
    // What hangs does so still.
    world.buildsAfter.clear();
    if (by === 'an administrator') await revisions.endOlder(world.repository.id, shaOf(2), 1);
    await world.later(by === 'an administrator' ? 0 : 16 * MINUTE);
    await world.ended(shaOf(1), 'SUPERSEDED');
    await released({ ada: 2 });
    expect(world.fetchedAt).toHaveLength(looks);
  });
});

describe('evaluation is a part of the flow', () => {
  const evaluating = async (): Promise<readonly string[]> => [...((await world.store.hosts.fleet(world.repository.id)).rollout?.evaluating ?? [])];

  test('a host is released when it is evaluated and built, though the evaluation of others takes hours', async () => {
    const finish = gate('bob', 'evaluatesAfter');
    const fail = gate('cyd', 'evaluatesAfter');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 }, cyd: { evaluates: 'broken' } });
    await world.start(dir);
    await released({ ada: 1 });
    const building = await revisionOf(shaOf(1));
    expect(building?.state).toBe('BUILDING');
    expect(await coming()).toEqual([]);
    expect((await evaluating()).toSorted()).toEqual(['bob', 'cyd']);
    finish();
    await released({ ada: 1, bob: 1 });
    expect(await evaluating()).toEqual(['cyd']);
    fail();
    const revision = await world.ended(shaOf(1), 'PUBLISHED');
    expect(await evaluating()).toEqual([]);
    expect(await world.row(revision, 'cyd')).toMatchObject({ outcome: 'EVAL_ERROR', error: 'broken' });
    expect(revision.evaluatedAt).toBeGreaterThan(building?.evaluatedAt ?? Infinity);
  });

  test('a commit none of whose hosts evaluates has failed, and one whose only good host comes last has not', async () => {
    const finish = gate('bob', 'evaluatesAfter');
    world.commits.push({ ada: { evaluates: 'broken' }, bob: { evaluates: 1 } });
    await world.start(dir);
    const revision = await eventually('ada is evaluated', async () => {
      const each = await revisionOf(shaOf(1));
      return each !== undefined && world.evaluations.length > 0 ? each : undefined;
    });
    expect(revision.state).toBe('EVALUATING');
    finish();
    await world.ended(shaOf(1), 'PUBLISHED');
    world.evaluatesAfter.clear();
    await world.push({ ada: { evaluates: 'broken' }, bob: { evaluates: 'broken' } });
    await world.ended(shaOf(2), 'EVAL_FAILED');
    expect(await world.released()).toEqual({ bob: 1 });
  });

  test('the hosts that a commit is about are evaluated first: by their names, and by what the same files changed before', async () => {
    const names = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay'];
    const files = [[], ['modules/web.nix', 'hosts/fay/disks.nix'], ['modules/web.nix'], ['README.md', 'modules/web.nix', 'hosts/dan.nix']];
    world.changedPaths = async (from, to) => await Promise.resolve(files.slice(Number(from), Number(to)).flat());
    // The commit that touched the module alone says more than the one before it.
    const changed = [names, ['bob', 'cyd', 'fay'], ['eve'], ['eve', 'dan']];
    const numbers = new Map<string, number>();
    for (const [index, some] of changed.entries()) {
      for (const name of some) numbers.set(name, index + 1);
      const hosts = Object.fromEntries(names.map((name) => [name, { evaluates: numbers.get(name) ?? 0 }]));
      if (index === 0) {
        world.commits.push(hosts);
        await world.start(dir);
      } else await world.push(hosts);
      await world.ended(shaOf(index + 1), 'PUBLISHED');
    }
    expect(world.evaluations.slice(-names.length)).toEqual(['dan', 'eve', 'bob', 'cyd', 'fay', 'ada'].map((name) => `4 ${name}`));
  });

  test('the host that imports what a commit changed is evaluated first, also by a server that started since, and before what more hosts import', async () => {
    const names = ['ada', 'bob', 'cyd', 'dan', 'eve'];
    const files = [[], ['modules/rare.nix'], ['modules/web.nix', 'modules/rare.nix'], ['modules/web.nix', 'hosts/ada.nix']];
    world.changedPaths = async (from, to) => await Promise.resolve(files.slice(Number(from), Number(to)).flat());
    const imports: Readonly<Record<string, readonly string[]>> = { cyd: ['modules/web.nix'], dan: ['modules/web.nix', 'modules/rare.nix'] };
    const hosts = (evaluates: number) =>
      Object.fromEntries(names.map((name) => [name, { evaluates, imports: ['flake.nix', ...(imports[name] ?? [])] }]));
    const evaluatedWith = async (commit: number): Promise<readonly string[]> => {
      await world.ended(shaOf(commit), 'PUBLISHED');
      return world.evaluations.filter((each) => each.startsWith(`${commit} `)).map((each) => each.slice(2));
    };
    world.commits.push(hosts(1));
    await world.start(dir);
    await world.ended(shaOf(1), 'PUBLISHED');
    await world.shutDown();
    await world.start(dir);
    // All change with each commit, so that earlier commits say nothing.
    await world.push(hosts(2));
    expect(await evaluatedWith(2)).toEqual(['dan', 'ada', 'bob', 'cyd', 'eve']);
    await world.push(hosts(3));
    expect(await evaluatedWith(3)).toEqual(['dan', 'cyd', 'ada', 'bob', 'eve']);
    await world.push(hosts(4));
    expect(await evaluatedWith(4)).toEqual(['ada', 'cyd', 'dan', 'bob', 'eve']);
  });

  test('what a newer commit overtakes says of no host that it does not evaluate, and keeps whose they are', async () => {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 }, iso: { evaluates: 1, saysNo: true } });
    await world.start(dir);
    await world.ended(shaOf(1), 'PUBLISHED');
    for (const host of ['bob', 'iso']) gate(host, 'evaluatesAfter');
    await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 }, iso: { evaluates: 1, saysNo: true } });
    await released({ ada: 2, bob: 1 });
    world.evaluatesAfter.clear();
    await world.push({ ada: { evaluates: 3 }, bob: { evaluates: 3 }, iso: { evaluates: 'silent' } });
    const older = await world.ended(shaOf(2), 'PUBLISHED');
    expect(await world.row(older, 'bob')).toMatchObject({ outcome: 'NOT_EVALUATED', error: undefined, labels: ['site=bob'] });
    expect(await world.row(older, 'iso')).toMatchObject({ outcome: 'NOT_OURS' });
    const newer = await world.ended(shaOf(3), 'PUBLISHED');
    expect(await world.row(newer, 'iso')).toMatchObject({ outcome: 'NOT_OURS' });
    expect(await world.released()).toEqual({ ada: 3, bob: 3 });
  });

  test('what a newer commit overtakes still counts all its hosts: one with far fewer is held', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `h${index}`.replace(/\d/, (digit) => 'abcdefgh'[Number(digit)] ?? ''));
    const all = (evaluates: number) => Object.fromEntries(names.map((name) => [name, { evaluates }]));
    for (const name of names.slice(1)) gate(name, 'evaluatesAfter');
    world.commits.push(all(1));
    await world.start(dir);
    await released({ ha: 1 });
    await world.push({ ha: { evaluates: 2 } });
    await world.ended(shaOf(1), 'PUBLISHED');
    await eventually('it is held', async () => (await world.store.repositories.get(world.repository.id)).held);
  });

  test('a server that was killed in between evaluates the others, and none twice', async () => {
    gate('bob', 'evaluatesAfter');
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await released({ ada: 1 });
    await world.shutDown();
    world.evaluatesAfter.clear();
    world.evaluations = [];
    await world.start(dir);
    await world.ended(shaOf(1), 'PUBLISHED');
    expect(world.evaluations).toEqual(['1 bob']);
    expect(await world.released()).toEqual({ ada: 1, bob: 1 });
  });

  test('nothing is released before the checks of the policy are built, also while hosts are evaluated', async () => {
    gate('bob', 'evaluatesAfter');
    const builds: string[] = [];
    world.onBuild = (host) => void builds.push(host);
    const checked = Promise.withResolvers<void>();
    world.buildsAfter.set('unit', checked.promise);
    world.policy = { rings: [{ name: 'all' }], checks: ['unit'] };
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await eventually('the check is built', () => (builds.length > 0 ? true : undefined));
    expect(builds).toEqual(['unit']);
    expect(await world.released()).toEqual({});
    checked.resolve();
    await released({ ada: 1 });
    expect(builds).toEqual(['unit', 'ada']);
  });
});

const HOSTS = ['ada', 'bob', 'cyd'] as const;
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const), host: fc.constantFrom(...HOSTS) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('evaluate' as const), host: fc.constantFrom(...HOSTS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('push' as const), hosts: fc.subarray([...HOSTS], { minLength: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('submit' as const), host: fc.constantFrom(...HOSTS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'refuse' as const) }) },
);

const numRuns = fc.readConfigureGlobal().numRuns ?? 6;
test(
  'whatever is slow, pushed, refused and killed in between: no host twice, none before it is built, and all in the end',
  { timeout: 60_000 + 20_000 * numRuns },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const folder = await mkdtemp(join(dir, 'run-'));
        const own = await openWorld();
        const open = { buildsAfter: new Map<string, () => void>(), evaluatesAfter: new Map<string, () => void>() };
        const slow = (host: string): void => {
          for (const of of ['buildsAfter', 'evaluatesAfter'] as const) {
            const { promise, resolve } = Promise.withResolvers<void>();
            own[of].set(host, promise);
            open[of].set(host, resolve);
          }
        };
        let refusals = 0;
        own.onPublish = () => {
          if (refusals-- > 0) throw new FloeError('CACHE_FULL', 'no space is left', { retryable: true });
        };
        try {
          for (const host of HOSTS) slow(host);
          let number = 1;
          // What a CI hands over in between is the newest, or what is pushed then is.
          const submitted = new Map<string, number>();
          let lastSystem = 100;
          const content = new Map(HOSTS.map((host) => [host, { evaluates: number }]));
          own.commits.push(Object.fromEntries(content));
          await own.start(folder);
          for (const each of steps) {
            switch (each.do) {
              case 'finish':
                open.buildsAfter.get(each.host)?.();
                break;
              case 'evaluate':
                open.evaluatesAfter.get(each.host)?.();
                break;
              case 'push':
                number += 1;
                for (const host of each.hosts) content.set(host, { evaluates: number });
                for (const host of each.hosts) slow(host);
                await own.push(Object.fromEntries(content));
                break;
              case 'submit':
                submitted.set(each.host, (lastSystem += 1));
                await own.submit(each.host, lastSystem);
                break;
              case 'refuse':
                refusals = 1;
                break;
              case 'restart':
                await own.shutDown();
                await own.start(folder);
            }
          }
          for (const finish of [...open.evaluatesAfter.values(), ...open.buildsAfter.values()]) finish();
          await own.ended(shaOf(number), 'PUBLISHED');
          await eventually('nothing waits, and all is finished', async () => {
            const waiting = await own.store.handovers.waiting(own.repository.id);
            const list = await own.store.revisions.list(own.repository.id, 50);
            return waiting.length === 0 && list.every(({ revision }) => isEndedRevision(revision.state)) ? true : undefined;
          });
          const systems = await own.released();
          for (const host of HOSTS) expect([content.get(host)?.evaluates, submitted.get(host)], host).toContain(systems[host]);
          // Whoever is released was built: its row says so, and nothing that is over is left to be built.
          const revisions = await own.store.revisions.list(own.repository.id, 50);
          for (const { revision } of revisions) {
            const handed = await own.store.releases.hostsOf(revision.id);
            expect(revision.state === 'PUBLISHED' || handed.size === 0, `${revision.sha} is ${revision.state}`).toBe(true);
            const rows = await own.store.revisions.evaluations(revision.id);
            // The next commit is held by how many hosts there were.
            if (revision.state === 'PUBLISHED') expect(rows.map(({ host }) => host)).toEqual([...HOSTS]);
            for (const row of rows) {
              // Of what is newest nothing is left to be evaluated.
              if (revision.supersededBy === undefined && revision.handoverId === undefined) expect(row.outcome, row.host).not.toBe('NOT_EVALUATED');
              const isBuilt = handed.has(row.host);
              if (isBuilt) expect(row.error, row.host).toBeUndefined();
              // What was submitted was built elsewhere.
              if (isBuilt && revision.handoverId === undefined) expect(row.builtAt, row.host).toBeTypeOf('number');
              if (revision.state === 'PUBLISHED' && (row.outcome === 'CHANGED' || row.outcome === 'NEW')) expect(isBuilt, row.host).toBe(true);
            }
          }
          expect((await own.store.hosts.fleet(own.repository.id)).rollout?.coming ?? new Map()).toEqual(new Map());
        } finally {
          await own.stop();
        }
      }),
      { numRuns },
    );
  },
);
