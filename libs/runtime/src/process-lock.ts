import { open, readFile, rm } from 'node:fs/promises';

/** The kernel's name of this boot. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** A running process and no other: its id, when it started, and in which boot; an id alone comes again after a reboot. */
async function identityOf(pid: string): Promise<string | undefined> {
  try {
    const [stat, bootId] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readBootId()]);
    // Field 22 (proc_pid_stat(5)), counted behind the program's name, which may hold anything.
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''} ${bootId}`;
  } catch {
    return undefined;
  }
}

export type ProcessLock =
  | { readonly kind: 'taken'; readonly lock: AsyncDisposable }
  /** A running process has it. */
  | { readonly kind: 'held'; readonly pid: string };

/**
 * Takes the lock file at `path` for this process until it is disposed. A lock of a process that is gone is taken over.
 * Where there is no /proc there is no lock: it is always taken.
 */
export async function takeProcessLock(path: string): Promise<ProcessLock> {
  const own = await identityOf(String(process.pid));
  if (own === undefined) return { kind: 'taken', lock: { [Symbol.asyncDispose]: async () => await Promise.resolve() } };
  for (;;) {
    try {
      const file = await open(path, 'wx', 0o600);
      try {
        await file.writeFile(own);
      } finally {
        await file.close();
      }
      return { kind: 'taken', lock: { [Symbol.asyncDispose]: async () => await rm(path, { force: true }) } };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readFile(path, 'utf8').catch(() => '');
    const pid = holder.split(' ')[0] ?? '';
    if (holder !== '' && (await identityOf(pid)) === holder) return { kind: 'held', pid };
    await rm(path, { force: true });
  }
}
