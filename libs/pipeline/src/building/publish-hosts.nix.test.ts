import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { createNix, loadOrCreateCacheKey, type Publisher } from '@floe/nix';
import { exec, execInTest, silentLogger, systemClock } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PipelineDeps } from '../deps.ts';
import { folderCache } from '../test/folder-cache.ts';
import { asCleared } from '../test/cleared.ts';
import { buildHosts, type BuildOutcome } from './build.ts';

const SETTINGS = ['experimental-features = nix-command', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');
const NAMES = ['good', 'lost', 'fine', 'bare', 'well'] as const;
const signal = new AbortController().signal;

let dir: string;
let env: NodeJS.ProcessEnv;
let cache: { secretKeyFile: string; publicKey: string };
const systems = new Map<string, StorePath>();
const cacheUrl = (): string => `file://${join(dir, 'cache')}`;

async function nix(program: 'nix' | 'nix-instantiate', ...args: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await execInTest(program, args, { env });
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}

/** Five systems. The files of `lost` are gone, which Nix's database does not know; of `bare` the cache has a copy that nobody signed. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-publish-'));
  for (const each of ['server', 'cache']) await mkdir(join(dir, each));
  env = { ...process.env, HOME: join(dir, 'server'), NIX_CONFIG: SETTINGS };
  cache = await loadOrCreateCacheKey(join(dir, 'cache-key'), 'cache-test-1');
  const root = `local?root=${join(dir, 'server')}`;
  const list = NAMES.map((name) => `(builtins.toFile "${name}" "${name}")`).join(' ');
  const made = JSON.parse(
    await nix('nix-instantiate', '--store', root, '--eval', '--strict', '--json', '--read-write-mode', '-E', `[ ${list} ]`),
  ) as StorePath[];
  for (const [index, name] of NAMES.entries()) systems.set(name, made[index] as StorePath);
  await nix('nix', 'copy', '--from', root, '--to', cacheUrl(), systems.get('bare') ?? '');
  // A text would be known by its content.
  const info = join(dir, 'cache', `${basename(systems.get('bare') ?? '').slice(0, 32)}.narinfo`);
  await writeFile(info, (await readFile(info, 'utf8')).replace(/^CA: .*\n/m, ''));
  await execInTest('chmod', ['-R', 'u+w', join(dir, 'server')]);
  await rm(join(dir, 'server', systems.get('lost') ?? ''));
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

interface Row {
  readonly host: string;
  readonly outcome?: string | undefined;
  readonly error?: string | undefined;
  readonly retryAt?: number | undefined;
}
let rows: Row[] = [];
let released: string[] = [];
/** What the fleet has releases of. */
let known: StorePath[] = [];
let copies = 0;
beforeEach(() => {
  rows = [];
  released = [];
  known = [];
  copies = 0;
});

async function publish(names: readonly string[], url = cacheUrl()): Promise<BuildOutcome> {
  const real = createNix({ exec, logger: silentLogger, env, store: { kind: 'root', dir: join(dir, 'server') } });
  const deps = {
    store: {
      revisions: { saveBuilds: async (_id: string, some: readonly Row[]) => void rows.push(...some), savePublished: async () => undefined },
      releases: { latest: async () => known.map((toplevel) => ({ toplevel })) },
      hosts: { fleet: async () => ({ hosts: [] }) },
    },
    nix: real,
    repositoryNix: { notBuiltHere: async () => new Map(), build: async () => ({ kind: 'built', durationMs: 1 }) },
    cache: {
      urls: [url],
      publicKeys: [cache.publicKey],
      publisher: {
        publish: async (...[paths, options]: Parameters<Publisher['publish']>) => {
          copies += 1;
          await folderCache(real, join(dir, 'cache'), cache).publisher.publish(paths, options);
        },
        forget: () => undefined,
      },
    },
    limits: { builds: 1, buildTimeoutMs: 1, buildMemoryBytes: 1 },
    rootsDir: join(dir, 'roots'),
    clock: systemClock,
    logger: silentLogger,
  } as unknown as PipelineDeps;
  const revision = { id: '1', repositoryId: 'fleet' } as Revision;
  const wanted = names.map((name) => {
    const toplevel = systems.get(name) as StorePath;
    return { host: name as HostName, outcome: 'NEW' as const, drvPath: `${toplevel}.drv`, toplevel, system: 'x86_64-linux' };
  });
  return await buildHosts(deps, revision, wanted, signal, {
    begin: async () => await Promise.resolve({ kind: 'cleared', revision: asCleared(revision) }),
    handOut: async (_revision, hosts) => {
      released.push(...hosts.map(({ host }) => host));
      await Promise.resolve();
    },
  });
}

const refused = (): Row[] => rows.filter(({ outcome }) => outcome === 'BUILD_ERROR');

test('a closure that cannot be published is the error of its host alone, which is tried again later', async () => {
  expect(await publish(NAMES)).toEqual({ kind: 'built' });
  expect(released.toSorted()).toEqual(['fine', 'good', 'well']);
  expect(refused()).toEqual([
    expect.objectContaining({
      host: 'lost',
      error: expect.stringContaining('publishing to the cache') as string,
      retryAt: expect.any(Number) as number,
    }),
    expect.objectContaining({ host: 'bare', error: expect.stringContaining('did not sign') as string, retryAt: expect.any(Number) as number }),
  ]);
});

test('one that is alone is its host’s error where the cache has what others run, else the cache may be away, and all is repeated', async () => {
  known = [systems.get('lost') as StorePath, systems.get('good') as StorePath];
  expect(await publish(['lost'])).toMatchObject({ kind: 'failed', error: expect.stringContaining('lost: publishing') as string });
  expect(refused()).toMatchObject([{ host: 'lost' }]);
  known = [systems.get('lost') as StorePath];
  await expect(publish(['lost'])).rejects.toMatchObject({ code: 'NIX_FAILED' });
  expect(refused()).toHaveLength(1);
});

test('a cache that is away is no host’s error, and is not asked for each of them', async () => {
  known = [systems.get('good') as StorePath];
  await expect(publish(NAMES, 'http://127.0.0.1:9')).rejects.toMatchObject({ code: 'CACHE_AWAY', retryable: true });
  expect(refused()).toEqual([]);
  expect(copies).toBeLessThan(12);
});
