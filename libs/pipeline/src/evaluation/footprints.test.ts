import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { silentLogger } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Footprints } from './footprints.ts';
import { writeKept } from './kept-file.ts';

let dir: string;
let files = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-footprints-'));
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

function newFile(): string {
  files += 1;
  return join(dir, `footprints-${files}.json`);
}

const host = fc.constantFrom('ada', 'bob', 'constructor', 'dan').map((name) => name as HostName);
const path = fc.oneof(fc.constantFrom('flake.nix', 'a', 'b/c', '__proto__', 'ä\n"'), fc.string());
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('note' as const), host, imported: fc.array(path, { maxLength: 6 }) }) },
  fc.record({ kind: fc.constant('keep-only' as const), hosts: fc.array(host) }),
  fc.constant({ kind: 'restart' as const }),
);

test('a host is the nearer to a change the fewer took the same file, whatever was noted, forgotten and restarted before', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.array(path, { maxLength: 4 }), async (steps, changed) => {
      const file = newFile();
      let footprints = await Footprints.open(file, silentLogger);
      const taken = new Map<HostName, ReadonlySet<string>>();
      for (const each of steps) {
        if (each.kind === 'note') {
          footprints.note(each.host, each);
          taken.set(each.host, new Set(each.imported));
        } else if (each.kind === 'keep-only') {
          footprints.keepOnly(each.hosts);
          for (const name of taken.keys()) if (!each.hosts.includes(name)) taken.delete(name);
        } else {
          await footprints.save();
          footprints = await Footprints.open(file, silentLogger);
        }
      }
      const expected = new Map<HostName, number>();
      for (const [name, own] of taken) {
        const shares = changed.filter((one) => own.has(one)).map((one) => 1 / [...taken.values()].filter((all) => all.has(one)).length);
        if (shares.length > 0) expected.set(name, Math.max(...shares));
      }
      expect(footprints.nearness(changed)).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test.each([[{ version: 2 }], [{ version: 1, paths: ['a'], hosts: [['a b', [0]]] }], [{ version: 1, paths: ['a'], hosts: [['ada', [-1]]] }]])(
  'a file of another shape is begun again: %j',
  async (value) => {
    const file = newFile();
    await writeKept(file, value);
    expect((await Footprints.open(file, silentLogger)).nearness(['a'])).toEqual(new Map());
  },
);

test('what no host takes any more is not kept', async () => {
  const file = newFile();
  const footprints = await Footprints.open(file, silentLogger);
  footprints.note('ada' as HostName, { imported: ['old', 'both'] });
  await footprints.save();
  footprints.note('ada' as HostName, { imported: ['new', 'both'] });
  await footprints.save();
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ version: 1, paths: ['both', 'new'], hosts: [['ada', [0, 1]]] });
});

test('10,000 changed files of a thousand hosts are looked up in a fraction of a second', async () => {
  const footprints = await Footprints.open(newFile(), silentLogger);
  const shared = Array.from({ length: 400 }, (_, index) => `modules/${index}.nix`);
  for (let index = 0; index < 1_000; index += 1) footprints.note(`host${index}` as HostName, { imported: [...shared, `hosts/${index}.nix`] });
  const changed = Array.from({ length: 10_000 }, (_, index) => `modules/${index}.nix`);
  const startedAt = performance.now();
  const near = footprints.nearness([...changed, 'hosts/7.nix']);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect(near.get('host7' as HostName)).toBe(1);
  expect(near.size).toBe(1_000);
});
