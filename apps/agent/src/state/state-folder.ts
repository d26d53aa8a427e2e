import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, processOf, takeProcessLock, type Logger, type ProcessLock } from '@floe/runtime';

/** What a disk says that is full, that was made read-only after an error, or that is broken. */
const TAKES_NOTHING: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO']);

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
    throw new FloeError('STATE_UNWRITABLE', `the state folder ${dir} cannot be made: run floe-agent as root, or with --root DIR`, {
      data: { dir },
      cause,
    });
  }
}

/**
 * Keeps a second agent off this state. A disk that takes nothing is no
 * reason not to start: systemd starts one agent only, and one that runs can say what is wrong.
 * Throws `FloeError('AGENT_RUNNING')`.
 */
export async function lockState(paths: StatePaths, { logger, take = takeProcessLock }: LockDeps): Promise<AsyncDisposable> {
  let taken: ProcessLock;
  try {
    taken = await take(paths.lock);
  } catch (error) {
    if (!TAKES_NOTHING.has((error as NodeJS.ErrnoException).code)) throw error;
    logger.error('the state folder cannot be written: make room; the agent goes on without a lock, and changes nothing before there is', {
      dir: paths.dir,
      error,
    });
    return { [Symbol.asyncDispose]: async () => await Promise.resolve() };
  }
  if (taken.kind === 'taken') return taken.lock;
  throw new FloeError('AGENT_RUNNING', `another floe-agent${processOf(taken)} runs on ${paths.dir}: stop it first`, {
    data: { pid: taken.pid, dir: paths.dir },
  });
}

interface LockDeps {
  readonly logger: Logger;
  readonly take?: typeof takeProcessLock;
}
