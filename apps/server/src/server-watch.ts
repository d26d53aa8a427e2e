import { FloeError, isFloeError } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import { tellNotice, type NoticeDeps } from './notices.ts';
import { CLOCK_TROUBLES, type ClockTrouble, type ServerClock } from './server-clock.ts';
import { BEAT_MS } from './server-identity.ts';

export interface WatchDeps extends NoticeDeps {
  readonly store: PlainStore;
  readonly clock: ServerClock;
  /** This process, as it claimed the database. */
  readonly process: string;
}

/**
 * Records in the database that this server is alive, and checks its clock and its notifications. Throws
 * `FloeError('SERVER_REPLACED')` when another server took the database.
 */
export async function watchServer(deps: WatchDeps, signal: AbortSignal): Promise<void> {
  const { store, clock, process } = deps;
  const tell = (code: string, message: string | undefined): void => tellNotice(deps, code, message);
  while (!signal.aborted) {
    try {
      const beaten = await store.server.beat(process, clock.now());
      if (beaten === undefined) {
        throw new FloeError('SERVER_REPLACED', 'another floe-server took this database while this one did not answer: only one may use it');
      }
      clock.noteDatabase(beaten.databaseNow);
      tell('DATABASE_REFUSES', undefined);
      tell(
        'HINTS_LATE',
        (await store.hints.isHeard())
          ? undefined
          : 'the notifications of the database do not come through (is there a pooler in transaction mode?): each step of a push comes some seconds later',
      );
    } catch (error) {
      if (isFloeError(error, 'SERVER_REPLACED')) throw error;
      if (!isFloeError(error) || !error.retryable) throw error;
      tell('DATABASE_REFUSES', `the database takes no writes; nothing is lost, and Floe tries again: ${error.message}`);
    }
    const trouble = clock.trouble();
    for (const kind of CLOCK_TROUBLES) tell(`CLOCK_${kind}`, trouble?.kind === kind ? describe(trouble) : undefined);
    await clock.sleep(BEAT_MS, signal);
  }
}

function describe(trouble: ClockTrouble): string {
  const date = (at: number): string => new Date(at).toISOString().slice(0, 16).replace('T', ' ');
  switch (trouble.kind) {
    case 'AHEAD':
      return `the clock of this server showed ${date(trouble.shown)} UTC, far ahead of its earlier times: it is not trusted, and the server continues from ${date(trouble.used)} UTC. Correct the clock; if it is correct, run: floe accept clock --reason "…"`;
    case 'BEHIND':
      return `the clock of this server showed ${date(trouble.shown)} UTC, but ${date(trouble.before)} UTC before that: one of the two is wrong. Correct the clock; if it is correct now, run: floe accept clock --reason "…"`;
    case 'DIFFERS':
      return `the clock of this server showed ${date(trouble.shown)} UTC when that of its database showed ${date(trouble.database)} UTC: correct both; if this one is correct and the other shall stay as it is, run: floe accept clock --reason "…"`;
  }
}
