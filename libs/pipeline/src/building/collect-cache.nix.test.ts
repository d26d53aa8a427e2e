import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { CacheFolder, createNix, GRACE_MS, loadOrCreateCacheKey, type Collected, type Nix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { collectCache } from './collect-cache.ts';
import { folderCache } from '../test/folder-cache.ts';
import { publishClosures } from './publish-closures.ts';

const SETTINGS = ['experimental-features = nix-command', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');
const signal = new AbortController().signal;

let dir: string;
let folder: CacheFolder;
let publicKey: string;
let later = 0;
let deps: Parameters<typeof publishClosures>[0];
const env = (home: string): NodeJS.ProcessEnv => ({ ...process.env, HOME: join(dir, home), NIX_CONFIG: SETTINGS });
const machine = (name: string): Nix => createNix({ exec, logger: silentLogger, env: env(name), store: { kind: 'root', dir: join(dir, name) } });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-collect-'));
  for (const each of ['server', 'cache']) await mkdir(join(dir, each));
  folder = new CacheFolder(join(dir, 'cache'), () => Date.now() + later);
  const key = await loadOrCreateCacheKey(join(dir, 'cache-key'), 'cache-test-1');
  ({ publicKey } = key);
  const nix = machine('server');
  deps = { nix, cache: folderCache(nix, join(dir, 'cache'), key, folder) };
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

/** Two systems that have a part in common, and each a part of its own. */
async function make(): Promise<readonly [StorePath, StorePath]> {
  const system = (name: string): string => `builtins.toFile "${name}" "\${shared} \${builtins.toFile "of-${name}" "${name}"}"`;
  const expression = `let shared = builtins.toFile "shared" "shared"; in [ (${system('one')}) (${system('two')}) ]`;
  const args = ['--store', `local?root=${join(dir, 'server')}`, '--eval', '--strict', '--json', '--read-write-mode', '-E', expression];
  const { stdout, stderr, exitCode } = await execInTest('nix-instantiate', args, { env: env('server') });
  if (exitCode !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as readonly [StorePath, StorePath];
}

async function collect(needed: readonly StorePath[], isDryRun = false): Promise<Collected> {
  const store = {
    hosts: { fleet: async () => await Promise.resolve({ hosts: [], rollout: undefined, next: undefined }) },
    releases: { systemsInUse: async () => await Promise.resolve(new Set(needed)) },
  };
  return await collectCache({ store, folder }, 'fleet', { unusedForMs: 0, isDryRun, patience: signal, signal });
}

async function download(name: string, path: StorePath): Promise<boolean> {
  const away = machine(name);
  await away.realise(path, { root: join(dir, name, 'root'), substituters: deps.cache.urls, trustedPublicKeys: [publicKey] });
  return await away.isValid(path);
}

const named = (paths: Iterable<string>): string[] => [...paths].map((path) => path.slice('/nix/store/'.length + 33)).toSorted();

test('what no host needs leaves the cache, what is left can be downloaded as a whole, and what left can be published again', async () => {
  const [one, two] = await make();
  await publishClosures(deps, [one, two], { signal });
  // It was published just now.
  expect((await collect([two])).removed).toEqual([]);

  later = 2 * GRACE_MS;
  const dry = await collect([two], true);
  expect(named(dry.removed.map(({ storePath }) => storePath))).toEqual(['of-one', 'one']);
  expect(await readdir(join(dir, 'cache/nar'))).toHaveLength(5);
  const collected = await collect([two]);
  expect(collected).toEqual(dry);
  expect(collected).toMatchObject({ kept: 3, needed: 3, incomplete: [], unreadable: [], leftovers: 0 });
  expect(collected.removedBytes).toBeGreaterThan(0);
  expect(await readdir(join(dir, 'cache/nar'))).toHaveLength(3);

  expect((await deps.nix.readBack(deps.cache, [two])).has(two)).toBe(true);
  expect(await download('of-two', two)).toBe(true);
  await expect(download('of-one', one)).rejects.toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) as string });
  expect(await folder.keep(one)).toBe(false);

  expect((await publishClosures(deps, [one], { signal })).has(one)).toBe(true);
  expect(await download('of-one-again', one)).toBe(true);
});
