import { open, readFile, rm } from 'node:fs/promises';
import { FloeError } from '@floe/runtime';

/**
 * A running process and no other: its id, when it started, and in which boot. An id alone comes again after a reboot,
 * and would keep the server from starting. Undefined when there is no such process.
 */
async function identityOf(pid: string): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22 (proc_pid_stat(5)), counted behind the program's name, which may hold anything.
    const startedAt = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${pid} ${startedAt} ${(await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()}`;
  } catch {
    return undefined;
  }
}

/**
 * Keeps a second process out of an embedded database's folder: PGlite does not, and two writers destroy it. The lock
 * lies beside the folder; one of a process that is gone is taken over. Throws `FloeError('STORE_IN_USE')`. Where there is
 * no /proc there is no lock.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const own = await identityOf(String(process.pid));
  if (own === undefined) return { [Symbol.asyncDispose]: async () => await Promise.resolve() };
  const path = `${folder.replace(/\/+$/, '')}.lock`;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(own);
      await file.close();
      return { [Symbol.asyncDispose]: async () => await rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readFile(path, 'utf8').catch(() => '');
    if (holder !== '' && (await identityOf(holder.split(' ')[0] ?? '')) === holder) break;
    await rm(path, { force: true });
  }
  throw new FloeError('STORE_IN_USE', `another process uses the database in ${folder}: stop it, or use Postgres to share one`, { data: { folder } });
}
