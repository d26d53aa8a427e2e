import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isEndedRevision, type CommitSha, type HostName } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStatementLog } from './statements/statement-log.ts';
import { openWorldStore, World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';

// Whatever becomes of a commit, and whoever builds it when: no host has a release of one whose check does not build, or that nobody allowed signed
// before its first release.

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
  const template = await openWorldStore(server.url);
  await template[Symbol.asyncDispose]();
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** Nobody may sign, and the commits of this world have no signature. */
const NOBODY = { sshFile: '/nonexistent', path: undefined };
const HOUR_MS = 3_600_000;

type Commit = Readonly<Record<string, WorldHost>>;

/** A fleet whose policy names the checks of its commits, and what was signed of it. */
class Fleet implements AsyncDisposable {
  readonly world: World;
  readonly #dir: string;
  #enrolled = 0;
  /** Of which commits hosts had releases when signatures began to be asked for; undefined: they are not. */
  #releasedBefore: ReadonlySet<string> | undefined;

  private constructor(world: World, dir: string) {
    [this.world, this.#dir] = [world, dir];
  }

  static async open(first: Commit, { isTree = false } = {}): Promise<Fleet> {
    const fleet = new Fleet(
      new World(await openWorldStore(await server.createDatabase(server.url))),
      await mkdtemp(join(tmpdir(), 'floe-clearance-')),
    );
    const { world } = fleet;
    if (isTree) world.source = { kind: 'tree', ignored: [] };
    world.policyOf = (hosts) => {
      const checks = Object.values(hosts).flatMap(({ check }) => check ?? []);
      return checks.length === 0 ? undefined : { checks };
    };
    world.commits.push(first);
    await world.start(fleet.#dir);
    await fleet.settled();
    return fleet;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async newest(): Promise<Revision> {
    const { store, repository } = this.world;
    return await eventually('there is one', async () => await store.revisions.newest(repository.id));
  }

  /** Nothing is left to do before time passes. */
  async settled(): Promise<void> {
    const { store, commits } = this.world;
    await eventually('all was done', async () => {
      const { id, sha, state, error } = await this.newest();
      if (Number(sha) !== commits.length || (!isEndedRevision(state) && error === undefined)) return undefined;
      const retryAt = state === 'PUBLISHED' || state === 'BUILD_FAILED' ? await store.revisions.nextRetryAt(id) : undefined;
      return retryAt === undefined || retryAt > systemClock.now() + this.world.laterMs ? true : undefined;
    });
    await this.check();
  }

  async push(commit: Commit): Promise<void> {
    await this.world.push(commit);
    await this.settled();
  }

  async enrol(host: string): Promise<void> {
    const { store, repository } = this.world;
    await store.hosts.enrol({ host: host as HostName, repositoryId: repository.id, machineId: host, publicKey: host, at: systemClock.now() });
    await this.later(0);
  }

  /** One of the installers that nobody enrolled yet. */
  async enrolNext(): Promise<void> {
    const next = INSTALLERS[this.#enrolled];
    this.#enrolled += 1;
    if (next !== undefined) await this.enrol(next);
  }

  async later(ms: number): Promise<void> {
    await this.world.later(ms);
    await this.settled();
  }

  /** From now on, signatures are asked for, or not. */
  async restart(areSignaturesAsked: boolean): Promise<void> {
    await this.world.shutDown();
    this.world.signers = areSignaturesAsked ? NOBODY : undefined;
    this.#releasedBefore = areSignaturesAsked ? new Set((await this.signed()).map(({ commit }) => commit)) : undefined;
    await this.world.start(this.#dir);
    await this.settled();
  }

  async evaluateAgain(): Promise<void> {
    await this.world.store.revisions.reopen((await this.newest()).id, systemClock.now());
    await this.later(0);
  }

  async signed(): Promise<readonly { readonly host: string; readonly commit: CommitSha }[]> {
    const { releases } = await openStatementLog(join(this.#dir, 'statements'), silentLogger).read();
    return releases.map(({ statement }) => statement);
  }

  async check(): Promise<void> {
    for (const { host, commit } of await this.signed()) {
      const hosts = this.world.commits[Number(commit) - 1] ?? {};
      const isBroken = Object.values(hosts).some(({ check }) => check === 'broken');
      expect({ host, commit, isBroken }).toEqual({ host, commit, isBroken: false });
      if (this.#releasedBefore !== undefined) expect([...this.#releasedBefore]).toContain(commit);
    }
  }
}

const INSTALLER = { evaluates: 7, saysNo: true } as const;
const INSTALLERS = ['iso', 'usb', 'pxe', 'sdcard'] as const;

test("a host that was not Floe's, and is enrolled, gets nothing of a commit whose check does not build, nor of the same files after it", async () => {
  await using fleet = await Fleet.open({ ada: { evaluates: 1, check: 'good' }, iso: INSTALLER }, { isTree: true });
  const bad = { ada: { evaluates: 2, check: 'broken' }, iso: INSTALLER } as const;
  await fleet.push(bad);
  expect((await fleet.newest()).state).toBe('BUILD_FAILED');
  await fleet.enrol('iso');
  await fleet.push(bad);
  expect((await fleet.newest()).state).toBe('BUILD_FAILED');
  expect(await fleet.world.released()).toEqual({ ada: 1 });
  await fleet.push({ ada: { evaluates: 3, check: 'good' }, iso: INSTALLER });
  expect(await fleet.world.released()).toEqual({ ada: 3, iso: 7 });
});

test.each([false, true])(
  'a host that is late gets nothing of a commit whose signer was taken away before anybody had a release (tree: %s)',
  async (isTree) => {
    await using fleet = await Fleet.open({ ada: { evaluates: 1 } }, { isTree });
    await fleet.push({ ada: { evaluates: 1 }, bob: { evaluates: 2, builds: 'no-source' } });
    await fleet.restart(true);
    fleet.world.commits.splice(1, 1, { ada: { evaluates: 1 }, bob: { evaluates: 2 } });
    await fleet.later(HOUR_MS);
    expect(await fleet.world.released()).toEqual({ ada: 1 });
  },
);

test('a check is not built again of the same files, but of a commit that somebody has evaluated again', async () => {
  const hosts = { ada: { evaluates: 1, check: 'good' } } as const;
  await using fleet = await Fleet.open(hosts, { isTree: true });
  const built: string[] = [];
  fleet.world.onBuild = (name) => void built.push(name);
  await fleet.push(hosts);
  expect(built).toEqual([]);
  await fleet.evaluateAgain();
  expect(built).toEqual(['good']);
});

const build = fc.constantFrom('ok' as const, 'second-try' as const, 'second-try' as const, 'no-machine' as const);
const evaluates = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 30 }) }, fc.constantFrom('waits' as const, 'broken' as const));
const check = fc.constantFrom('good' as const, 'broken' as const, undefined);
const commit = fc.tuple(evaluates, build, evaluates, build, check).map(([ada, adaBuilds, bob, bobBuilds, named]): Commit => ({
  ada: { evaluates: ada, builds: adaBuilds, ...(named === undefined ? {} : { check: named }) },
  bob: { evaluates: bob, builds: bobBuilds },
  ...Object.fromEntries(INSTALLERS.map((host) => [host, INSTALLER])),
}));
type Step = readonly ['push', Commit] | readonly ['same' | 'enrol' | 'later' | 'again' | 'signers' | 'no-signers'];
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: commit.map((each) => ['push', each] as const) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Step[0][]>('same', 'enrol', 'enrol', 'later', 'later', 'again', 'signers', 'no-signers').map((name) => [name] as Step),
  },
);

async function take(fleet: Fleet, [name, pushed]: Step): Promise<void> {
  if (name === 'push' && pushed !== undefined) return await fleet.push(pushed);
  if (name === 'same') return await fleet.push(fleet.world.commits.at(-1) ?? {});
  if (name === 'enrol') return await fleet.enrolNext();
  if (name === 'later') return await fleet.later(HOUR_MS);
  if (name === 'again') return await fleet.evaluateAgain();
  await fleet.restart(name === 'signers');
}

test('whatever is pushed, enrolled, tried again and taken away, in any order', { timeout: 600_000 }, async () => {
  const numRuns = Number(process.env['FLOE_FUZZ_RUNS'] ?? 6);
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 2, maxLength: 8 }), async (isTree, steps) => {
      await using fleet = await Fleet.open({ ada: { evaluates: 1, check: 'good' }, bob: { evaluates: 1 } }, { isTree });
      for (const each of steps) await take(fleet, each);
    }),
    { numRuns },
  );
});
