import { createGithubStatuses, runStatusOutbox } from '@floe/forge';
import type { Clock, Logger, Wake } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { Config } from './config.ts';

/** How often the outbox is checked without a hint. */
const LOOK_MS = 30_000;

/** Sends the due commit statuses, until `signal` aborts. Returns immediately when no forge is configured. */
export async function postStatuses(
  store: Store,
  repositoryId: string,
  config: Config,
  deps: { readonly clock: Clock; readonly random: () => number; readonly logger: Logger },
  wake: Wake,
  signal: AbortSignal,
): Promise<void> {
  if (config.github === undefined) return;
  const { repository, apiUrl, auth } = config.github;
  const statuses = createGithubStatuses({ apiUrl, repository, auth, userAgent: 'floe' });
  await runStatusOutbox(
    {
      outbox: { ...store.outbox, claimDue: async (options) => await store.outbox.claimDue({ ...options, repositoryId }) },
      statuses,
      ...deps,
      wake: async (waitSignal) => {
        const dueAt = await store.outbox.nextDueAt(repositoryId);
        const waitMs = dueAt === undefined ? LOOK_MS : Math.min(LOOK_MS, Math.max(0, dueAt - deps.clock.now()));
        await wake.wait(waitMs, waitSignal);
      },
    },
    signal,
  );
}
