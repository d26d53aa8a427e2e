import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CacheFolder, GRACE_MS, type Collected } from './cache-folder.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-cache-'));
  await mkdir(join(dir, 'nar'));
});
afterEach(async () => await rm(dir, { recursive: true, force: true }));

const START = 1_000 * GRACE_MS;
const hashOf = (n: number): string => `${n}`.padStart(32, '0');
const pathOf = (n: number): StorePath => `/nix/store/${hashOf(n)}-system${n}` as StorePath;
/** Some paths have the same content. */
const archiveOf = (n: number): string => `nar/${`${n % 7}`.padStart(52, '0')}.nar.zst`;
/** Each path refers to some of those before it, and some to themselves. */
const referencesOf = (n: number): number[] => [n - 1, n - 3, ...(n % 4 === 0 ? [n] : [])].filter((each) => each >= 0);

function closureOf(top: number): number[] {
  const below = referencesOf(top).filter((each) => each !== top);
  return [...new Set([...below.flatMap(closureOf), top])].toSorted((left, right) => left - right);
}

function narinfo(n: number): string {
  const references = referencesOf(n).map((each) => `${hashOf(each)}-system${each}`);
  return `StorePath: ${pathOf(n)}\nURL: ${archiveOf(n)}\nCompression: zstd\nNarHash: sha256:${'0'.repeat(52)}\nNarSize: 100\nReferences: ${references.join(' ')}\nSig: a:b\n`;
}

let writes = 0;
async function write(name: string, text: string, at: number): Promise<void> {
  writes += 1;
  const path = join(dir, `${name}.tmp.1.${writes}`);
  await writeFile(path, text);
  await utimes(path, at / 1000, at / 1000);
  await rename(path, join(dir, name));
}

/** As `nix copy` does: looks at all that the closure has first, then writes what is missing, each path after what it refers to, its archive first. */
async function copy(top: number, at: number, step: () => Promise<void> = async () => await Promise.resolve()): Promise<void> {
  const missing = closureOf(top).filter((n) => !existsSync(join(dir, `${hashOf(n)}.narinfo`)));
  for (const n of missing) {
    await step();
    const isThere = existsSync(join(dir, archiveOf(n)));
    await step();
    if (!isThere) await write(archiveOf(n), 'archive', at);
    await step();
    await write(`${hashOf(n)}.narinfo`, narinfo(n), at);
  }
  await step();
}

/** What a reader finds wrong with a path of the cache; undefined: all of it is there. */
function flaw(n: number): string | undefined {
  for (const each of closureOf(n)) {
    if (!existsSync(join(dir, `${hashOf(each)}.narinfo`))) return `the closure of ${n} lacks ${each}`;
    if (!existsSync(join(dir, archiveOf(each)))) return `${each} has no archive`;
  }
  return undefined;
}

function there(): number[] {
  const names = readdirSync(dir);
  return names.filter((name) => name.endsWith('.narinfo')).map((name) => Number(name.slice(0, 32)));
}

const signal = new AbortController().signal;

async function collect(
  needed: readonly number[],
  at: number,
  options: { unusedForMs?: number; maxBytes?: number; isDryRun?: boolean } = {},
): Promise<Collected> {
  return await new CacheFolder(dir, () => at).collect({
    needed: async () => await Promise.resolve(needed.map(pathOf)),
    unusedForMs: 0,
    isDryRun: false,
    patience: signal,
    signal,
    ...options,
  });
}

class Killed extends Error {}

/** `needs`: a host needs the system once it is published. `leaves`: and later nobody does. */
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('publish' as const), top: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin' as const), top: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), top: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('collect' as const), maxBytes: fc.option(fc.nat(60), { nil: undefined }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'kill' as const }) },
);
/** In each phase all of it happens at once, in any order; then some time passes. */
const phases = fc.array(
  fc.record({ commands: fc.array(command, { minLength: 1, maxLength: 7 }), laterMs: fc.constantFrom(GRACE_MS / 2, 2 * GRACE_MS) }),
  {
    minLength: 1,
    maxLength: 5,
  },
);

test('whatever is published, removed, read, pinned and killed at once: what is needed is whole at every moment', async () => {
  const base = dir;
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.subarray([2, 5, 9]), fc.integer({ min: 1, max: 30 }), phases, async (scheduler, before, slowness, plan) => {
      runs += 1;
      dir = join(base, `run${runs}`);
      await mkdir(join(dir, 'nar'), { recursive: true });
      let now = START;
      // Some of it is there, and nobody needs it any more.
      for (const n of before) await copy(n, START - 9 * GRACE_MS);
      /** Grows with each kill: what an earlier process began does not go on. */
      let process = 0;
      const needed = new Set<number>();
      /** Whoever publishes or pins has been told that it is there. */
      const promised = new Map<number, number>();
      const wrong: string[] = [];

      /** Somebody else may be next; and a reader looks. */
      async function step(mine: number): Promise<void> {
        await scheduler.schedule(Promise.resolve());
        if (mine !== process) throw new Killed();
        for (const n of [...needed, ...promised.keys()]) wrong.push(...[flaw(n)].filter((each) => each !== undefined));
        const flaws = there().map((n) => [n, flaw(n)] as const);
        // What was just being removed is gone now, and a reader is told so.
        const left = new Set(there());
        wrong.push(...flaws.flatMap(([n, what]) => (what === undefined || !left.has(n) ? [] : [what])));
      }
      function open(): { readonly folder: CacheFolder; readonly mine: number } {
        const mine = process;
        const files = {
          remove: async (path: string) => {
            await step(mine);
            await rm(path, { force: true });
          },
          touch: async (path: string, time: Date) => {
            await step(mine);
            await utimes(path, time, time);
          },
          sync: async () => await step(mine),
        };
        return { folder: new CacheFolder(dir, () => now, files), mine };
      }
      let server = open();
      /** Between the word that it is there and that it is needed something may pass. */
      async function need(top: number, mine: number): Promise<void> {
        promised.set(top, (promised.get(top) ?? 0) + 1);
        try {
          for (let others = 0; others < slowness; others += 1) await step(mine);
          needed.add(top);
        } finally {
          const left = (promised.get(top) ?? 1) - 1;
          if (left === 0) promised.delete(top);
          else promised.set(top, left);
        }
      }
      async function run(each: typeof command extends fc.Arbitrary<infer Each> ? Each : never): Promise<void> {
        const { folder, mine } = server;
        await step(mine);
        if (each.kind === 'publish') {
          await folder.publishing([pathOf(each.top)], async () => await copy(each.top, now, async () => await step(mine)));
          await need(each.top, mine);
        } else if (each.kind === 'pin') {
          if (await folder.keep(pathOf(each.top))) await need(each.top, mine);
        } else if (each.kind === 'leave') needed.delete(each.top);
        else if (each.kind === 'kill') {
          process += 1;
          server = open();
        } else
          await folder.collect({
            needed: async () => {
              await step(mine);
              return [...needed].map(pathOf);
            },
            unusedForMs: 0,
            maxBytes: each.maxBytes,
            isDryRun: false,
            patience: signal,
            signal,
          });
      }
      for (const { commands, laterMs } of plan) {
        const running = commands.map(async (each) => {
          try {
            await run(each);
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
          }
        });
        const all = Promise.allSettled(running);
        const progress = { isOver: false };
        const over = all.finally(() => {
          progress.isOver = true;
        });
        while (!progress.isOver) {
          // All get to where they wait for their turn, or for each other.
          for (let turns = 0; turns < 20; turns += 1) await setImmediate();
          if (scheduler.count() > 0) await scheduler.waitOne();
        }
        for (const each of await over) if (each.status === 'rejected') throw each.reason;
        expect(wrong).toEqual([]);
        now += laterMs;
      }
      // Afterwards what nobody needs is gone, also what was left behind.
      now += 2 * GRACE_MS;
      const result = await collect([...needed], now);
      expect(result).toMatchObject({ incomplete: [], unreadable: [] });
      expect(there().toSorted((left, right) => left - right)).toEqual(
        [...new Set([...needed].flatMap(closureOf))].toSorted((left, right) => left - right),
      );
      expect(new Set(await readdir(join(dir, 'nar')))).toEqual(new Set([...needed].flatMap(closureOf).map((n) => archiveOf(n).slice(4))));
    }),
    { numRuns: 40 },
  );
  await rm(base, { recursive: true, force: true });
});

describe('what a removal says', () => {
  test('what goes and how much it takes, and a dry run the same without removing anything', async () => {
    await copy(4, START);
    await copy(9, START - 5 * GRACE_MS);
    const dry = await collect([4], START + 2 * GRACE_MS, { isDryRun: true });
    expect(there()).toHaveLength(10);
    // 7, 8 and 9 have archives of their own number modulo 7: those of 0, 1 and 2 stay for these.
    expect(dry).toMatchObject({
      removed: [9, 8, 7, 6, 5].map((n) => ({ storePath: pathOf(n), bytes: n >= 7 ? 0 : 7, usedAt: START - 5 * GRACE_MS })),
      removedBytes: 14,
      kept: 5,
      keptBytes: 35,
      needed: 5,
    });
    expect(await collect([4], START + 2 * GRACE_MS)).toEqual(dry);
    expect(new Set(there())).toEqual(new Set([0, 1, 2, 3, 4]));
  });

  test('what was needed until lately is young, however long ago it was published', async () => {
    await copy(3, START);
    await collect([3], START + 50 * GRACE_MS, { unusedForMs: 10 * GRACE_MS });
    expect(await collect([], START + 55 * GRACE_MS, { unusedForMs: 10 * GRACE_MS })).toMatchObject({ removed: [] });
    expect((await collect([], START + 61 * GRACE_MS, { unusedForMs: 10 * GRACE_MS })).removed).toHaveLength(4);
  });

  test('files that no path has go once they are old: of a publication that was killed', async () => {
    await copy(0, START);
    const killed = [`nar/${'9'.repeat(52)}.nar.zst`, `nar/${'8'.repeat(52)}.nar.zst.tmp.12.3`, `${'7'.repeat(32)}.narinfo.tmp.12.4`];
    for (const name of killed) await writeFile(join(dir, name), 'half');
    const old = START - 2 * GRACE_MS;
    for (const name of killed) await utimes(join(dir, name), old / 1000, old / 1000);
    await write(`nar/${'6'.repeat(52)}.nar.zst`, 'young', START);
    for (const name of ['nix-cache-info', 'notes.txt']) await write(name, 'of others', old);
    expect(await collect([0], START)).toMatchObject({ removed: [], leftovers: 3, leftoverBytes: 12 });
    expect((await readdir(dir)).toSorted()).toEqual([`${hashOf(0)}.narinfo`, 'nar', 'nix-cache-info', 'notes.txt'].toSorted());
    expect(await readdir(join(dir, 'nar'))).toHaveLength(2);
  });

  test('a narinfo that cannot be read is named and stays, and no file goes that may be its own', async () => {
    await copy(1, START - 9 * GRACE_MS);
    for (const torn of ['', narinfo(1).slice(0, 40), narinfo(1).replace(/^References.*\n/m, ''), narinfo(2), narinfo(1).trimEnd()]) {
      await write(`${hashOf(1)}.narinfo`, torn, START - 9 * GRACE_MS);
      expect(await collect([], START)).toMatchObject({
        removed: torn === '' ? [{ storePath: pathOf(0) }] : [],
        unreadable: [`${hashOf(1)}.narinfo`],
        leftovers: 0,
      });
      expect(await readFile(join(dir, archiveOf(1)), 'utf8')).toBe('archive');
    }
  });

  test('what is needed and not whole is named', async () => {
    await copy(5, START);
    await rm(join(dir, archiveOf(2)));
    await rm(join(dir, `${hashOf(1)}.narinfo`));
    expect(await collect([5, 9], START + 2 * GRACE_MS)).toMatchObject({ incomplete: [2, 4].map(pathOf) });
  });

  test('nothing is removed while something is published, nor does that wait for it', async () => {
    const folder = new CacheFolder(dir, () => START);
    await copy(2, START - 9 * GRACE_MS);
    const impatient = AbortSignal.abort();
    const published = folder.publishing([pathOf(2)], async () => {
      const collected = folder.collect({
        needed: async () => await Promise.resolve([]),
        unusedForMs: 0,
        isDryRun: false,
        patience: impatient,
        signal,
      });
      await expect(collected).rejects.toMatchObject({ code: 'CACHE_BUSY', retryable: true });
      return await folder.keep(pathOf(2));
    });
    expect(await published).toBe(true);
    expect(await folder.keep(pathOf(5))).toBe(false);
  });

  test('a folder that is not there yet is empty', async () => {
    await rm(dir, { recursive: true });
    expect(await collect([1], START)).toMatchObject({ removed: [], kept: 0, incomplete: [] });
  });
});

test('who removes asks whether it is still its turn before each part: what another process has just published stays whole', async () => {
  await copy(9, START - 9 * GRACE_MS);
  const [former, next] = [new CacheFolder(dir, () => START), new CacheFolder(dir, () => START)];
  let turn = former;
  const lost = new FloeError('LEASE_LOST', 'another builder works on the repository', { retryable: true });
  const collecting = former.collect({
    // The other one takes over, and finds what a system needs in the cache: its copy leaves that out.
    needed: async () => {
      turn = next;
      await next.publishing([pathOf(9)], async () => await copy(9, START));
      return [];
    },
    async confirm() {
      if (turn !== former) throw lost;
      await Promise.resolve();
    },
    unusedForMs: GRACE_MS,
    isDryRun: false,
    patience: signal,
    signal,
  });
  await expect(collecting).rejects.toBe(lost);
  expect(flaw(9)).toBeUndefined();
  const whoseTurn = async (): Promise<void> => await Promise.resolve();
  const collected = await next.collect({
    needed: async () => [],
    confirm: whoseTurn,
    unusedForMs: GRACE_MS,
    isDryRun: false,
    patience: signal,
    signal,
  });
  expect(collected.removed).toEqual([]);
});
