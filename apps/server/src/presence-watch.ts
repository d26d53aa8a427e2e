import type { Clock } from '@floe/runtime';
import type { Announcer } from './announcer.ts';
import type { FleetReader } from './fleet-reader.ts';

const LOOK_EVERY_MS = 60_000;

export interface PresenceWatchDeps {
  readonly clock: Clock;
  readonly reader: Pick<FleetReader, 'dueHosts'>;
  readonly announcer: Pick<Announcer, 'mark'>;
}

/** Has hosts shown again whose presence changes by time alone: nothing is written when a host becomes stale or lost. */
export async function watchPresence({ clock, reader, announcer }: PresenceWatchDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const due = reader.dueHosts();
    if (due.size > 0) announcer.mark(due);
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}
