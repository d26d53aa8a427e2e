import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { expect, test } from 'vitest';

test('set-up refuses a node_modules that is a link, and leaves the folder behind it alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'floe-set-up-'));
  try {
    const [root, other] = [join(folder, 'clone'), join(folder, 'other')];
    for (const each of [join(root, '.tools'), join(other, 'package')]) await mkdir(each, { recursive: true });
    await writeFile(join(root, 'package-lock.json'), '{}');
    await symlink(other, join(root, 'node_modules'));
    const script = join(import.meta.dirname, '../bootstrap.sh');
    const { exitCode, stderr } = await execInTest('sh', ['-c', `root=$1; . "$2"; use_packages`, 'sh', root, script]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('remove the link');
    expect(await readdir(other)).toEqual(['package']);
  } finally {
    await rm(folder, { recursive: true });
  }
});
