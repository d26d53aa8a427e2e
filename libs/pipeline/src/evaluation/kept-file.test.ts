import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, Look, StorePath } from '@floe/model';
import { createLogger, silentLogger, type Logger } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Footprints } from './footprints.ts';
import { Traces, type HostTraced } from './traces.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-kept-'));
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

const ada = 'ada' as HostName;
const bob = 'bob' as HostName;
const TRACED: HostTraced = {
  sha: 'a'.repeat(40) as CommitSha,
  settings: '["","commit"]',
  answer: {
    drvPath: '/nix/store/x.drv',
    toplevel: `/nix/store/${'a'.repeat(32)}-x` as StorePath,
    system: 'x86_64-linux',
    labels: ['role=dns'],
    ring: undefined,
    formerHost: undefined,
    timeZone: undefined,
  },
  usesSelf: false,
  looks: new Set<Look>(['read flake.nix', 'kind ä\n"', 'list .']),
  isCarried: true,
  auditedAt: 7,
};

interface Kind {
  readonly name: string;
  /** Something in the file, which must be there before. */
  readonly write: (file: string, logger?: Logger) => Promise<void>;
  /** What is known by a file, as text; '' : nothing. */
  readonly read: (file: string, logger?: Logger) => Promise<string>;
}
const KINDS: readonly Kind[] = [
  {
    name: 'traces',
    async write(file, logger = silentLogger) {
      const traces = await Traces.open(file, logger);
      traces.set(ada, TRACED);
      traces.set(bob, { ...TRACED, looks: new Set<Look>(['read flake.nix', 'read b']) });
      await traces.save();
    },
    async read(file, logger = silentLogger) {
      const traces = await Traces.open(file, logger);
      return [ada, bob]
        .flatMap((host) => traces.get(host) ?? [])
        .map(({ looks, ...rest }) => JSON.stringify({ ...rest, looks: [...looks] }))
        .join('\n');
    },
  },
  {
    name: 'footprints',
    async write(file, logger = silentLogger) {
      const footprints = await Footprints.open(file, logger);
      footprints.note(ada, { imported: ['flake.nix', 'ä\n"'] });
      footprints.note(bob, { imported: ['flake.nix', 'b'] });
      await footprints.save();
    },
    async read(file, logger = silentLogger) {
      const footprints = await Footprints.open(file, logger);
      return ['flake.nix', 'ä\n"', 'b'].flatMap((path) => [...footprints.nearness([path])].map((near) => `${path} ${near.join(' ')}`)).join('\n');
    },
  },
];

/** What becomes of the bytes of a file. */
const damage = fc.oneof(
  fc.nat().map((at) => (bytes: Buffer) => bytes.subarray(0, at % bytes.length)),
  fc.record({ at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) }).map(({ at, by }) => (bytes: Buffer) => {
    const other = Buffer.from(bytes);
    other[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ by;
    return other;
  }),
  fc.nat().map((at) => (bytes: Buffer) => Buffer.concat([bytes.subarray(0, at % bytes.length), Buffer.alloc(bytes.length - (at % bytes.length))])),
  fc.record({ from: fc.nat(), count: fc.integer({ min: 1, max: 40 }) }).map(({ from, count }) => (bytes: Buffer) => {
    const at = from % bytes.length;
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]);
  }),
  fc.json().map((text) => () => Buffer.from(text)),
);

test.each(KINDS)('of a damaged file of $name all is known as before, or nothing, and it is recorded again', async ({ name, write, read }) => {
  const [whole, damaged] = [join(dir, name), join(dir, `${name}-damaged`)];
  await write(whole);
  const known = await read(whole);
  expect(known).not.toBe('');
  const bytes = await readFile(whole);
  await fc.assert(
    fc.asyncProperty(damage, async (by) => {
      await writeFile(damaged, by(bytes));
      expect(['', known]).toContain(await read(damaged));
      await write(damaged);
      expect(await read(damaged)).toBe(known);
    }),
    { numRuns: 60 },
  );
});

test.each(KINDS)('of a file of $name that cannot be read, nothing is known, and the log says why', async ({ name, write, read }) => {
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => void lines.push(line), now: () => 1 });
  const file = join(dir, `${name}-folder`);
  expect(await read(file, logger)).toBe('');
  expect(lines).toEqual([]);
  await mkdir(file);
  expect(await read(file, logger)).toBe('');
  await write(file, logger);
  expect(lines.join('')).toMatch(/cannot be read.*EISDIR/);
  expect(lines.join('')).toMatch(/keeping the (traces|footprints) of evaluations/);
});
