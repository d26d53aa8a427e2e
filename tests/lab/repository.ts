import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { ISOLATED_GIT_ENV } from '@floe/testkit';

/** A bare repository whose one commit on main has these files. */
export async function createRepository(bare: string, work: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(work, path)), { recursive: true });
    await writeFile(join(work, path), content, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
  }
  const git = async (...args: string[]): Promise<void> => {
    const result = await execInTest('git', args, { env: { ...process.env, ...ISOLATED_GIT_ENV } });
    if (result.exitCode !== 0) throw new Error(result.stderr);
  };
  await git('init', '-q', '-b', 'main', work);
  await git('-C', work, 'add', '-A');
  await git('-C', work, 'commit', '-q', '-m', 'fleet');
  await git('clone', '-q', '--bare', work, bare);
}
