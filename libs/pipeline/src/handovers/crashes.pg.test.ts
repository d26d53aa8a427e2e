import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import { openStore, type Repository, type Revision, type Store } from '@floe/store';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { preparedImage } from '../../../store/src/test/prepared-embedded.ts';
import { asCleared } from '../test/cleared.ts';
import { releaseHosts } from '../release.ts';
import { openStatementLog } from '../statements/statement-log.ts';
import { compareHandover } from './compare.ts';
import { publishHandovers } from './publish.ts';
import { anyCache } from '../test/folder-cache.ts';
import { readHandover } from './read.ts';

// A process may die before or after any call that it makes, again and again: what it left is continued, and nothing is done twice.

type Deps = Parameters<typeof publishHandovers>[0] & Parameters<typeof releaseHosts>[0];
const signal = new AbortController().signal;
let dir: string;
let store: Store;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-crashes-'));
  const migrationsDir = join(import.meta.dirname, '../../../../migrations');
  store = await openStore(
    { kind: 'pglite', dataDir: undefined, image: await preparedImage() },
    { clock: systemClock, logger: silentLogger, migrationsDir },
  );
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

class Killed extends Error {}
/** When the process dies: at so many more calls, before or after what the call does. */
interface Deaths {
  left: { readonly calls: number; readonly isAfter: boolean }[];
  /** No call does anything any more, until the next life. */
  isDead: boolean;
}

/** The same, but that it dies with the process. */
function mortal<T extends object>(target: T, deaths: Deaths): T {
  return new Proxy(target, {
    get(of, name) {
      const value: unknown = Reflect.get(of, name);
      if (typeof value !== 'function') return typeof value === 'object' && value !== null ? mortal(value, deaths) : value;
      return async (...args: unknown[]): Promise<unknown> => {
        if (deaths.isDead) throw new Killed();
        const [next, ...later] = deaths.left;
        const isIts = next !== undefined && next.calls === 0;
        if (next !== undefined) deaths.left = isIts ? later : [{ ...next, calls: next.calls - 1 }, ...later];
        if (isIts) deaths.isDead = true;
        if (isIts && !next.isAfter) throw new Killed();
        const result: unknown = await (value as (...all: unknown[]) => unknown).apply(of, args);
        if (isIts) throw new Killed();
        return result;
      };
    },
  });
}

/** Any system is in the store of the server, and in the cache at once. */
const NIX = {
  findSystem: async () => await Promise.resolve({ kind: 'found' as const, isHere: true, system: 'x86_64-linux', closureSizeBytes: 1 }),
  addRoot: async () => await Promise.resolve(),
  isValid: async () => await Promise.resolve(true),
  readBack: async (_cache: unknown, paths: readonly StorePath[]) =>
    await Promise.resolve(new Map(paths.map((path) => [path, { narHash: 'sha256:0', closureSizeBytes: 1 }]))),
};

let count = 0;
async function begin(logDir: string): Promise<{ readonly repository: Repository; readonly deps: Deps }> {
  const repository = await store.repositories.ensure({ url: `https://forge.example/crashes-${count}.git`, branch: 'main', now: 1 });
  const deps = {
    store,
    nix: NIX as unknown as Deps['nix'],
    mirror: {} as Deps['mirror'],
    cache: anyCache(),
    statements: openStatementLog(logDir, silentLogger),
    releaseSigner: signerFromPem('release-1', generateKeyPem()),
    clock: systemClock,
    logger: silentLogger,
    rootsDir: join(dir, 'roots'),
    policyFloor: undefined,
  };
  return { repository, deps };
}

/** What the worker does until it is done, or dies. */
async function live(deps: Deps, repository: Repository): Promise<void> {
  const { store: revised } = deps;
  const next = async (): Promise<Revision | undefined> => await revised.revisions.nextUnfinished(repository.id);
  for (;;) {
    await publishHandovers(deps, repository.id, signal, () => undefined);
    const revision = await next();
    if (revision === undefined) return;
    if (revision.state === 'RECEIVED') {
      await deps.statements.noteSequence(revision.sequence);
      await revised.revisions.advance(revision.id, 'accepted', 1);
    } else if (revision.state === 'VERIFYING') await revised.revisions.advance(revision.id, 'verified', 1);
    else if (revision.state === 'EVALUATING') {
      expect((await compareHandover(deps, revision)).kind).toBe('evaluated');
      await revised.revisions.advance(revision.id, 'evaluated', 1);
    } else await releaseHosts(deps, repository, asCleared(revision), await readHandover(deps, revision));
  }
}

const anyDeath = fc.record({ calls: fc.integer({ min: 0, max: 25 }), isAfter: fc.boolean() });

test('however often it dies, each file is one revision, in order, with one statement for each of its hosts', async () => {
  let died = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyDeath, { maxLength: 8 }), fc.integer({ min: 1, max: 3 }), async (left, files) => {
      count += 1;
      const logDir = await mkdtemp(join(dir, 'log-'));
      const { repository, deps } = await begin(logDir);
      const hosts = ['a', 'b', 'c'].map((name) => `${name}-${count}` as HostName);
      await store.hosts.ensure(repository.id, hosts);
      const path = (host: string, file: number): StorePath =>
        `/nix/store/${createHash('sha256').update(`${host} ${file}`).digest('hex').slice(0, 32)}-${host}` as StorePath;
      for (let file = 0; file < files; file += 1) {
        const contentHash = createHash('sha256').update(`${count} ${file}`).digest('hex');
        const systems = new Map(hosts.slice(0, file + 1).map((host) => [host, path(host, file)]));
        await store.handovers.request({ repositoryId: repository.id, contentHash, by: 'ci', person: 'ci', at: Date.now() + file, systems });
      }
      const deaths: Deaths = { left, isDead: false };
      const dying = { ...deps, store: mortal(store, deaths), nix: mortal(deps.nix, deaths), statements: mortal(deps.statements, deaths) };
      const lives = left.length + 1;
      for (let lived = 0; lived < lives; lived += 1) {
        deaths.isDead = false;
        try {
          await live(dying, repository);
          break;
        } catch (error) {
          if (!(error instanceof Killed)) throw error;
          died += 1;
        }
      }
      await live(deps, repository);

      const revisions = (await store.revisions.list(repository.id, 100)).toReversed().map(({ revision }) => revision);
      expect(revisions.map(({ sequence, state }) => [sequence, state])).toEqual(revisions.map((_, index) => [index + 1, 'PUBLISHED']));
      expect(revisions.length).toBe(files);
      const released = new Map((await store.releases.latest(repository.id)).map(({ host, toplevel }) => [host, toplevel]));
      expect(released).toEqual(new Map(hosts.slice(0, files).map((host) => [host, path(host, files - 1)])));
      const statements = (await readdir(logDir, { recursive: true })).filter((name) => hosts.some((host) => name.includes(host)));
      expect(new Set(statements).size).toBe(statements.length);
      const ofFiles = (files * (files + 1)) / 2;
      expect(statements.filter((name) => name.endsWith('.json')).length).toBe(ofFiles);
    }),
    { numRuns: Math.max(30, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
  );
  expect(died).toBeGreaterThan(10);
});
