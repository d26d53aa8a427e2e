import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_POLICY, handoverSha, OPEN_RING, type CommitSha, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import { createNix, loadOrCreateCacheKey } from '@floe/nix';
import { open, parseStored, ReleaseStatement } from '@floe/protocol';
import { exec, execInTest, FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock, verifySignature } from '@floe/runtime';
import { openStore, type Handover, type Repository, type Revision, type Store } from '@floe/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { preparedImage } from '../../../store/src/test/prepared-embedded.ts';
import { rebuildFromStatements } from '../statements/rebuild.ts';
import { asCleared } from '../test/cleared.ts';
import { releaseHosts } from '../release.ts';
import { openStatementLog } from '../statements/statement-log.ts';
import { compareHandover } from './compare.ts';
import { publishHandovers } from './publish.ts';
import { folderCache } from '../test/folder-cache.ts';
import { readHandover } from './read.ts';

// From a file of hosts and store paths to signed releases, on a real Nix store and a real cache.

/** Each test has hosts of its own. */
let ADA: HostName;
let BOB: HostName;
let CLEO: HostName;
const MIGRATIONS_DIR = join(import.meta.dirname, '../../../../migrations');
const signer = signerFromPem('release-1', generateKeyPem());
const signal = new AbortController().signal;
const SETTINGS = ['experimental-features = nix-command', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');
const SYSTEM: Readonly<Record<string, string>> = {
  'nixos-version': '26.05',
  system: 'x86_64-linux',
  activate: '#!/bin/sh\n',
  'bin/switch-to-configuration': '#!/bin/sh\n',
};
const ABOUT = { subject: 'Change', authorName: 'Ada', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
/** What the mirror has. */
const COMMIT = 'c0ffee'.padEnd(40, '1') as CommitSha;

type Deps = Parameters<typeof publishHandovers>[0] & Parameters<typeof releaseHosts>[0];
let dir: string;
let store: Store;
let deps: Deps;
let repository: Repository;
const rooted = (): string => join(dir, 'root');
const nixEnv = (): NodeJS.ProcessEnv => ({ ...process.env, HOME: join(dir, 'home'), NIX_CONFIG: SETTINGS });

async function openTestStore(): Promise<Store> {
  const target = { kind: 'pglite' as const, dataDir: undefined, image: await preparedImage() };
  return await openStore(target, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-handovers-'));
  for (const each of ['home', 'root', 'cache']) await mkdir(join(dir, each));
  store = await openTestStore();
  const key = await loadOrCreateCacheKey(join(dir, 'cache-key'), 'cache-test-1');
  const mirror = {
    async commit(sha: CommitSha) {
      if (sha !== COMMIT) throw new FloeError('COMMIT_NOT_FOUND', 'no such commit');
      return await Promise.resolve({ ...ABOUT, sha, parents: [], problem: undefined });
    },
    async contains(sha: CommitSha, earlier: CommitSha) {
      if (earlier !== COMMIT) throw new FloeError('COMMIT_NOT_FOUND', 'no such commit');
      return await Promise.resolve(sha === COMMIT);
    },
  };
  const nix = createNix({ exec, logger: silentLogger, env: nixEnv(), store: { kind: 'root', dir: rooted() } });
  deps = {
    store,
    mirror: mirror as unknown as Deps['mirror'],
    nix,
    cache: folderCache(nix, join(dir, 'cache'), key),
    statements: openStatementLog(join(dir, 'log'), silentLogger),
    releaseSigner: signer,
    clock: systemClock,
    logger: silentLogger,
    rootsDir: join(dir, 'roots'),
    policyFloor: undefined,
  };
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

let count = 0;
beforeEach(async () => {
  count += 1;
  // A server has one repository, and its log.
  deps = { ...deps, statements: openStatementLog(join(dir, `log-${count}`), silentLogger) };
  repository = await store.repositories.ensure({ url: `https://forge.example/fleet-${count}.git`, branch: 'main', now: 1 });
  [ADA, BOB, CLEO] = ['ada', 'bob', 'cleo'].map((name) => `${name}-${count}` as HostName) as [HostName, HostName, HostName];
  await store.hosts.ensure(repository.id, [ADA, BOB, CLEO]);
});

/** A commit of the branch that gives these hosts a system each. */
async function push(digit: string, hosts: readonly HostName[], policy?: RolloutPolicy): Promise<Revision> {
  const revision = await store.revisions.receive(repository.id, { sha: `${digit.repeat(39)}1` as CommitSha, ...ABOUT });
  if (policy !== undefined) await store.revisions.savePolicy(revision.id, policy);
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, 1);
  const system = 'x86_64-linux';
  const toplevel = (host: HostName): StorePath => `/nix/store/${digit.repeat(32)}-${host.split('-')[0]}` as StorePath;
  await store.revisions.saveEvaluations(
    revision.id,
    hosts.map((host) => ({
      host,
      outcome: 'CHANGED',
      toplevel: toplevel(host),
      drvPath: `${toplevel(host)}.drv`,
      system,
      labels: [`of=${host.split('-')[0]}`],
    })),
  );
  await store.revisions.advance(revision.id, 'evaluated', 1);
  const built = hosts.map((host) => ({ host, toplevel: toplevel(host), system, narHash: 'sha256:0', closureSizeBytes: 1 }));
  await releaseHosts(deps, repository, asCleared(revision), built);
  return revision;
}

let folders = 0;
async function add(files: Readonly<Record<string, string>> = SYSTEM): Promise<StorePath> {
  folders += 1;
  const folder = join(dir, `system-${folders}`);
  for (const [name, text] of Object.entries({ ...files, unique: String(folders) })) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
  const result = await execInTest('nix', ['store', 'add-path', folder, '--store', `local?root=${rooted()}`], { env: nixEnv() });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout.trim() as StorePath;
}

async function submit(systems: ReadonlyMap<HostName, StorePath>, asked: Partial<Handover> = {}): Promise<string> {
  const contentHash = createHash('sha256').update(`${count} ${asked.contentHash}`).digest('hex');
  const requested = await store.handovers.request({
    repositoryId: repository.id,
    commit: undefined,
    by: 'ci',
    person: 'ci',
    at: Date.now(),
    ...asked,
    contentHash,
    systems,
  });
  if (requested.kind !== 'requested') throw new Error('too many wait');
  return requested.id;
}

/** Until nothing is left to do, as the pipeline's worker does it. */
async function work(changed: Partial<Deps> = {}): Promise<void> {
  const all = { ...deps, ...changed };
  await publishHandovers(all, repository.id, signal, () => undefined);
  for (let revision = await next(); revision !== undefined; revision = await next()) {
    const step = async (event: 'accepted' | 'verified' | 'evaluated' | 'refused', error?: string) =>
      await store.revisions.advance(revision?.id ?? '', event, 1, error);
    if (revision.state === 'RECEIVED') await step('accepted');
    else if (revision.state === 'VERIFYING') await step('verified');
    else if (revision.state === 'EVALUATING') {
      const outcome = await compareHandover(all, revision);
      await (outcome.kind === 'refused' ? step('refused', outcome.error) : step('evaluated'));
    } else await releaseHosts(all, repository, asCleared(revision), await readHandover(all, revision));
  }
}
const next = async (): Promise<Revision | undefined> => await store.revisions.nextUnfinished(repository.id);

const outcomes = async (revision: Revision | undefined): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(
    (await store.revisions.evaluations(revision?.id ?? '')).map(({ host, outcome, toplevel }) => [
      host.split('-')[0] ?? '',
      `${outcome} ${toplevel}`,
    ]),
  );
const released = async () => new Map((await store.releases.latest(repository.id)).map((each) => [each.host, each]));

test('its hosts get their systems as one signed revision, and all others keep their last release', async () => {
  const policy: RolloutPolicy = { ...DEFAULT_POLICY, rings: [{ ...OPEN_RING, name: 'all', soakMs: 60_000 }] };
  const before = await push('1', [ADA, BOB, CLEO], policy);
  const kept = (await released()).get(CLEO);
  const toplevel = await add();
  const own = await add();
  const id = await submit(
    new Map([
      [ADA, toplevel],
      [BOB, own],
    ]),
  );
  await work();

  const handover = await store.handovers.get(id);
  expect(handover).toMatchObject({ state: 'TAKEN', result: '' });
  const revision = await store.revisions.newest(repository.id);
  expect(revision).toMatchObject({ state: 'PUBLISHED', sequence: before.sequence + 1, authorName: 'ci', handoverId: id });
  expect(revision?.sha).toBe(handoverSha(handover?.contentHash ?? ''));
  expect(revision?.subject).toBe('2 systems, submitted by ci');
  // No gate is loosened: it is the policy of the newest published revision.
  expect(revision?.policy).toEqual(policy);
  expect(await outcomes(revision)).toEqual({ ada: `CHANGED ${toplevel}`, bob: `CHANGED ${own}`, cleo: `UNCHANGED ${kept?.toplevel}` });
  // What its configuration said in the last commit decides about its ring.
  expect((await store.revisions.evaluations(revision?.id ?? '')).map(({ labels }) => labels)).toEqual([['of=ada'], ['of=bob'], ['of=cleo']]);

  const now = await released();
  expect(now.get(CLEO)).toEqual(kept);
  const opened = open(parseStored(now.get(ADA)?.envelope), 'floe/release', ReleaseStatement, [signer], verifySignature);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  expect(opened.statement).toMatchObject({ host: ADA, toplevel, sequence: revision?.sequence, system: 'x86_64-linux', commit: revision?.sha });
  // A release of the fleet: agents need to know nothing new.
  expect(opened.statement.purpose).toBeUndefined();
  const { rollout, hosts } = await store.hosts.fleet(repository.id);
  expect(rollout?.revisionId).toBe(revision?.id);
  expect(hosts.map(({ situation }) => situation.rollout?.toplevel)).toEqual([toplevel, own, kept?.toplevel]);
  expect(await readdir(join(dir, 'roots', ADA))).toEqual([toplevel.slice('/nix/store/'.length)]);
});

test('a system that the host has already is unchanged; a host without a release is new', async () => {
  const toplevel = await add();
  await submit(new Map([[ADA, toplevel]]));
  await work();
  const first = await store.revisions.newest(repository.id);
  expect(await outcomes(first)).toEqual({ ada: `NEW ${toplevel}` });
  await submit(
    new Map([
      [ADA, toplevel],
      [BOB, toplevel],
    ]),
    { contentHash: 'other' },
  );
  await work();
  const second = await store.revisions.newest(repository.id);
  expect(await outcomes(second)).toEqual({ ada: `UNCHANGED ${toplevel}`, bob: `NEW ${toplevel}` });
  expect((await released()).get(ADA)?.sequence).toBe(first?.sequence);
  expect((await released()).get(BOB)?.sequence).toBe(second?.sequence);
});

test('what was wrong with another host stays, and is not tried again for it', async () => {
  const revision = await push('2', [ADA]);
  const error = 'a source cannot be fetched';
  await store.revisions.saveEvaluations(revision.id, [
    { host: BOB, outcome: 'EVAL_ERROR', error, retryAt: 5 },
    { host: CLEO, outcome: 'REMOVED' },
  ]);
  await submit(new Map([[ADA, await add()]]));
  await work();
  const rows = await store.revisions.evaluations((await store.revisions.newest(repository.id))?.id ?? '');
  expect(rows).toMatchObject([{ host: ADA }, { host: BOB, outcome: 'EVAL_ERROR', error, retryAt: undefined }, { host: CLEO, outcome: 'REMOVED' }]);
});

describe('one bad entry refuses the whole file, by name:', () => {
  test.each<[string, () => Promise<ReadonlyMap<HostName, StorePath>>, RegExp]>([
    [
      'a path that is nowhere',
      async () => await bad(`/nix/store/${'0'.repeat(32)}-gone` as StorePath),
      /^bob-\d+: .*-gone: it is neither in the store/,
    ],
    ['no NixOS system', async () => await bad(await add({ 'bin/hello': '' })), /^bob-\d+: .*it is no NixOS system/],
    [
      'another platform',
      async () => await bad(await add({ ...SYSTEM, system: 'riscv64-linux' })),
      /^bob-\d+: .*it is for riscv64-linux, and the host is x86_64-linux/,
    ],
    [
      'a host that nobody knows',
      async () =>
        new Map([
          [ADA, await add()],
          ['dan' as HostName, await add()],
        ]),
      /^dan: there is no host/,
    ],
  ])('%s', async (_what, make, why) => {
    await store.hosts.enrol({ host: BOB, repositoryId: repository.id, machineId: 'm', publicKey: `key${count}`, at: 1 });
    await store.hosts.connect(BOB, {
      sessionId: 's/1',
      bootId: 'b',
      machineId: 'm',
      agentVersion: '1',
      system: 'x86_64-linux',
      observed: { current: null, booted: null, profile: null },
      state: 'IDLE',
      sequence: 0,
      epoch: 0,
      reportSeq: 0,
      at: 1,
    });
    const { sequence } = await store.repositories.get(repository.id);
    const id = await submit(await make());
    await work();
    const handover = await store.handovers.get(id);
    expect(handover).toMatchObject({ state: 'REFUSED' });
    expect(handover?.result).toMatch(why);
    expect(await store.revisions.newest(repository.id)).toBeUndefined();
    expect((await store.repositories.get(repository.id)).sequence).toBe(sequence);
    expect(await released()).toEqual(new Map());
    const [entry] = await store.audit.list({ limit: 1 });
    expect(entry).toMatchObject({ actor: 'floe', action: 'submit-release', detail: expect.stringMatching(/^not taken: /) as string });
    // Mended, the same file is taken: an earlier refusal is no answer.
    expect(await store.handovers.waiting(repository.id)).toEqual([]);
  });
  const bad = async (path: StorePath): Promise<ReadonlyMap<HostName, StorePath>> =>
    new Map([
      [ADA, await add()],
      [BOB, path],
    ]);
});

describe('is refused as a whole', () => {
  const one = async (): Promise<ReadonlyMap<HostName, StorePath>> => new Map([[ADA, await add()]]);

  test('where the policy in force wants flake checks built, which only a commit has', async () => {
    await push('3', [ADA], { ...DEFAULT_POLICY, checks: ['vm-test'] });
    const id = await submit(await one());
    await work();
    expect(await store.handovers.get(id)).toMatchObject({ state: 'REFUSED', result: expect.stringContaining('vm-test') as string });
  });

  test("where the policy in force is below the floor of the server's settings", async () => {
    await push('4', [ADA]);
    const id = await submit(await one());
    await work({ policyFloor: { rings: 2, firstRing: OPEN_RING, maxInFlight: undefined, checks: [] } });
    expect(await store.handovers.get(id)).toMatchObject({ state: 'REFUSED', result: expect.stringContaining('below the floor') as string });
  });

  test('after an abort, while hosts that are not in it would get what was aborted', async () => {
    await push('5', [ADA, BOB]);
    const { rollout } = await store.hosts.fleet(repository.id);
    if (rollout === undefined) throw new Error('no rollout');
    await store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'ABORTED' } }, 5, []);
    const id = await submit(await one());
    await work();
    expect(await store.handovers.get(id)).toMatchObject({ state: 'REFUSED', result: expect.stringMatching(/aborted.*: bob-\d+\. Submit/) as string });
    await submit(
      new Map([
        [ADA, await add()],
        [BOB, await add()],
      ]),
      { contentHash: 'all' },
    );
    await work();
    expect((await store.revisions.newest(repository.id))?.state).toBe('PUBLISHED');
  });

  test('by the revision itself, where that came in between', async () => {
    await push('6', [ADA]);
    await submit(await one());
    await publishHandovers(deps, repository.id, signal, () => undefined);
    await work({ policyFloor: { rings: 2, firstRing: OPEN_RING, maxInFlight: undefined, checks: [] } });
    expect(await store.revisions.newest(repository.id)).toMatchObject({
      state: 'REJECTED',
      error: expect.stringContaining('below the floor') as string,
    });
    expect((await released()).get(ADA)?.sequence).toBe(1);
  });
});

test('a commit that is named is one of the branch; one that is not there yet is waited for', async () => {
  await store.repositories.accept(repository.id, COMMIT);
  const id = await submit(new Map([[ADA, await add()]]), { commit: COMMIT });
  await work();
  expect(await store.handovers.get(id)).toMatchObject({ state: 'TAKEN' });
  expect(await store.revisions.newest(repository.id)).toMatchObject({ sha: COMMIT, subject: 'Change' });

  const missing = 'd'.repeat(40) as CommitSha;
  const second = await submit(new Map([[ADA, await add()]]), { commit: missing, contentHash: 'second' });
  const hints = async (): Promise<number> => (await store.repositories.get(repository.id)).hintCount;
  const before = await hints();
  await work();
  await work();
  expect(await store.handovers.get(second)).toMatchObject({ state: 'WAITING', result: expect.stringContaining(missing) as string });
  // The branch is looked at once for it, not in a circle.
  expect(await hints()).toBe(before + 1);
  const third = await submit(new Map([[ADA, await add()]]), { commit: missing, contentHash: 'third', at: Date.now() - 600_000 });
  await work();
  expect(await store.handovers.get(third)).toMatchObject({ state: 'REFUSED', result: expect.stringContaining('does not have the commit') as string });
});

// A job that is repeated, or was slower than the next one, takes no fleet back.
test('a commit that is older than one that is released, or built, is refused; where the newer one failed, it is taken', async () => {
  const [older, newer] = ['a', 'b'].map((digit) => `${digit.repeat(39)}1` as CommitSha) as [CommitSha, CommitSha];
  const mirror = {
    commit: async (sha: CommitSha) => await Promise.resolve({ ...ABOUT, sha, parents: [], problem: undefined }),
    contains: async (sha: CommitSha, earlier: CommitSha) => await Promise.resolve(sha === earlier || (sha === newer && earlier === older)),
  } as unknown as Deps['mirror'];
  let files = 0;
  const result = async (commit?: CommitSha): Promise<string | undefined> => {
    const id = await submit(new Map([[ADA, await add()]]), { commit, contentHash: `file ${(files += 1)}` });
    await publishHandovers({ ...deps, mirror }, repository.id, signal, () => undefined);
    const { state, result: why } = (await store.handovers.get(id))!;
    return state === 'REFUSED' ? why : state;
  };
  const finish = async (): Promise<void> => await work({ mirror });
  await push('a', [ADA]);
  const built = await store.revisions.receive(repository.id, { sha: newer, ...ABOUT });
  // It is being built.
  expect(await result(older)).toContain(`the newer commit ${newer} is released already, or is being built`);
  expect(await store.revisions.newest(repository.id)).toMatchObject({ sha: newer });
  // It waits for a person.
  await store.revisions.noteError(built.id, 'held: far fewer hosts');
  expect(await result(older)).toBe('TAKEN');
  for (const event of ['accepted', 'refused'] as const) await store.revisions.advance(built.id, event, 1, 'no');
  await finish();
  // It was refused.
  expect(await result(older)).toBe('TAKEN');
  await finish();
  // It is released, by its own job.
  const again = await push('c', [ADA]);
  const newest = { ...mirror, contains: async (sha: CommitSha) => await Promise.resolve(sha === again.sha) } as unknown as Deps['mirror'];
  const late = await submit(new Map([[ADA, await add()]]), { commit: older, contentHash: 'late' });
  await work({ mirror: newest });
  expect(await store.handovers.get(late)).toMatchObject({ state: 'REFUSED' });
  // Without a commit it is a way back, and the newest commit itself is submitted as before.
  expect(await result(again.sha)).toBe('TAKEN');
  await finish();
  expect(await result()).toBe('TAKEN');
});

test('what may succeed later is tried again, and nothing that came later passes it', async () => {
  const away = new FloeError('NIX_FAILED', 'the cache does not answer', { retryable: true });
  const first = await submit(new Map([[ADA, await add()]]));
  const second = await submit(new Map([[BOB, await add()]]), { contentHash: 'second', at: Date.now() + 1 });
  await work({ nix: { ...deps.nix, findSystem: async () => await Promise.reject(away) } });
  expect(await store.handovers.get(first)).toMatchObject({ state: 'WAITING', result: 'the cache does not answer' });
  expect(await store.handovers.get(second)).toMatchObject({ state: 'WAITING', result: '' });
  await work();
  const [one, two] = [await store.handovers.revisionOf(first), await store.handovers.revisionOf(second)];
  const sequence = async (id: string | undefined): Promise<number> => (await store.revisions.get(id ?? ''))?.sequence ?? 0;
  expect(await sequence(two)).toBe((await sequence(one)) + 1);
});

test('a rebuilt database has its releases, and follows the branch from the last commit', async () => {
  const pushed = await push('7', [ADA, BOB]);
  await submit(new Map([[ADA, await add()]]));
  await work();
  await using rebuilt = await openTestStore();
  const again = await rebuilt.repositories.ensure({ url: repository.url, branch: 'main', now: 1 });
  const keys = { releaseKeys: [signer], serverKeys: [signer] };
  await rebuildFromStatements({ store: rebuilt, clock: deps.clock, statements: deps.statements, ...keys, logger: silentLogger }, again);
  expect((await rebuilt.releases.latest(again.id)).map(({ host, sequence }) => [host, sequence])).toEqual([
    [ADA, pushed.sequence + 1],
    [BOB, pushed.sequence],
  ]);
  expect(await rebuilt.repositories.get(again.id)).toMatchObject({ acceptedCommit: pushed.sha, sequence: pushed.sequence + 1 });
});
