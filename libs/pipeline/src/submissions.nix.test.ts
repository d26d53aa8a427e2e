import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_SUBMITTED_BYTES, NO_COMMIT, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { createNix, loadOrCreateCacheKey, type FoundSystem } from '@floe/nix';
import { open, ReleaseStatement, parseStored } from '@floe/protocol';
import { exec, execInTest, FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock, verifySignature } from '@floe/runtime';
import { openStore, type HostPresence, type Repository, type Store, type Submission } from '@floe/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { preparedImage } from '../../store/src/test/prepared-embedded.ts';
import { asCleared } from './test/cleared.ts';
import { releaseHosts } from './release.ts';
import { rebuildFromStatements } from './statements/rebuild.ts';
import { openStatementLog } from './statements/statement-log.ts';
import { folderCache } from './test/folder-cache.ts';
import { publishSubmissions } from './submissions.ts';

const HOST = 'ada' as HostName;
const MIGRATIONS_DIR = join(import.meta.dirname, '../../../migrations');
const signer = signerFromPem('release-1', generateKeyPem());
const signal = new AbortController().signal;
const SETTINGS = ['experimental-features = nix-command', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');

/** What marks a NixOS system. */
const SYSTEM: Readonly<Record<string, string>> = {
  'nixos-version': '26.05',
  system: 'x86_64-linux',
  activate: '#!/bin/sh\n',
  'bin/switch-to-configuration': '#!/bin/sh\n',
};

const PRESENCE: HostPresence = {
  sessionId: 's/1',
  bootId: 'b',
  machineId: 'm',
  agentVersion: '1',
  capabilities: ['once', 'submitted'],
  system: 'x86_64-linux',
  observed: { current: null, booted: null, profile: null },
  state: 'IDLE',
  sequence: 0,
  epoch: 0,
  reportSeq: 0,
  at: 1,
};

let dir: string;
let store: Store;
let repository: Repository;
let deps: Parameters<typeof publishSubmissions>[0];
/** Without a system store, so that nothing of this machine is in the way. */
const rooted = (): string => join(dir, 'root');
const nixEnv = (): NodeJS.ProcessEnv => ({ ...process.env, HOME: join(dir, 'home'), NIX_CONFIG: SETTINGS });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-submissions-'));
  for (const each of ['home', 'root', 'cache', 'log']) await mkdir(join(dir, each));
  store = await openTestStore();
  const key = await loadOrCreateCacheKey(join(dir, 'cache-key'), 'cache-test-1');
  const nix = createNix({ exec, logger: silentLogger, env: nixEnv(), store: { kind: 'root', dir: rooted() } });
  deps = {
    store,
    nix,
    cache: folderCache(nix, join(dir, 'cache'), key),
    statements: openStatementLog(join(dir, 'log'), silentLogger),
    releaseSigner: signer,
    clock: systemClock,
    logger: silentLogger,
    rootsDir: join(dir, 'roots'),
  };
  repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  await store.hosts.ensure(repository.id, [HOST]);
  await store.hosts.enrol({ host: HOST, repositoryId: repository.id, machineId: 'm', publicKey: 'key', at: 1 });
  await store.hosts.connect(HOST, PRESENCE);
  await release('1');
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

async function openTestStore(): Promise<Store> {
  const target = { kind: 'pglite' as const, dataDir: undefined, image: await preparedImage() };
  return await openStore(target, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR });
}

/** A commit of the fleet with a system for the host. */
async function release(digit: string, formerHost?: HostName): Promise<number> {
  const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
  const revision = await store.revisions.receive(repository.id, { sha: digit.repeat(40) as CommitSha, ...about });
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
  const toplevel = `/nix/store/${digit.repeat(32)}-system` as StorePath;
  await releaseHosts(deps, repository, asCleared(revision), [
    { host: HOST, toplevel, system: 'x86_64-linux', narHash: 'sha256:0', closureSizeBytes: 1, formerHost },
  ]);
  return revision.sequence;
}

/** A commit that leaves the host as it is. */
async function keepUnchanged(digit: string): Promise<number> {
  const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
  const revision = await store.revisions.receive(repository.id, { sha: digit.repeat(40) as CommitSha, ...about });
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, 1);
  const toplevel = `/nix/store/${'1'.repeat(32)}-system` as StorePath;
  await store.revisions.saveEvaluations(revision.id, [
    { host: HOST, outcome: 'UNCHANGED', toplevel, drvPath: `${toplevel}.drv`, system: 'x86_64-linux' },
  ]);
  await store.revisions.advance(revision.id, 'evaluated', 1);
  await releaseHosts(deps, repository, asCleared(revision), []);
  return revision.sequence;
}

let folders = 0;
/** Adds a folder with these files to a store. */
async function add(files: Readonly<Record<string, string>>, storeUrl = `local?root=${rooted()}`): Promise<StorePath> {
  folders += 1;
  const folder = join(dir, `system-${folders}`);
  for (const [name, text] of Object.entries({ ...files, unique: String(folders) })) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
  const result = await execInTest('nix', ['store', 'add-path', folder, '--store', storeUrl], { env: nixEnv() });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout.trim() as StorePath;
}

async function submit(toplevel: StorePath, options: Partial<Submission> = {}): Promise<Submission | undefined> {
  const asked = { repositoryId: repository.id, host: HOST, toplevel, by: 'ada', reason: 'why', at: Date.now(), ...options };
  await store.submissions.request(asked);
  await publishSubmissions(deps, repository.id, signal);
  return (await seen()).submission;
}

async function seen() {
  const [host] = (await store.hosts.fleet(repository.id, [HOST])).hosts;
  if (host === undefined) throw new Error('no host');
  return host;
}

/** What was signed of the system that the host is pinned to. */
async function pinned(): Promise<ReleaseStatement> {
  const [release1] = (await store.releases.toOffer(repository.id, [(await seen()).situation.pin?.id ?? ''])).releases;
  const envelope = parseStored(release1?.envelope);
  const opened = open(envelope, 'floe/release', ReleaseStatement, [signer], verifySignature);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  return opened.statement;
}

test('a system in the store of the server is published, signed for that host alone, and pinned; it counts nowhere else', async () => {
  const before = await store.releases.latest(repository.id);
  const toplevel = await add(SYSTEM);
  expect(await submit(toplevel)).toMatchObject({ state: 'PUBLISHED', result: '' });

  const { situation, desired, pins } = await seen();
  expect(situation.pin).toMatchObject({ toplevel, sequence: 2 });
  expect(desired).toMatchObject({ kind: 'release', because: 'pin', release: { toplevel } });
  expect(pins).toMatchObject([{ kind: 'pin', by: 'ada', reason: 'why', commit: NO_COMMIT }]);
  expect(await readdir(join(dir, 'cache'))).toContain(`${toplevel.slice('/nix/store/'.length, '/nix/store/'.length + 32)}.narinfo`);
  expect(await pinned()).toMatchObject({ purpose: 'submitted', host: HOST, toplevel, system: 'x86_64-linux' });

  // Of the fleet's releases nothing changed: neither the newest, nor that of the rollout, nor what becomes stable.
  expect(await store.releases.latest(repository.id)).toEqual(before);
  expect(situation.rollout?.sequence).toBe(1);
  // Also where a commit does not change the host, and is complete.
  expect(await keepUnchanged('2')).toBe(3);
  expect((await seen()).situation.rollout).toMatchObject({ sequence: 1 });
  const { rollout } = await store.hosts.fleet(repository.id);
  if (rollout === undefined) throw new Error('no rollout');
  const { id, version, course } = rollout;
  expect(await store.rollouts.save({ id, version, course: { ...course, state: 'COMPLETE' } }, 5, [])).toBe(true);
  expect((await seen()).situation.stable).toMatchObject({ sequence: 1 });
  // When the pin ends, nothing falls back: it stays until something newer is its turn.
  await store.hosts.desire([{ ...(situation.pin ?? (await Promise.reject(new Error('no pin')))), epoch: undefined }], 6);
  await store.hosts.unpin(HOST, 'pin');
  expect((await seen()).desired).toMatchObject({ kind: 'release', because: 'kept', release: { toplevel } });
});

test.each<[string, () => Promise<StorePath>, RegExp]>([
  [
    'is nowhere',
    async () => await Promise.resolve(`/nix/store/${'0'.repeat(32)}-gone` as StorePath),
    /neither in the store of the server nor in the cache.*nix copy --to/,
  ],
  ['is no NixOS system', async () => await add({ 'bin/hello': 'hello' }), /it is no NixOS system: it has no nixos-version, system, activate/],
  ['has nothing to switch with', async () => await add(without('bin/switch-to-configuration')), /switch-to-configuration/],
  ['names no platform', async () => await add({ ...SYSTEM, system: 'x86 linux\n…' }), /names no platform/],
  ['is for another platform', async () => await add({ ...SYSTEM, system: 'riscv64-linux' }), /riscv64-linux/],
])('a path that %s is not taken, and the log of decisions says why', async (_what, make, why) => {
  await store.hosts.unpin(HOST, 'pin');
  const toplevel = await make();
  const submission = await submit(toplevel);
  expect(submission).toMatchObject({ state: 'FAILED' });
  expect(submission?.result).toMatch(why);
  expect((await seen()).situation.pin).toBeUndefined();
  const [entry] = await store.audit.list({ limit: 1 });
  expect(entry).toMatchObject({ actor: 'floe', action: 'submit', subject: HOST, detail: expect.stringContaining(toplevel) as string });
});

function without(name: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries({ ...SYSTEM, 'bin/other': '' }).filter(([each]) => each !== name));
}

test('what a process that died had begun is continued by the next, with one sequence', async () => {
  const toplevel = await add(SYSTEM);
  const id = await store.submissions.request({ repositoryId: repository.id, host: HOST, toplevel, by: 'ada', reason: 'why', at: Date.now() });
  const sequence = await store.submissions.number(id);
  expect(await store.submissions.number(id)).toBe(sequence);
  await publishSubmissions(deps, repository.id, signal);
  const { situation, submission } = await seen();
  expect(submission?.state).toBe('PUBLISHED');
  expect(situation.pin).toMatchObject({ toplevel, sequence });
  // Told by nobody twice.
  await publishSubmissions(deps, repository.id, signal);
  expect((await seen()).situation.pin?.id).toBe(situation.pin?.id);
});

test('what may succeed later is tried again for an hour, and shown meanwhile; a closure that is too large is not', async () => {
  const toplevel = await add(SYSTEM);
  const away = new FloeError('NIX_FAILED', 'the cache does not answer', { retryable: true });
  const played = async (found: () => Promise<FoundSystem>): Promise<boolean> =>
    await publishSubmissions({ ...deps, nix: { ...deps.nix, findSystem: found } }, repository.id, signal);
  const asked = { repositoryId: repository.id, host: HOST, toplevel, by: 'ada', reason: 'why' };
  await store.submissions.request({ ...asked, at: Date.now() });
  expect(await played(async () => await Promise.reject(away))).toBe(false);
  expect((await seen()).submission).toMatchObject({ state: 'WAITING', result: 'the cache does not answer' });
  expect(await publishSubmissions(deps, repository.id, signal)).toBe(true);
  expect((await seen()).submission).toMatchObject({ state: 'PUBLISHED', result: '' });

  await store.submissions.request({ ...asked, at: Date.now() - 2 * 3600_000 });
  expect(await played(async () => await Promise.reject(away))).toBe(true);
  expect((await seen()).submission).toMatchObject({ state: 'FAILED', result: 'the cache does not answer' });

  await store.submissions.request({ ...asked, at: Date.now() });
  const large = { kind: 'found' as const, isHere: true, system: 'x86_64-linux', closureSizeBytes: MAX_SUBMITTED_BYTES + 1 };
  await played(async () => await Promise.resolve(large));
  expect((await seen()).submission).toMatchObject({ state: 'FAILED', result: expect.stringContaining('65 GiB, of 64 at most') as string });
});

test('another pin, the end of the pin, or another path ends one that waits', async () => {
  const toplevel = await add(SYSTEM);
  const asked = { repositoryId: repository.id, host: HOST, toplevel, by: 'ada', reason: 'why', at: Date.now() };
  const first = await store.submissions.request(asked);
  await store.submissions.cancel(HOST, 'ada ended it', Date.now());
  expect(await store.submissions.number(first)).toBeUndefined();
  const second = await store.submissions.request(asked);
  const third = await store.submissions.request(asked);
  expect(await store.submissions.number(second)).toBeUndefined();
  const releaseId = (await seen()).situation.rollout?.id ?? '';
  await store.hosts.pin({ host: HOST, kind: 'pin', releaseId, reason: 'why', by: 'ada', at: Date.now() });
  expect(await store.submissions.number(third)).toBeUndefined();
  expect(await store.submissions.waiting(repository.id)).toEqual([]);
});

test('from the cache a path is taken only with the signatures of its key', async () => {
  const elsewhere = `local?root=${join(dir, 'elsewhere')}`;
  const [signed, unsigned] = [await drvLike(elsewhere), await drvLike(elsewhere)];
  const copy = async (path: StorePath, key: string): Promise<void> => {
    const to = `file://${join(dir, 'cache')}?secret-key=${key}`;
    const result = await execInTest('nix', ['copy', '--from', elsewhere, '--to', to, path, '--no-check-sigs'], { env: nixEnv() });
    expect(result.exitCode, result.stderr).toBe(0);
  };
  await loadOrCreateCacheKey(join(dir, 'other-key'), 'other-1');
  await copy(unsigned, join(dir, 'other-key'));
  await copy(signed, join(dir, 'cache-key'));
  expect(await submit(unsigned)).toMatchObject({ state: 'FAILED', result: expect.stringMatching(/did not sign/) as string });
  expect(await submit(signed)).toMatchObject({ state: 'PUBLISHED' });
});

/** A path whose name does not prove its content: only then a signature is needed. */
async function drvLike(storeUrl: string): Promise<StorePath> {
  folders += 1;
  const expression = `derivation { name = "system-${folders}"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/usr/bin:/bin:/run/current-system/sw/bin"; args = [ "-c" "mkdir -p $out/bin; echo 1 > $out/nixos-version; printf x86_64-linux > $out/system; echo > $out/activate; echo > $out/bin/switch-to-configuration" ]; unique = "${Date.now()}-${folders}"; }`;
  const built = await execInTest('nix-build', ['--no-out-link', '-E', expression], { env: nixEnv() });
  expect(built.exitCode, built.stderr).toBe(0);
  const path = built.stdout.trim() as StorePath;
  const copied = await execInTest('nix', ['copy', '--to', storeUrl, '--no-check-sigs', path], { env: nixEnv() });
  expect(copied.exitCode, copied.stderr).toBe(0);
  return path;
}

test('a rebuilt database knows that the host was told it, and counts it nowhere', async () => {
  await using rebuilt = await openTestStore();
  const again = await rebuilt.repositories.ensure({ url: repository.url, branch: 'main', now: 1 });
  const keys = { releaseKeys: [signer], serverKeys: [signer] };
  await rebuildFromStatements({ store: rebuilt, clock: deps.clock, statements: deps.statements, ...keys, logger: silentLogger }, again);
  expect((await rebuilt.releases.latest(again.id)).map(({ sequence }) => sequence)).toEqual([1]);
  expect((await rebuilt.repositories.get(again.id)).sequence).toBe((await store.repositories.get(repository.id)).sequence);
  expect((await rebuilt.hosts.fleet(again.id, [HOST])).hosts[0]?.situation.stable).toBeUndefined();
  // Its hello proves which one it accepted last: it stays there.
  const { pin } = (await seen()).situation;
  if (pin === undefined) throw new Error('no pin');
  await rebuilt.hosts.connect(HOST, { ...PRESENCE, sequence: pin.sequence, stateToplevel: pin.toplevel });
  const [host] = (await rebuilt.hosts.fleet(again.id, [HOST])).hosts;
  expect(host?.desired).toMatchObject({ kind: 'release', because: 'kept', release: { toplevel: pin.toplevel, sequence: pin.sequence } });
});

test('a submitted system is no reason to forget that the newest one of the fleet was rolled back', async () => {
  const [newest] = await store.releases.latest(repository.id);
  if (newest === undefined) throw new Error('no release');
  await store.hosts.quarantine(HOST, newest.toplevel, 'rolled back', 1);
  expect(await submit(await add(SYSTEM))).toMatchObject({ state: 'PUBLISHED' });
  expect(await store.hosts.pruneQuarantines(Date.now())).toBe(0);
  expect((await seen()).quarantines).toMatchObject([{ toplevel: newest.toplevel }]);
});

test('a machine that was renamed takes it before it runs a system of its new name: the release says the earlier one', async () => {
  await release('7', 'ws0001' as HostName);
  expect(await submit(await add(SYSTEM))).toMatchObject({ state: 'PUBLISHED' });
  expect(await pinned()).toMatchObject({ host: HOST, formerHost: 'ws0001', purpose: 'submitted' });
  await release('8');
  expect(await submit(await add(SYSTEM))).toMatchObject({ state: 'PUBLISHED' });
  expect((await pinned()).formerHost).toBeUndefined();
});
