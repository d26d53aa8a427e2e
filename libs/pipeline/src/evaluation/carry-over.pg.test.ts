import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { OPEN_RING, type CommitSha, type HostName } from '@floe/model';
import { systemClock } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { World } from '../test/world.ts';
import type { WorldHost } from '../test/world-host.ts';
import { worldForEachTest } from '../test/world-for-each-test.ts';

const FLEET: Readonly<Record<string, WorldHost>> = { ada: { evaluates: 1 }, bob: { evaluates: 2 } };
const POLICY = { rings: [{ name: 'canary', hosts: ['ada'] }, { name: 'rest' }], checks: ['style'] };
/** Which of these it is depends on whether a host that was just enrolled had its release of the commit before already. */
const HAS_SYSTEM: ReadonlySet<string> = new Set(['NEW', 'CHANGED', 'UNCHANGED']);
const TREE = { kind: 'tree', ignored: [] } as const;

let dir = '';
let world: World;
const openWorld = worldForEachTest((...given) => {
  [world, dir] = given;
  world.source = TREE;
});

/** The first commit is published, and everything that was asked of it is forgotten. */
async function start(hosts = FLEET): Promise<Revision> {
  world.commits.push(hosts);
  await world.start(dir);
  const first = await world.ended(shaOf(1), 'PUBLISHED');
  forget();
  return first;
}

function forget(): void {
  world.evaluations = [];
  world.questions = 0;
}

function shaOf(number: number): CommitSha {
  return String(number).padStart(40, '0') as CommitSha;
}

async function enrol(host: string, inWorld = world): Promise<void> {
  await inWorld.store.hosts.enrol({
    host: host as HostName,
    repositoryId: inWorld.repository.id,
    machineId: host,
    publicKey: host,
    at: systemClock.now(),
  });
}

test('of a commit with the same files nothing is evaluated, no check is built, and nobody gets a release', async () => {
  world.policy = POLICY;
  const first = await start();
  const second = await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.questions).toBe(0);
  expect(world.evaluations).toEqual([]);
  expect(second).toMatchObject({ policy: first.policy, sameSourceAs: first.sha });
  expect((await world.store.releases.hostsOf(second.id)).size).toBe(0);
  const rows = await world.store.revisions.evaluations(second.id);
  const before = await world.store.revisions.evaluations(first.id);
  const about = ({ host, drvPath, toplevel, system, labels, warnings }: (typeof rows)[number]): unknown => ({
    host,
    drvPath,
    toplevel,
    system,
    labels,
    warnings,
  });
  expect(rows.map(about)).toEqual(before.map(about));
  expect(rows.map(({ outcome }) => outcome)).toEqual(['UNCHANGED', 'UNCHANGED']);
});

test('without the setting it is evaluated as ever', async () => {
  world.source = undefined;
  await start();
  await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.evaluations).toEqual(['2 ada', '2 bob']);
});

describe('with ignored files and the commit as it is', () => {
  const IGNORING = { kind: 'commit', ignored: ['docs/**', '**/*.md'] } as const;
  /** The commit is in each system: whatever evaluates it finds others. */
  const at = (commit: number): Readonly<Record<string, WorldHost>> => ({ ada: { evaluates: 10 + commit }, bob: { evaluates: 20 + commit } });
  const changes = new Map<string, readonly string[] | 'unknown'>();
  const pushOf = async (commit: number, paths: readonly string[] | 'unknown', hosts = at(commit)): Promise<Revision> => {
    changes.set(shaOf(commit), paths);
    return await world.ended(await world.push(hosts), 'PUBLISHED');
  };

  beforeEach(() => {
    changes.clear();
    world.source = IGNORING;
    // Of a commit and the one before it.
    world.changedPaths = async (_from, to) => await Promise.resolve(changes.get(to) ?? 'unknown');
  });

  test('a commit that changes nothing else changes nobody, and the next one that does brings its own', async () => {
    world.policy = POLICY;
    const first = await start(at(1));
    const second = await pushOf(2, ['docs/a.txt', 'README.md']);
    expect([world.evaluations, world.questions]).toEqual([[], 0]);
    expect(second).toMatchObject({ sameSourceAs: first.sha, policy: first.policy });
    expect(await world.released()).toEqual({ ada: 11, bob: 21 });
    expect(await pushOf(3, [])).toMatchObject({ sameSourceAs: second.sha });
    expect(world.evaluations).toEqual([]);
    await pushOf(4, ['docs/a.txt', 'hosts/ada.nix']);
    expect(world.evaluations).toEqual(['4 ada', '4 bob']);
    expect(await world.released()).toEqual({ ada: 14, bob: 24 });
  });

  test('one of which it is not known what it changes, or by other settings, is evaluated', async () => {
    await start(at(1));
    await pushOf(2, 'unknown');
    expect(world.evaluations).toEqual(['2 ada', '2 bob']);
    await world.shutDown();
    world.source = { ...IGNORING, ignored: ['docs/**'] };
    await world.start(dir);
    forget();
    await pushOf(3, ['docs/a.txt']);
    expect(world.evaluations).toEqual(['3 ada', '3 bob']);
    await pushOf(4, ['docs/a.txt']);
    expect(world.evaluations).toEqual(['3 ada', '3 bob']);
  });

  test('a host that was enrolled since, or did not evaluate, is evaluated alone', async () => {
    await start({ ...at(1), cyd: { evaluates: 'broken' } });
    await pushOf(2, ['docs/a.txt'], { ...at(2), cyd: { evaluates: 32 } });
    expect(world.evaluations).toEqual(['2 cyd']);
    expect(await world.released()).toEqual({ ada: 11, bob: 21, cyd: 32 });
  });

  test('whatever is pushed, each host has what the newest commit with a change that counts made of it', async () => {
    const anyPath = fc.constantFrom('docs/a.txt', 'docs/deep/b', 'README.md', 'hosts/ada.nix', 'flake.nix', 'doc', 'docs.nix');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(anyPath, { maxLength: 2 }), { minLength: 1, maxLength: 5 }), async (pushes) => {
        await using own = await openWorld();
        own.source = IGNORING;
        const of = new Map<string, readonly string[]>();
        own.changedPaths = async (_from, to) => await Promise.resolve(of.get(to) ?? 'unknown');
        own.commits.push(at(1));
        await own.start(await mkdtemp(join(dir, 'run-')));
        await own.ended(shaOf(1), 'PUBLISHED');
        let expected = 1;
        for (const [index, paths] of pushes.entries()) {
          const commit = index + 2;
          of.set(shaOf(commit), paths);
          if (paths.some((path) => !path.startsWith('docs/') && path !== 'README.md')) expected = commit;
          await own.ended(await own.push(at(commit)), 'PUBLISHED');
          expect(await own.released()).toEqual({ ada: 10 + expected, bob: 20 + expected });
        }
      }),
      { numRuns: 8 },
    );
  });
});

test('a commit is evaluated that has other files, and the next one that has them again', async () => {
  await start();
  await world.ended(await world.push({ ...FLEET, ada: { evaluates: 3 } }), 'PUBLISHED');
  await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.evaluations).toEqual(['2 ada', '2 bob', '1 ada', '1 bob']);
  expect(await world.released()).toEqual({ ada: 1, bob: 2 });
});

test('what did not evaluate is evaluated again, alone', async () => {
  await start({ ...FLEET, cyd: { evaluates: 'broken' } });
  await world.ended(await world.push({ ...FLEET, cyd: { evaluates: 'broken' } }), 'PUBLISHED');
  expect(world.evaluations).toEqual(['1 cyd']);
});

test("a host that is not Floe's stays that, until it is enrolled", async () => {
  const fleet = { ...FLEET, cyd: { evaluates: 3, saysNo: true } };
  await start(fleet);
  const second = await world.ended(await world.push(fleet), 'PUBLISHED');
  expect(world.questions).toBe(0);
  expect(await world.row(second, 'cyd')).toMatchObject({ outcome: 'NOT_OURS' });
  await enrol('cyd');
  const third = await world.ended(await world.push(fleet), 'PUBLISHED');
  await eventually('it is released', async () => ((await world.released())['cyd'] === 3 ? true : undefined));
  expect(await world.row(third, 'cyd')).not.toMatchObject({ outcome: 'NOT_OURS' });
});

test('a host that left the flake is reported while a machine is enrolled for it', async () => {
  await start();
  await enrol('bob');
  await world.ended(await world.push({ ada: { evaluates: 1 } }), 'PUBLISHED');
  forget();
  const third = await world.ended(await world.push({ ada: { evaluates: 1 } }), 'PUBLISHED');
  expect(world.questions).toBe(0);
  expect(await world.row(third, 'bob')).toMatchObject({ outcome: 'REMOVED' });
});

test('what an administrator wants evaluated again is evaluated', async () => {
  await start();
  const second = await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.evaluations).toEqual([]);
  await world.store.revisions.reopen(second.id, systemClock.now());
  await world.store.repositories.wake(world.repository.id);
  await eventually('it is evaluated', async () => (world.evaluations.length === 2 ? true : await Promise.resolve(undefined)));
  expect((await world.store.revisions.get(second.id))?.sameSourceAs).toBeUndefined();
});

test('with another setting than before the next commit is evaluated', async () => {
  await start();
  await world.shutDown();
  world.source = undefined;
  await world.start(dir);
  await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.evaluations).toEqual(['2 ada', '2 bob']);
  await world.shutDown();
  world.source = TREE;
  await world.start(dir);
  forget();
  await world.ended(await world.push(FLEET), 'PUBLISHED');
  expect(world.evaluations).toEqual(['1 ada', '1 bob']);
});

test('a policy that is below a floor that was set meanwhile refuses the commit', async () => {
  world.policy = POLICY;
  await start();
  await world.shutDown();
  world.policyFloor = { rings: 3, firstRing: OPEN_RING, maxInFlight: undefined, checks: [] };
  await world.start(dir);
  const refused = await world.ended(await world.push(FLEET), 'REJECTED');
  expect(refused.error).toContain('below the floor');
});

test('whatever is pushed and enrolled, the hosts end with what evaluating would have given them', async () => {
  const evaluates = fc.constantFrom<WorldHost>(
    { evaluates: 1 },
    { evaluates: 2 },
    { evaluates: 'broken' },
    { evaluates: 1, saysNo: true },
    { evaluates: 2, builds: 'no-machine' },
  );
  const fleets = fc.array(fc.dictionary(fc.constantFrom('ada', 'bob', 'cyd'), evaluates, { minKeys: 1 }), { minLength: 1, maxLength: 2 });
  const steps = fc.array(fc.record({ fleet: fc.nat(1), enrols: fc.option(fc.constantFrom('ada', 'cyd'), { freq: 4 }) }), {
    minLength: 2,
    maxLength: 5,
  });
  await fc.assert(
    fc.asyncProperty(fleets, steps, async (some, taken) => {
      const ends: unknown[] = [];
      for (const source of [TREE, undefined]) {
        const folder = await mkdtemp(join(dir, 'run-'));
        await using own = await openWorld();
        own.source = source;
        await own.start(folder);
        const seen: unknown[] = [];
        for (const { fleet, enrols } of taken) {
          if (enrols !== null) {
            await own.store.hosts.ensure(own.repository.id, [enrols as HostName]);
            await enrol(enrols, own).catch(() => undefined);
          }
          const sha = await own.push(some[fleet % some.length] ?? {});
          const revision = await eventually('it has ended', async () => {
            const [found] = await own.store.revisions.byShaPrefix(own.repository.id, sha);
            return found !== undefined && ['PUBLISHED', 'EVAL_FAILED', 'BUILD_FAILED'].includes(found.state) ? found : undefined;
          });
          const rows = await own.store.revisions.evaluations(revision.id);
          // Whatever was not evaluated for it says whose it is.
          if (rows.some(({ outcome, evaluateMs }) => outcome !== 'REMOVED' && evaluateMs === undefined))
            expect(revision.sameSourceAs).toMatch(/^0+[1-9]$/);
          seen.push([
            revision.state,
            rows.map(({ host, outcome, toplevel }) => ({ host, toplevel, outcome: HAS_SYSTEM.has(outcome) ? 'system' : outcome })),
            await own.released(),
          ]);
        }
        ends.push(seen);
      }
      expect(ends[0]).toEqual(ends[1]);
    }),
    { numRuns: 8 },
  );
});
