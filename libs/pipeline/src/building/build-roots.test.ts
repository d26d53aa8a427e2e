import { lutimes, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import type { Fleet, FleetHost, HostRow } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildRoot, tidyBuildRoots, tidyFormerRoots } from './build-roots.ts';

const ADA = 'ada' as HostName;
const ADA_2 = 'ada-2' as HostName;
const pathOf = (name: string): StorePath => `/nix/store/${name}` as StorePath;

/** Each way in which a host may need a system. */
const NEEDS = {
  runs: (path) => ({ row: { observed: { current: path } } }),
  starts: (path) => ({ row: { observed: { booted: path } } }),
  'has as its default': (path) => ({ row: { observed: { profile: { toplevel: path } } } }),
  'is at work on': (path) => ({ row: { stateToplevel: path } }),
  'went for': (path) => ({ row: { went: { toplevel: path } } }),
  'was told': (path) => ({ row: { desired: { toplevel: path } } }),
  'was told before': (path) => ({ situation: { directed: { toplevel: path } } }),
  tries: (path) => ({ situation: { trial: { toplevel: path } } }),
  'is pinned to': (path) => ({ situation: { pin: { toplevel: path } } }),
  'is held on': (path) => ({ situation: { hold: { toplevel: path } } }),
  'gets with the rollout': (path) => ({ situation: { rollout: { toplevel: path } } }),
  'has as stable': (path) => ({ situation: { stable: { toplevel: path } } }),
  'has to run first': (path) => ({ situation: { stone: { toplevel: path } } }),
} satisfies Record<string, (path: StorePath) => { readonly row?: object; readonly situation?: object }>;

/** The host's facts, as far as they name systems. */
function hostThatNeeds(host: HostName, needs: readonly { readonly row?: object; readonly situation?: object }[]): FleetHost {
  const observed = Object.assign({ current: null, booted: null, profile: null }, ...needs.map(({ row }) => (row as { observed?: object })?.observed));
  return {
    row: { ...Object.assign({ host }, ...needs.map(({ row }) => row)), observed },
    situation: Object.assign({}, ...needs.map(({ situation }) => situation)),
  } as FleetHost;
}

async function rootsAfter(names: readonly string[], host: FleetHost): Promise<{ readonly ada: string[]; readonly other: string[] }> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-roots-'));
  try {
    const made = async (of: HostName, name: string, madeAt: number): Promise<void> => {
      const root = buildRoot(dir, of, pathOf(name));
      await mkdir(dirname(root), { recursive: true });
      await symlink(pathOf(name), root);
      await lutimes(root, madeAt, madeAt);
    };
    for (const [index, name] of names.entries()) await made(ADA, name, names.length - index);
    await made(ADA_2, 'z', 0);
    const fleet = async (): Promise<Fleet> => await Promise.resolve({ rollout: undefined, hosts: [host] });
    await tidyBuildRoots({ hosts: { fleet } }, dir, 'repository', [ADA]);
    return { ada: (await readdir(join(dir, ADA))).toSorted(), other: await readdir(join(dir, ADA_2)) };
  } finally {
    await rm(dir, { recursive: true });
  }
}

test('the newest systems of a host are kept, whatever their names; those of other hosts are not touched', async () => {
  expect(await rootsAfter(['a', 'd', 'b', 'e', 'c'], hostThatNeeds(ADA, []))).toEqual({ ada: ['a', 'b', 'd'], other: ['z'] });
});

test.each(Object.entries(NEEDS))('a system that the host %s is kept, however old it is', async (_, need) => {
  expect((await rootsAfter(['a', 'b', 'c', 'd', 'e'], hostThatNeeds(ADA, [need(pathOf('e'))]))).ada).toEqual(['a', 'b', 'c', 'e']);
});

test('whatever a host needs, exactly that and its newest systems are kept', async () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{4,6}$/), { minLength: 1, maxLength: 9 });
  const needs = fc.dictionary(fc.constantFrom(...(Object.keys(NEEDS) as (keyof typeof NEEDS)[])), fc.nat(8), { maxKeys: 5 });
  await fc.assert(
    fc.asyncProperty(names, needs, async (built, needed) => {
      const known = Object.entries(needed).filter(([, index]) => index < built.length) as [keyof typeof NEEDS, number][];
      const host = hostThatNeeds(
        ADA,
        known.map(([need, index]) => NEEDS[need](pathOf(built[index] ?? ''))),
      );
      const expected = new Set<string>([...built.slice(0, 3), ...known.flatMap(([, index]) => built[index] ?? [])]);
      expect((await rootsAfter(built, host)).ada).toEqual([...expected].toSorted());
    }),
    { numRuns: 40 },
  );
});

test('after a rename the folder of the earlier name keeps only what the machine needs, and nothing is removed before', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-roots-'));
  try {
    for (const made of ['a', 'b', 'c']) {
      const root = buildRoot(dir, ADA, pathOf(made));
      await mkdir(dirname(root), { recursive: true });
      await symlink(pathOf(made), root);
    }
    const host = hostThatNeeds(ADA_2, [NEEDS.runs(pathOf('b'))]);
    const tidy = async (renamedTo: HostName | undefined, others: readonly FleetHost[] = []): Promise<string[]> => {
      const fleet = async (): Promise<Fleet> => await Promise.resolve({ rollout: undefined, hosts: [host, ...others] });
      const renamed = async (): Promise<HostRow | undefined> =>
        await Promise.resolve(renamedTo === undefined ? undefined : ({ host: renamedTo } as HostRow));
      await tidyFormerRoots({ hosts: { fleet, renamed } }, dir, 'repository', [{ host: ADA_2, formerHost: ADA }]);
      return (await readdir(join(dir, ADA))).toSorted();
    };
    expect(await tidy(undefined)).toEqual(['a', 'b', 'c']);
    expect(await tidy('third' as HostName)).toEqual(['a', 'b', 'c']);
    expect(await tidy(ADA_2, [hostThatNeeds(ADA, [])])).toEqual(['a', 'b', 'c']);
    expect(await tidy(ADA_2)).toEqual(['b']);
  } finally {
    await rm(dir, { recursive: true });
  }
});
