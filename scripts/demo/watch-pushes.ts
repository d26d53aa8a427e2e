import { setTimeout as delay } from 'node:timers/promises';
import { isEndedRevision } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import type { TestFleet } from '@floe/testkit';
import { finalStatuses, lastStatuses, statusLine } from './final-statuses.ts';
import type { Narrator } from './narrator.ts';

const LOOK_MS = 300;

/** Reports the user's own pushes as they finish, until `signal` aborts. */
export async function watchPushes(fleet: TestFleet, narrator: Narrator, signal: AbortSignal): Promise<void> {
  let told = (await fleet.fleetView()).revision?.sequence ?? 0;
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
    // The user may have stopped the server as an experiment.
    const view = await fleet.fleetView().catch(() => undefined);
    const revision = view?.revision ?? undefined;
    if (view === undefined || revision === undefined || revision.sequence <= told || !isSettled(revision)) continue;
    told = revision.sequence;
    narrator.heading(`Push ${revision.sha.slice(0, 7)} "${revision.subject}": ${revision.state.toLowerCase().replaceAll('_', ' ')}`);
    if (revision.error !== null) narrator.say(`  ${revision.error}`);
    narrator.table(
      view.hosts.map(({ host, standing, observed, problem }) => [
        host,
        standing,
        `runs ${(observed.current ?? 'nothing').replace('/nix/store/', '').slice(0, 12)}`,
        problem ?? '',
      ]),
    );
    // The user may have stopped hosts, too: statuses that are still pending are shown as they are.
    const statuses = await finalStatuses(fleet, revision).catch(() => lastStatuses(fleet, revision));
    for (const status of statuses) narrator.say(statusLine(status));
  }
}

function isSettled({ state, rollout }: RevisionView): boolean {
  // Hosts are told it while others are still built.
  if (!isEndedRevision(state)) return false;
  if (rollout === null) return state !== 'PUBLISHED';
  const isStopped = rollout.state === 'PAUSED' || rollout.state === 'ABORTED';
  return (rollout.counts?.['under-way'] ?? 0) === 0 && (isStopped || (rollout.counts?.queued ?? 0) === 0);
}
