import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, processOf, takeProcessLock, type Logger, type ProcessLock } from '@floe/runtime';

/** Errors of a disk that is full, read-only after an error, or broken. */
const DISK_ERRORS: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO']);

/** The files of the state folder. */
export interface StatePaths {
  readonly dir: string;
  readonly key: string;
  readonly enrolment: string;
  readonly journal: string;
  readonly reports: string;
  /** Which commits the systems were released with that this machine was told to run. */
  readonly releases: string;
  readonly lock: string;
  /** GC roots of what an activation needs. */
  readonly roots: string;
  /** Nix's own cache; may be lost. */
  readonly cache: string;
}

export function statePaths(dir: string): StatePaths {
  return {
    dir,
    key: join(dir, 'host-key.pem'),
    enrolment: join(dir, 'enrolment.json'),
    journal: join(dir, 'journal.json'),
    reports: join(dir, 'reports.jsonl'),
    releases: join(dir, 'releases.json'),
    lock: join(dir, 'lock'),
    roots: join(dir, 'roots'),
    cache: join(dir, 'cache'),
  };
}

/** Makes the folder, readable for its owner only. Throws `FloeError('STATE_UNWRITABLE')`. */
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
 * Locks the state against a second agent. When the disk cannot be written, the agent starts without the lock: systemd starts
 * one agent only, and a running agent can report what is wrong.
 * Throws `FloeError('AGENT_RUNNING')`.
 */
export async function lockState(paths: StatePaths, { logger, take = takeProcessLock }: LockDeps): Promise<AsyncDisposable> {
  let taken: ProcessLock;
  try {
    taken = await take(paths.lock);
  } catch (error) {
    if (!DISK_ERRORS.has((error as NodeJS.ErrnoException).code)) throw error;
    logger.error('the state folder cannot be written: free some space. The agent runs without a lock, and changes nothing until it can write', {
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
