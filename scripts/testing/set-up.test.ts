import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
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

/** An apt-get that notes whether services may be started, and ends so. */
async function installing(folder: string, status: number): Promise<number> {
  const bin = join(folder, 'bin');
  await mkdir(join(folder, '.tools'), { recursive: true });
  await mkdir(bin, { recursive: true });
  const policy = join(folder, 'policy-rc.d');
  const aptGet = `#!/bin/sh\n[ "$2" = --simulate ] && exit 0\n"${policy}"; echo $? >"${folder}/asked"\nexit ${status}\n`;
  await writeFile(join(bin, 'apt-get'), aptGet, { mode: 0o755 });
  await writeFile(join(bin, 'id'), '#!/bin/sh\necho 0\n', { mode: 0o755 });
  const script = join(import.meta.dirname, '../bootstrap.sh');
  const run = 'root=$1; PATH="$1/bin:$PATH"; services_policy=$1/policy-rc.d; . "$2"; use_debian some-server; echo went on';
  const { exitCode } = await execInTest('sh', ['-euc', run, 'sh', folder, script]);
  return exitCode;
}

test('what set-up installs starts no service, and the machine’s own policy is back afterwards, also when it fails', async () => {
  for (const status of [0, 100]) {
    const folder = await mkdtemp(join(tmpdir(), 'floe-set-up-'));
    try {
      expect(await installing(folder, status)).toBe(status);
      expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('101\n');
      expect(await readdir(folder)).not.toContain('policy-rc.d');
      await writeFile(join(folder, 'policy-rc.d'), '#!/bin/sh\nexit 7\n', { mode: 0o755 });
      await installing(folder, status);
      expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('7\n');
      expect(await readdir(folder)).toContain('policy-rc.d');
    } finally {
      await rm(folder, { recursive: true });
    }
  }
});
