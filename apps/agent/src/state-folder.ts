import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, takeProcessLock } from '@floe/runtime';

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
 * Keeps a second agent off this state. The lock of a process that is gone is taken over.
 * Throws `FloeError('AGENT_RUNNING')`.
 */
export async function lockState(paths: StatePaths): Promise<AsyncDisposable> {
  const taken = await takeProcessLock(paths.lock);
  if (taken.kind === 'taken') return taken.lock;
  const { pid } = taken;
  throw new FloeError('AGENT_RUNNING', `another floe-agent (process ${pid}) runs on ${paths.dir}: stop it first`, { data: { pid, dir: paths.dir } });
}
