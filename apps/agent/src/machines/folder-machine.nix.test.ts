import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isOn, type HostName, type StorePath } from '@floe/model';
import { createNix, createRepositoryNix, loadOrCreateCacheKey, openUnsafeSandbox, type CacheKey, type Nix, type RepositoryNix } from '@floe/nix';
import { exec, execInTest, silentLogger, systemClock } from '@floe/runtime';
import { exampleFleetFiles, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FolderMachine } from './folder-machine.ts';
import type { DownloadOptions } from './machine.ts';
import { checkHealth } from '../health/health-checks.ts';

const signal = new AbortController().signal;
let dir: string;
let builder: Nix;
let repositoryNix: RepositoryNix;
let key: CacheKey;
let machines = 0;

/** Builds ada's system with this module, and publishes it. */
async function publishSystem(module: string): Promise<StorePath> {
  const repo = await mkdtemp(join(dir, 'fleet-'));
  const files = { ...(await exampleFleetFiles()), 'hosts/ada.nix': `{ config, ... }: { environment.etc."unique" = "${dir}"; ${module} }` };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(repo, path)), { recursive: true });
    await writeFile(join(repo, path), content);
  }
  const git = async (...args: string[]): Promise<string> => {
    const result = await execInTest('git', ['-C', repo, ...args]);
    expect(result.exitCode, result.stderr).toBe(0);
    return result.stdout.trim();
  };
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-q', '-m', 'x');
  const systems: { drvPath: string; toplevel: StorePath }[] = [];
  await repositoryNix.evaluateHosts(`git+file://${repo}?ref=main&rev=${await git('rev-parse', 'HEAD')}`, ['ada' as HostName], {
    concurrency: 1,
    timeoutMs: 60_000,
    maxMemoryBytes: 4 * 1024 ** 3,
    signal,
    onResult: (result) => {
      if (result.kind !== 'evaluated') throw new Error(JSON.stringify(result));
      systems.push(result);
    },
  });
  const [system] = systems;
  if (system === undefined) throw new Error('ada does not evaluate');
  expect(await repositoryNix.build(system, { signal, timeoutMs: 60_000, root: `${repo}-result` })).toMatchObject({ kind: 'built' });
  await builder.publish([system.toplevel], { cacheUrl: `file://${dir}/cache`, secretKeyFile: key.secretKeyFile, signal });
  return system.toplevel;
}

function nixEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: dir, NIX_CONFIG: testNixSettings };
}

async function newMachine(): Promise<{ machine: FolderMachine; root: string }> {
  machines += 1;
  const root = join(dir, `machine-${machines}`);
  await mkdir(root);
  const env = { ...nixEnv(), XDG_CACHE_HOME: join(root, 'cache') };
  const nix = createNix({ exec, logger: silentLogger, env, store: { kind: 'root', dir: root } });
  return { root, machine: new FolderMachine({ root, roots: join(root, 'roots'), exec, env, nix: async () => await Promise.resolve(nix) }) };
}

function options(publicKey = key.publicKey): DownloadOptions {
  return {
    keptAs: 'next',
    maxBytesPerSecond: undefined,
    substituters: [`file://${dir}/cache`],
    trustedPublicKeys: [publicKey],
    signal,
    maxBytes: 1e9,
    onProgress: () => undefined,
  };
}

async function download(machine: FolderMachine, path: StorePath, publicKey = key.publicKey): Promise<void> {
  await machine.download(path, options(publicKey));
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-machine-'));
  builder = createNix({ exec, logger: silentLogger, env: nixEnv() });
  repositoryNix = createRepositoryNix(
    { exec, logger: silentLogger, sandbox: await openUnsafeSandbox({ exec, env: nixEnv(), dir: join(dir, 'sandbox') }) },
    builder,
  );
  key = await loadOrCreateCacheKey(join(dir, 'cache.secret'), 'cache-1');
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

test('a system is downloaded, run, made the default, and can be gone back from', async () => {
  const first = await publishSystem('');
  const second = await publishSystem('environment.etc."motd" = "second";');
  const { machine, root } = await newMachine();
  expect(await machine.observe()).toEqual({ current: null, booted: null, profile: null });

  for (const system of [first, second]) {
    expect(await machine.isValid(system)).toBe(false);
    await download(machine, system);
    expect(await machine.isValid(system)).toBe(true);
    expect(await machine.switchTo(system, 'test', { activation: 1, signal })).toEqual({ kind: 'switched', note: null });
    expect((await machine.observe()).current).toBe(system);
    expect(isOn(await machine.observe(), system)).toBe(false);
    await machine.setProfile(system);
    expect(await machine.switchTo(system, 'boot', { activation: 1, signal })).toEqual({ kind: 'switched', note: null });
    expect(isOn(await machine.observe(), system)).toBe(true);
  }
  expect((await machine.observe()).profile?.generation).toBe(2);
  expect(await readFile(join(root, 'boot/loader/default'), 'utf8')).toContain(second);

  await machine.switchTo(first, 'test', { activation: 1, signal });
  expect(await machine.observe()).toMatchObject({ current: first, profile: { toplevel: second } });
});

test('what is kept survives the garbage collector, what is let go does not', async () => {
  const system = await publishSystem('environment.etc."kept" = "kept";');
  const { machine, root } = await newMachine();
  const collect = async (): Promise<void> => {
    const result = await execInTest('nix-store', ['--gc', '--store', `local?root=${root}`], { env: nixEnv() });
    expect(result.exitCode, result.stderr).toBe(0);
  };
  await download(machine, system);
  await machine.keep('before', system);
  await machine.letGo('next');
  await collect();
  expect(await machine.isValid(system)).toBe(true);
  expect((await machine.kept('before'))?.path).toBe(system);
  await machine.letGo('before');
  expect(await machine.kept('before')).toBeUndefined();
  await collect();
  expect(await machine.isValid(system)).toBe(false);

  await machine.download(system, { ...options(), keptAs: 'ahead' });
  await machine.download(system, { ...options(), keptAs: 'next' });
  expect(Math.abs(Date.now() - ((await machine.kept('ahead'))?.since ?? 0))).toBeLessThan(600_000);
  await machine.letGo('ahead');
  await collect();
  expect(await machine.isValid(system)).toBe(true);
});

test('a system signed by a key that is not trusted is refused', async () => {
  const system = await publishSystem('environment.etc."signed" = "by a stranger";');
  const stranger = await loadOrCreateCacheKey(join(dir, 'stranger.secret'), 'stranger-1');
  const { machine } = await newMachine();
  await expect(download(machine, system, stranger.publicKey)).rejects.toMatchObject({ code: 'STORE_PATH_UNTRUSTED' });
  expect(await machine.isValid(system)).toBe(false);
});

test('a system that the cache does not have is said to be missing', async () => {
  const { machine } = await newMachine();
  await expect(download(machine, `/nix/store/${'0'.repeat(32)}-missing` as StorePath)).rejects.toMatchObject({
    code: 'STORE_PATH_NOT_AVAILABLE',
    retryable: true,
  });
});

test("the system's own checks are read from its store, and run where its files are", async () => {
  const system = await publishSystem(
    `floe.healthChecks.role.command = ''grep -q laptop "$NIXOS_ROOT/run/role"''; environment.etc."role" = "laptop";`,
  );
  const { machine, root } = await newMachine();
  await download(machine, system);
  const check = async () => await checkHealth({ machine, exec, clock: systemClock }, system, { passes: 1, pauseMs: 0, graceMs: 0, signal });
  expect(await check()).toMatchObject({ code: 'HEALTH_CHECK_FAILED' });
  await mkdir(join(root, 'run'), { recursive: true });
  await writeFile(join(root, 'run/role'), 'laptop');
  expect(await check()).toBeNull();
});

test('a second switch waits for the end of one that a killed agent left running', async () => {
  const system = await publishSystem('environment.etc."slow" = "slow";');
  const { machine, root } = await newMachine();
  await download(machine, system);
  await mkdir(join(root, 'run'), { recursive: true });
  // Holds the lock as a switch does, until told.
  const held = execInTest('flock', [
    join(root, 'run/switch.lock'),
    'sh',
    '-c',
    `touch ${root}/held; while [ ! -e ${root}/let-go ]; do sleep 0.05; done; ln -sfn left-behind ${root}/run/current-system`,
  ]);
  while (!(await readdir(root)).includes('held')) await systemClock.sleep(10);
  const switched = machine.switchTo(system, 'test', { activation: 1, signal });
  await writeFile(join(root, 'let-go'), '');
  await Promise.all([held, switched]);
  expect(await readlink(join(root, 'run/current-system'))).toBe(system);
});
