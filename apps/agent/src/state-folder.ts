import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError } from '@floe/runtime';

/** Where things lie in the state folder. */
export interface StatePaths {
  readonly dir: string;
  readonly key: string;
  readonly enrolment: string;
  readonly journal: string;
  readonly reports: string;
  readonly lock: string;
  /** GC roots of what an activation needs. */
  readonly roots: string;
  /** What Nix remembers of caches; may be lost. */
  readonly cache: string;
}

export function statePaths(dir: string): StatePaths {
  return {
    dir,
    key: join(dir, 'host-key.pem'),
    enrolment: join(dir, 'enrolment.json'),
    journal: join(dir, 'journal.json'),
    reports: join(dir, 'reports.jsonl'),
    lock: join(dir, 'lock'),
    roots: join(dir, 'roots'),
    cache: join(dir, 'cache'),
  };
}

/** Makes the folder; only its owner may look into it. Throws `FloeError('STATE_UNWRITABLE')`. */
export async function makeStateFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new FloeError('STATE_UNWRITABLE', `the state folder ${dir} cannot be made: run floe-agent as root, or with --root DIR`, { data: { dir }, cause });
  }
}

/** A process and no other: its id, when it started and in which boot; an id alone comes again after a reboot. */
async function identityOf(pid: string): Promise<string | undefined> {
  try {
    const [stat, bootId] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readBootId()]);
    // Field 22 (proc_pid_stat(5)), counted behind the program's name, which may hold anything.
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''} ${bootId}`;
  } catch {
    return undefined;
  }
}

/** The kernel's name of this boot. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/**
 * Keeps a second agent off this state. The lock of a process that is gone is taken over.
 * Throws `FloeError('AGENT_RUNNING')`.
 */
export async function lockState(paths: StatePaths): Promise<AsyncDisposable> {
  const own = await identityOf(String(process.pid));
  let holder = '';
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const file = await open(paths.lock, 'wx', 0o600);
      await file.writeFile(own ?? '');
      await file.close();
      return { [Symbol.asyncDispose]: async () => await rm(paths.lock, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    holder = await readFile(paths.lock, 'utf8').catch(() => '');
    if (holder !== '' && (await identityOf(holder.split(' ')[0] ?? '')) === holder) break;
    await rm(paths.lock, { force: true });
  }
  const pid = holder.split(' ')[0] ?? '';
  throw new FloeError('AGENT_RUNNING', `another floe-agent (process ${pid}) runs on ${paths.dir}: stop it first`, { data: { pid, dir: paths.dir } });
}
