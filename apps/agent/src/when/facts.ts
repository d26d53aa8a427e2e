import type { Clock, Exec } from '@floe/runtime';
import { readInhibitors, readMetered, readSessions, type Inhibitor, type UserSession } from './bus.ts';
import { readPower, type Power } from './power.ts';

/** The machine's power, network and sessions now. An unknown fact is null. */
export interface MachineFacts {
  readonly power: Power | null;
  readonly isMetered: boolean | null;
  /** Of users, not of services or the login screen. */
  readonly sessions: readonly UserSession[] | null;
  /** What other programs keep the machine from now. */
  readonly inhibitors: readonly Inhibitor[] | null;
}

export interface FactsDeps {
  readonly exec: Exec;
  readonly clock: Clock;
  /** What `busctl` is started with. */
  readonly env: NodeJS.ProcessEnv;
  /** Where the machine's files are: '' for the machine itself. */
  readonly root: string;
  /** Time limit of each fact; all are read at once. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Gathers all facts. Never throws, and takes about `timeoutMs` at most. */
export async function gatherFacts(deps: FactsDeps): Promise<MachineFacts> {
  const [power, isMetered, sessions, inhibitors] = await Promise.all([
    within(deps, async () => await readPower(deps.root)),
    within(deps, async (signal) => await readMetered({ ...deps, signal })),
    within(deps, async (signal) => await readSessions({ ...deps, signal })),
    within(deps, async (signal) => await readInhibitors({ ...deps, signal })),
  ]);
  return { power, isMetered, sessions, inhibitors };
}

/**
 * The fact, or null when it fails or takes too long: a driver that hangs in a read of /sys, or a bus without an answer, must not
 * hide the other facts.
 */
async function within<T>(deps: FactsDeps, read: (signal: AbortSignal) => Promise<T | null>): Promise<T | null> {
  const ended = new AbortController();
  const signal = AbortSignal.any([deps.signal, ended.signal]);
  try {
    return await Promise.race([read(signal).catch(() => null), deps.clock.sleep(deps.timeoutMs, signal).then(() => null)]);
  } finally {
    ended.abort();
  }
}
