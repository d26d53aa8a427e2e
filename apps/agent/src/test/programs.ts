import { access, mkdir, symlink } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/**
 * Fills `dir` with the named programs of this machine, and returns a PATH of it alone: a test that has fake programs beside them finds no other
 * ones, whatever is installed here.
 */
export async function pathWithOnly(dir: string, names: readonly string[]): Promise<string> {
  await mkdir(dir, { recursive: true });
  for (const name of names) await symlink(await placeOf(name), join(dir, name));
  return dir;
}

async function placeOf(name: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(`the tests need the program ${name}`);
}
