import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror, type GitMirror } from '@floe/git';
import { isEndedRevision, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { execInTest, silentLogger, systemClock } from '@floe/runtime';
import { openStore, type Handover, type HandoverStore, type Repository, type Store } from '@floe/store';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { preparedImage } from '../../../store/src/test/prepared-embedded.ts';
import { takeIn } from '../take-in.ts';
import { anyCache } from '../test/folder-cache.ts';
import { publishHandovers } from './publish.ts';

// Which commits a CI may name. Git and its mirror are real, over HTTP; Nix is played.

type Deps = Parameters<typeof publishHandovers>[0];
const signal = new AbortController().signal;
const SYSTEM = 'x86_64-linux';
let dir: string;
let origin: GitOrigin;
let store: Store;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-named-'));
  origin = await startGitOrigin();
  const migrationsDir = join(import.meta.dirname, '../../../../migrations');
  const database = { kind: 'pglite' as const, dataDir: undefined, image: await preparedImage() };
  store = await openStore(database, { clock: systemClock, logger: silentLogger, migrationsDir });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** When something else happens while a file is taken. */
type Moment = 'at its publication' | 'after the last look at the branch';

let worlds = 0;

/** A repository, its mirror, and what is taken of it. */
class World implements AsyncDisposable {
  /** All that were ever made. */
  readonly commits: CommitSha[] = [];
  readonly #host = `ada-${(worlds += 1)}` as HostName;
  #repository!: Repository;
  #origin!: OriginRepository;
  #mirror!: GitMirror;
  #files = 0;
  #laterMs = 0;
  /** What was taken, and is no commit of the accepted head at that moment. */
  readonly strays: CommitSha[] = [];
  readonly #meanwhile = new Map<Moment, () => Promise<unknown>>();

  static async open(): Promise<World> {
    const world = new World();
    world.#origin = await origin.repository(`fleet-${worlds}`);
    world.#mirror = await openMirror({ dir: join(dir, `mirror-${worlds}`), url: world.#origin.url, branch: 'main', logger: silentLogger });
    world.#repository = await store.repositories.ensure({ url: world.#origin.url, branch: 'main', now: 1 });
    await store.hosts.ensure(world.#repository.id, [world.#host]);
    await world.push();
    await world.fetch();
    await world.finish('PUBLISHED');
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mirror[Symbol.asyncDispose]();
  }

  async push(): Promise<CommitSha> {
    return this.#made(await this.#origin.commit({ 'flake.nix': `${this.commits.length}` }, 'push'));
  }

  async rewrite(): Promise<CommitSha> {
    return this.#made(await this.#origin.rewrite({ 'flake.nix': `${this.commits.length}` }, 'rewrite'));
  }

  /** The branch is set to a commit that it had, or had once. */
  async reset(which: number): Promise<void> {
    await this.#git('update-ref', 'refs/heads/main', this.commits[which % this.commits.length] ?? '');
  }

  #made(sha: CommitSha): CommitSha {
    this.commits.push(sha);
    return sha;
  }

  /** A commit that nobody pushed. */
  async unpushed(): Promise<CommitSha> {
    const tree = await this.#git('rev-parse', 'refs/heads/main^{tree}');
    return this.#made((await this.#git('commit-tree', '-p', 'refs/heads/main', '-m', `not pushed ${this.commits.length}`, tree)) as CommitSha);
  }

  async fetch(): Promise<void> {
    await takeIn(this.#deps() as never, this.#repository.id, signal);
  }

  async accept(): Promise<void> {
    const { held } = await this.row();
    if (held !== undefined) await store.repositories.allow(this.#repository.id, held.commit);
    await this.fetch();
  }

  async row(): Promise<Repository> {
    return await store.repositories.get(this.#repository.id);
  }

  /** What is under way comes to this. */
  async finish(state: 'PUBLISHED' | 'REJECTED'): Promise<void> {
    const { revisions, releases } = store;
    for (
      let next = await revisions.nextUnfinished(this.#repository.id);
      next !== undefined;
      next = await revisions.nextUnfinished(this.#repository.id)
    ) {
      const { id, sequence, sha, handoverId } = next;
      if (next.state === 'RECEIVED') await revisions.advance(id, 'accepted', 1);
      if (state === 'REJECTED' && handoverId === undefined) await revisions.advance(id, 'refused', 1, 'no');
      await revisions.advance(id, 'verified', 1);
      const toplevel = `/nix/store/${String(sequence).padStart(32, '0')}-ada` as StorePath;
      await revisions.saveEvaluations(id, [{ host: this.#host, outcome: 'CHANGED', toplevel, system: SYSTEM }]);
      await revisions.advance(id, 'evaluated', 1);
      const release = { host: this.#host, sequence, toplevel, commit: sha, issuedAt: 1, envelope: '{}' };
      if (isEndedRevision((await revisions.get(id))?.state ?? 'SUPERSEDED')) continue;
      await releases.publish(id, [release], 1);
    }
  }

  /** What comes of it at the first look, and in the end. */
  async submit(commit: CommitSha): Promise<Handover> {
    this.#files += 1;
    const contentHash = createHash('sha256').update(`${this.#host} ${this.#files}`).digest('hex');
    const systems = new Map([[this.#host, `/nix/store/${String(this.#files).padStart(32, '1')}-ada` as StorePath]]);
    const asked = {
      repositoryId: this.#repository.id,
      contentHash,
      commit,
      systems,
      by: 'ci',
      person: `ci ${this.#files}`,
      at: Date.now() + this.#laterMs,
    };
    const requested = await store.handovers.request(asked);
    if (requested.kind !== 'requested') throw new Error(requested.kind);
    await this.work();
    this.#meanwhile.clear();
    return await this.handover(requested.id);
  }

  async handover(id: string): Promise<Handover> {
    const found = await store.handovers.get(id);
    if (found === undefined) throw new Error('it is gone');
    return found;
  }

  async work(): Promise<void> {
    await publishHandovers(this.#deps(), this.#repository.id, signal, () => undefined);
  }

  later(ms: number): void {
    this.#laterMs += ms;
  }

  /** Once, during the next file that is submitted, if it comes to that moment. */
  meanwhile(moment: Moment, happens: () => Promise<unknown>): void {
    this.#meanwhile.set(moment, happens);
  }

  async #at(moment: Moment): Promise<void> {
    const happens = this.#meanwhile.get(moment);
    this.#meanwhile.delete(moment);
    await happens?.();
  }

  /** What git itself says. */
  async contains(sha: CommitSha | undefined, earlier: CommitSha): Promise<boolean> {
    if (sha === undefined) return false;
    const asked = ['--git-dir', this.#origin.bareDir, 'merge-base', '--is-ancestor', earlier, sha];
    return (await execInTest('git', asked)).exitCode === 0;
  }

  async #git(...args: readonly string[]): Promise<string> {
    const identity = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' };
    const result = await execInTest('git', ['--git-dir', this.#origin.bareDir, ...args], { env: { ...process.env, ...identity } });
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  }

  /** What should come of a commit that is named now. */
  async expected(commit: CommitSha): Promise<RegExp> {
    const { acceptedCommit, held } = await this.row();
    const isIn = await this.contains(acceptedCommit, commit);
    const own = (await store.revisions.byShaPrefix(this.#repository.id, commit)).find(({ handoverId }) => handoverId === undefined);
    if (own?.state === 'REJECTED') return /^REFUSED .* itself was refused or failed/;
    if (!isIn && held !== undefined && (await this.contains(held.commit, commit)))
      return new RegExp(`^REFUSED .* held.*: floe accept ${held.commit} `);
    if (!isIn) return /^WAITING it waits until the tracked branch has the commit/;
    for (const newest of [await store.revisions.newestOfBranch(this.#repository.id), await store.revisions.newestPublished(this.#repository.id)]) {
      const counts = newest !== undefined && newest.sha !== commit && (newest.state === 'PUBLISHED' || !isEndedRevision(newest.state));
      if (counts && (await this.contains(newest.sha, commit))) return /^REFUSED the newer commit/;
    }
    return /^TAKEN/;
  }

  #deps(): Deps {
    const handovers: HandoverStore = {
      ...store.handovers,
      take: async (...order) => {
        await this.#at('after the last look at the branch');
        const taken = await store.handovers.take(...order);
        if (typeof taken !== 'object') return taken;
        if (!(await this.contains((await this.row()).acceptedCommit, taken.sha))) this.strays.push(taken.sha);
        return taken;
      },
    };
    const nix = {
      findSystem: async () => await Promise.resolve({ kind: 'found', isHere: true, system: SYSTEM, closureSizeBytes: 1 }),
      addRoot: async () => await Promise.resolve(),
      isValid: async () => await Promise.resolve(true),
      readBack: async (_cache: unknown, paths: readonly StorePath[]) =>
        await Promise.resolve(new Map(paths.map((path) => [path, { narHash: 'sha256:0', closureSizeBytes: 1 }]))),
    };
    return {
      store: { ...store, handovers },
      nix: nix as unknown as Deps['nix'],
      mirror: this.#mirror,
      cache: anyCache(async () => await this.#at('at its publication')),
      clock: { ...systemClock, now: () => systemClock.now() + this.#laterMs },
      logger: silentLogger,
      rootsDir: join(dir, 'roots'),
      policyFloor: undefined,
    };
  }
}

test('a commit that a force-push removed is none of the branch any more, also while it is being taken', async () => {
  await using world = await World.open();
  const removed = await world.push();
  await world.fetch();
  await world.finish('PUBLISHED');
  const rewritten = await world.rewrite();
  await world.fetch();
  expect(await world.submit(rewritten)).toMatchObject({
    state: 'REFUSED',
    result: expect.stringContaining(`floe accept ${rewritten} --reason "…"`) as string,
  });
  expect(await world.submit(removed)).toMatchObject({ state: 'TAKEN' });
  await world.finish('PUBLISHED');
  world.meanwhile('after the last look at the branch', async () => await world.accept());
  const { id } = await world.submit(removed);
  expect((await world.handover(id)).state).not.toBe('TAKEN');
  expect(await world.submit(removed)).toMatchObject({ state: 'WAITING' });
  await world.finish('PUBLISHED');
  expect(await world.submit(rewritten)).toMatchObject({ state: 'TAKEN' });
  world.later(600_000);
  await world.work();
  expect(await world.handover(id)).toMatchObject({ state: 'REFUSED', result: `the tracked branch does not have the commit ${removed}` });
  expect(world.strays).toEqual([]);
});

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'push' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'rewrite' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'unpushed' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'fetch' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'accept' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('finish' as const), state: fc.constantFrom('PUBLISHED' as const, 'REJECTED' as const) }) },
);
const history = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: step },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('submit' as const),
        // From the newest on: old ones are refused for what came after them.
        which: fc.oneof(fc.nat(2), fc.nat(20)),
        meanwhile: fc.option(
          fc.record({
            moment: fc.constantFrom<Moment>('at its publication', 'after the last look at the branch'),
            steps: fc.array(step, { minLength: 1, maxLength: 3 }),
          }),
          { freq: 2 },
        ),
      }),
    },
  ),
  { minLength: 5, maxLength: 25 },
);

async function act(world: World, each: typeof step extends fc.Arbitrary<infer One> ? One : never): Promise<void> {
  if (each.kind === 'reset') await world.reset(each.which);
  else if (each.kind === 'finish') await world.finish(each.state);
  else await world[each.kind]();
}

test('whatever is pushed, rewritten and accepted, what is taken is in the accepted head, and what is not is told why', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      await using world = await World.open();
      for (const each of steps) {
        if (each.kind !== 'submit') {
          await act(world, each);
          continue;
        }
        const commit = world.commits.at(-1 - (each.which % world.commits.length));
        if (commit === undefined) continue;
        // What waits is over, so that it is not in the way.
        world.later(600_000);
        await world.work();
        await world.finish('PUBLISHED');
        const expected = await world.expected(commit);
        const { meanwhile } = each;
        if (meanwhile !== null)
          world.meanwhile(meanwhile.moment, async () => {
            for (const one of meanwhile.steps) await act(world, one);
          });
        const { state, result } = await world.submit(commit);
        if (meanwhile === null) expect(`${state} ${result}`).toMatch(expected);
        expect(world.strays).toEqual([]);
      }
    }),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 8, endOnFailure: true },
  );
});
