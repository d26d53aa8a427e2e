import { lutimes, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { expect, test } from 'vitest';
import { buildRoot, tidyBuildRoots } from './build-roots.ts';

test('the newest systems of a host are kept, whatever their names; those of other hosts are not touched', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-roots-'));
  try {
    const [ada, adaTwo] = ['ada', 'ada-2'] as HostName[];
    if (ada === undefined || adaTwo === undefined) throw new Error('unreachable');
    const made = async (host: HostName, name: string, madeAt: number): Promise<void> => {
      const root = buildRoot(dir, host, `/nix/store/${name}` as StorePath);
      await mkdir(dirname(root), { recursive: true });
      await symlink(`/nix/store/${name}`, root);
      await lutimes(root, madeAt, madeAt);
    };
    for (const [name, madeAt] of [
      ['d', 4],
      ['a', 5],
      ['c', 1],
      ['e', 2],
      ['b', 3],
    ] as const)
      await made(ada, name, madeAt);
    await made(adaTwo, 'z', 0);
    await tidyBuildRoots(dir, ada);
    expect((await readdir(join(dir, 'ada'))).toSorted()).toEqual(['a', 'b', 'd']);
    expect(await readdir(join(dir, 'ada-2'))).toEqual(['z']);
  } finally {
    await rm(dir, { recursive: true });
  }
});
