import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror, type GitMirror } from '@floe/git';
import type { CommitSha, HostName, StorePath, TestingStatus } from '@floe/model';
import { open, ReleaseStatement, parseStored } from '@floe/protocol';
import { exec, execInTest, FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock, verifySignature } from '@floe/runtime';
import type { Repository, Store } from '@floe/store';
import { startGitOrigin, startPostgres, type GitOrigin, type OriginRepository, type PostgresServer } from '@floe/testkit';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStatementLog } from '../statements/statement-log.ts';
import { openOnPostgres } from '../test/migrated-postgres.ts';
import { anyCache } from '../test/folder-cache.ts';
import { TestingBranches, type TestingPipelineDeps } from './testing-branches.ts';

// Git is real, over HTTP; Nix is played: a file "broken" does not evaluate, "unbuildable" does not build.

const DAY_MS = 24 * 3600_000;
const signer = signerFromPem('release-1', generateKeyPem());
const HOST = 'ada' as HostName;

let folder: string;
let origin: GitOrigin;
let postgres: PostgresServer;
let store: Store;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floe-testing-'));
  origin = await startGitOrigin();
  postgres = await startPostgres();
  store = await openOnPostgres(postgres.url);
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

let worlds = 0;

/** A repository with one enrolled host, and what is followed of it. */
class World implements AsyncDisposable {
  readonly told: { readonly sha: CommitSha; readonly status: TestingStatus }[] = [];
  readonly host: HostName;
  limit = 10;
  offsetMs = 0;
  evaluations: string[] = [];
  /** Something away, such as a download, lets a build wait. */
  isAway = false;
  signers: TestingPipelineDeps['signers'];
  repository!: Repository;
  #origin!: OriginRepository;
  #dir!: string;
  #follower!: TestingBranches;
  #listing: GitMirror | undefined;

  private constructor(host: HostName) {
    this.host = host;
  }

  static async make(): Promise<World> {
    worlds += 1;
    const world = new World(`${HOST}${worlds}` as HostName);
    world.#dir = join(folder, String(worlds));
    await mkdir(world.#dir);
    world.#origin = await origin.repository(`fleet${worlds}`);
    world.repository = await store.repositories.ensure({ url: world.#origin.url, branch: 'main', now: world.now() });
    await store.hosts.ensure(world.repository.id, [world.host]);
    await store.hosts.enrol({
      host: world.host,
      repositoryId: world.repository.id,
      machineId: 'm',
      publicKey: `key${worlds}`,
      at: world.now(),
    });
    await world.track('one');
    world.restart();
    return world;
  }

  now(): number {
    return systemClock.now() + this.offsetMs;
  }

  /** Another process continues from the database. */
  restart(): void {
    this.#follower = new TestingBranches(this.#deps(), this.repository.id);
  }

  async turn(signal = new AbortController().signal): Promise<boolean> {
    await store.repositories.wake(this.repository.id);
    return await this.#follower.turn(signal);
  }

  /** The tracked branch moves on, and its head is taken in. */
  async track(text: string): Promise<CommitSha> {
    const sha = await this.#origin.commit({ 'flake.nix': text }, text);
    const times = { committedAt: 1, receivedAt: this.now(), fetchedAt: this.now() };
    await store.revisions.receive(this.repository.id, { sha, subject: text, authorName: 'a', authorEmail: 'a@b', ...times });
    return sha;
  }

  get branch(): string {
    return `testing/${this.host}`;
  }

  async push(files: Readonly<Record<string, string | null>>, branch = this.branch): Promise<CommitSha> {
    return await this.#origin.commit(files, 'try it', { branch });
  }

  async git(...args: string[]): Promise<string> {
    const identity = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' };
    const result = await execInTest('git', ['--git-dir', this.#origin.bareDir, ...args], { env: { ...process.env, ...identity } });
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  }

  async head(): Promise<CommitSha | undefined> {
    const head = await this.git('for-each-ref', '--format=%(objectname)', `refs/heads/${this.branch}`);
    return head === '' ? undefined : (head as CommitSha);
  }

  async contains(commit: string, head: string): Promise<boolean> {
    const { exitCode } = await execInTest('git', ['--git-dir', this.#origin.bareDir, 'merge-base', '--is-ancestor', commit, head]);
    return exitCode === 0;
  }

  async hasFile(sha: string, name: string): Promise<boolean> {
    return (await this.git('ls-tree', '--name-only', sha)).split('\n').includes(name);
  }

  async trial() {
    return (await store.hosts.fleet(this.repository.id, [this.host])).hosts[0]?.trial;
  }

  async endedTrial() {
    return (await store.hosts.fleet(this.repository.id, [this.host])).hosts[0]?.endedTrial;
  }

  of(sha: CommitSha): string[] {
    const kinds = this.told.filter((each) => each.sha === sha).map(({ status }) => status.kind);
    return kinds.filter((kind, index) => kind !== kinds[index - 1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listing?.[Symbol.asyncDispose]();
  }

  #deps(): TestingPipelineDeps {
    const dir = join(this.#dir, 'mirror');
    const source = async (flakeUrl: string): Promise<string> => /rev=([0-9a-f]{40})/.exec(flakeUrl)?.[1] ?? '';
    const openBranch = async (branch: string) => await openMirror({ dir, url: this.#origin.url, branch, logger: silentLogger });
    return {
      store,
      statements: openStatementLog(join(this.#dir, 'statements'), silentLogger),
      releaseSigner: signer,
      clock: { ...systemClock, now: () => this.now() },
      logger: silentLogger,
      random: () => 0,
      limits: { evaluations: 1, builds: 1, evaluationTimeoutMs: 1_000, evaluationMemoryBytes: 1, buildTimeoutMs: 1_000, buildMemoryBytes: 1 },
      cache: anyCache(),
      rootsDir: join(this.#dir, 'roots'),
      pollMs: 1_000,
      owner: 'test',
      signers: this.signers,
      mirror: undefined as never,
      nix: {
        readBack: async (_cache: unknown, paths: readonly StorePath[]) =>
          new Map(paths.map((path) => [path, { narHash: 'sha256:0', closureSizeBytes: 1 }])),
      } as never,
      repositoryNix: {
        sourcesOf: async () => [],
        evaluateHosts: async (url: string, hosts: readonly HostName[], { onResult }: { onResult: (result: never) => void }) => {
          const sha = await source(url);
          this.evaluations.push(...hosts.map((host) => `${sha} ${host}`));
          const common = { host: hosts[0], durationMs: 1, warnings: [] };
          if (await this.hasFile(sha, 'broken')) {
            onResult({ ...common, kind: 'failed', code: 'EVALUATION_FAILED', error: 'attribute missing', isRetryable: false } as never);
            return;
          }
          const toplevel = `/nix/store/${sha.slice(0, 32)}-system`;
          onResult({ ...common, kind: 'evaluated', drvPath: `${toplevel}.drv`, toplevel, system: 'x86_64-linux', labels: [] } as never);
        },
        build: async ({ toplevel }: { toplevel: string }) => {
          if (this.isAway) return { kind: 'failed', code: 'BUILD_DOWNLOAD_FAILED', error: 'away', isRetryable: true, durationMs: 1 };
          const head = (await this.head()) ?? '';
          const isBad = toplevel.includes(head.slice(0, 32)) && (await this.hasFile(head, 'unbuildable'));
          return isBad
            ? { kind: 'failed', code: 'BUILD_FAILED', error: 'exit code 1', isRetryable: false, durationMs: 1 }
            : { kind: 'built', durationMs: 1 };
        },
      } as never,
      testing: {
        limit: this.limit,
        branches: async (within, signal) => {
          this.#listing ??= await openBranch('main');
          return await this.#listing.branches(within, signal);
        },
        open: openBranch,
        tell: async (_store, sha, status) => void this.told.push({ sha, status }),
      },
    };
  }
}

test('a branch on top of the tracked one has its host try its head: signed as a test, for a day from the push at most, by floe', async () => {
  await using world = await World.make();
  const head = await world.push({ 'host.nix': 'new', 'floe.nix': 'a policy of its own' });
  const ref = `refs/heads/${world.branch}`;
  const push = { forge: 'github', event: 'push', repositoryId: world.repository.id, ref, before: undefined, receivedAt: 1 };
  await store.deliveries.record({ ...push, id: 'push-1', after: head, pusher: 'ada-at-forge', outcome: 'testing-branch' });
  await world.turn();
  const trial = await world.trial();
  expect(trial).toMatchObject({ commit: head, by: 'floe (pushed by ada-at-forge)', reason: `the branch ${world.branch}` });
  const envelope = parseStored(trial?.envelope);
  const opened = open(envelope, 'floe/release', ReleaseStatement, [signer], verifySignature);
  const statement = opened.kind === 'opened' ? opened.statement : undefined;
  expect(statement).toMatchObject({ purpose: 'test', ref, commit: head, host: world.host });
  expect((statement?.endsAt ?? 0) - (statement?.issuedAt ?? 0)).toBeLessThanOrEqual(DAY_MS);
  expect(world.evaluations).toEqual([`${head} ${world.host}`]);
  expect(world.of(head)).toEqual(['working', 'trying']);
  // Neither a revision nor a release: no rollout, no gate and no stable system can know of it.
  expect((await store.revisions.newest(world.repository.id))?.sha).not.toBe(head);
  expect(await store.releases.latest(world.repository.id)).toEqual([]);
  const log = await store.audit.list({ limit: 10, subject: world.host });
  expect(log.map(({ actor, detail }) => [actor, detail])).toEqual([['floe', expect.stringContaining('pushed by ada-at-forge') as string]]);

  // Neither a restart nor another look prolongs it.
  world.offsetMs += 3600_000;
  world.restart();
  await world.turn();
  expect(await world.trial()).toEqual(trial);
  // A person ends it: the commit says so, and the branch does not begin it again.
  await store.hosts.endTrial({ host: world.host, id: trial?.id ?? '' }, 'ada ended it: seen enough', world.now());
  world.restart();
  await world.turn();
  await world.turn();
  expect(await world.trial()).toBeUndefined();
  expect(world.told.at(-1)).toEqual({ sha: head, status: { kind: 'over', result: 'ada ended it: seen enough', host: world.host } });
});

test('what waits for something away is tried again, for a day from the push; the tracked branch interrupts it at any time', async () => {
  await using world = await World.make();
  const head = await world.push({ 'host.nix': 'new' });
  world.isAway = true;
  await world.turn();
  expect(await world.trial()).toBeUndefined();
  await expect(world.turn(AbortSignal.abort(new FloeError('STOPPED', 'stopped')))).rejects.toThrow();
  world.offsetMs += DAY_MS / 2;
  world.isAway = false;
  world.restart();
  await world.turn();
  const trial = await world.trial();
  expect(trial?.commit).toBe(head);
  expect((trial?.endsAt ?? 0) - world.now()).toBeLessThanOrEqual(DAY_MS / 2);
  const late = await world.push({ 'host.nix': 'newer' });
  world.isAway = true;
  await world.turn();
  world.offsetMs += DAY_MS + 1;
  world.isAway = false;
  await world.turn();
  expect(world.of(late)).toEqual(['working', 'too-late']);
});

test('a newer push that cannot be tried ends what the one before it began', async () => {
  await using world = await World.make();
  const first = await world.push({ 'host.nix': 'new' });
  await world.turn();
  expect((await world.trial())?.commit).toBe(first);
  const second = await world.push({ unbuildable: 'yes' });
  await world.turn();
  expect(await world.trial()).toBeUndefined();
  expect([world.of(first).at(-1), world.of(second).at(-1)]).toEqual(['replaced', 'refused']);
  // Both are in the log, and the host shows the newer one.
  expect(await world.endedTrial()).toMatchObject({ commit: second, by: 'floe', hasFailed: true, result: `${world.host}: exit code 1` });
  const log = await store.audit.list({ limit: 10, subject: world.host });
  expect(log.map(({ detail }) => detail)).toContainEqual(expect.stringContaining('a newer push to its branch replaced it'));
});

test('each head that is not tried is the last trial of its host, with the reason; a trial that a person asked for stays', async () => {
  await using world = await World.make();
  const broken = await world.push({ broken: 'yes' });
  await world.turn();
  expect(await world.endedTrial()).toMatchObject({ commit: broken, result: `${world.host}: attribute missing` });
  const tree = await world.git('rev-parse', 'refs/heads/main^{tree}');
  const unrelated = await world.git('commit-tree', tree, '-m', 'unrelated');
  await world.git('update-ref', `refs/heads/${world.branch}`, unrelated);
  await world.turn();
  const refused = await world.endedTrial();
  expect(refused).toMatchObject({ commit: unrelated, hasFailed: true, result: expect.stringContaining('rebase it') as string });
  world.restart();
  await world.turn();
  expect(await world.endedTrial()).toEqual(refused);

  const trial = {
    host: world.host,
    toplevel: `/nix/store/${'p'.repeat(32)}-system` as StorePath,
    sequence: 1,
    commit: broken,
    envelope: '{}',
    by: 'eve',
    reason: 'x',
  };
  await store.hosts.beginTrial({ ...trial, at: world.now(), endsAt: world.now() + DAY_MS });
  const later = await world.git('commit-tree', tree, '-m', 'later');
  await world.git('update-ref', `refs/heads/${world.branch}`, later);
  await world.turn();
  expect(world.of(later as CommitSha).at(-1)).toBe('not-on-top');
  expect(await world.trial()).toMatchObject({ by: 'eve' });
});

test('a head that nobody allowed signed is not tried, nor read by Nix, where signers are set', async () => {
  await using world = await World.make();
  world.signers = { exec, sshFile: '/nonexistent', path: undefined };
  world.restart();
  const head = await world.push({ 'host.nix': 'new' });
  await world.turn();
  expect(world.of(head)).toEqual(['working', 'refused']);
  expect(world.told.at(-1)?.status).toMatchObject({ why: expect.stringContaining('it has no signature') as string });
  expect([await world.trial(), world.evaluations]).toEqual([undefined, []]);
});

test('when the setting is turned off, what branches began ends, and nothing is looked at any more', async () => {
  await using world = await World.make();
  const head = await world.push({ 'host.nix': 'new' });
  await world.turn();
  expect(await world.trial()).toBeDefined();
  world.limit = 0;
  world.restart();
  expect(await world.turn()).toBe(true);
  expect(await world.trial()).toBeUndefined();
  expect(world.of(head)).toEqual(['working', 'trying', 'over']);
  expect(await world.turn()).toBe(false);
});

test('branches whose names are of no host say so on their commits, also beside hundreds of others', async () => {
  await using world = await World.make();
  const names = ['nobody', world.host.toUpperCase(), `${world.host}/more`, 'wörld', ...Array.from({ length: 500 }, (_, index) => `zz${index}`)];
  // One cannot be a file and a folder at once: git has either the branch of a host or those below it.
  const head = await world.git('rev-parse', 'refs/heads/main');
  for (let start = 0; start < names.length; start += 100) {
    const refs = names.slice(start, start + 100).map((name) => `create refs/heads/testing/${name} ${head}\n`);
    await execInTest('git', ['--git-dir', await world.git('rev-parse', '--absolute-git-dir'), 'update-ref', '--stdin'], { stdin: refs.join('') });
  }
  await world.turn();
  expect(world.told.length).toBeLessThanOrEqual(world.limit);
  expect(world.told.every(({ status }) => status.kind === 'no-host')).toBe(true);
  expect(await world.trial()).toBeUndefined();
});

type Step = 'push' | 'break' | 'unbuildable' | 'unrelated' | 'older' | 'delete' | 'again' | 'track' | 'restart' | 'later';
const STEPS: readonly Step[] = ['push', 'break', 'unbuildable', 'unrelated', 'older', 'delete', 'again', 'track', 'restart', 'later'];

async function take(world: World, step: Step, count: number, last: { head: CommitSha | undefined }): Promise<void> {
  const ref = `refs/heads/${world.branch}`;
  switch (step) {
    case 'push':
      await world.push({ 'host.nix': String(count), broken: null, unbuildable: null });
      break;
    case 'break':
      await world.push({ broken: String(count) });
      break;
    case 'unbuildable':
      await world.push({ unbuildable: String(count), broken: null });
      break;
    case 'unrelated': {
      const tree = await world.git('rev-parse', 'refs/heads/main^{tree}');
      await world.git('update-ref', ref, await world.git('commit-tree', tree, '-m', `unrelated ${count}`));
      break;
    }
    case 'older': {
      const commits = (await world.git('rev-list', 'refs/heads/main')).split('\n');
      await world.git('update-ref', ref, commits.at(-1) ?? '');
      break;
    }
    case 'delete':
      last.head = (await world.head()) ?? last.head;
      await world.git('update-ref', '-d', ref);
      break;
    case 'again':
      if (last.head !== undefined) await world.git('update-ref', ref, last.head);
      break;
    case 'track':
      await world.track(`track ${count}`);
      break;
    case 'restart':
      world.restart();
      break;
    case 'later':
      world.offsetMs += 3600_000;
      break;
  }
}

test('whatever is pushed, rewritten and deleted: a host tries only what is on top of the tracked branch, builds, and is there, and each head once', async () => {
  const runs = Number(process.env['FLOE_FUZZ_RUNS'] ?? 1);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { minLength: 6, maxLength: 10 }), async (steps) => {
      await using world = await World.make();
      const last: { head: CommitSha | undefined } = { head: undefined };
      /** The end of the trial of each head, from one push to its deletion. */
      const ends = new Map<string, number>();
      for (const [index, step] of steps.entries()) {
        await take(world, step, index, last);
        await world.turn();
        const [head, trial] = [await world.head(), await world.trial()];
        if (head === undefined) {
          expect(trial, 'a branch that is deleted tries nothing').toBeUndefined();
          ends.clear();
          continue;
        }
        if (trial === undefined) continue;
        expect(await world.hasFile(trial.commit, 'broken'), 'it evaluates').toBe(false);
        expect(await world.hasFile(trial.commit, 'unbuildable'), 'it builds').toBe(false);
        expect(trial.endsAt - trial.at).toBeLessThanOrEqual(DAY_MS);
        expect(ends.get(trial.id) ?? trial.endsAt, 'it is not prolonged').toBe(trial.endsAt);
        if (!ends.has(trial.id)) {
          // It was begun just now.
          const { acceptedCommit = '' } = await store.repositories.get(world.repository.id);
          expect(trial.commit).toBe(head);
          expect(await world.contains(acceptedCommit, head), 'it is on top of the tracked branch').toBe(true);
          ends.set(trial.id, trial.endsAt);
        }
      }
      // Every head that was looked at has a last word, but for the one that is tried.
      const trial = await world.trial();
      const unfinished = new Set(world.told.map(({ sha }) => sha).filter((sha) => ['working', 'trying'].includes(world.of(sha).at(-1) ?? '')));
      expect([...unfinished]).toEqual(trial === undefined ? [] : [trial.commit]);
      expect(await store.releases.latest(world.repository.id)).toEqual([]);
    }),
    { numRuns: runs },
  );
});
