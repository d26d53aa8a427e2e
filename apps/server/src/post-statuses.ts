import { createGithubStatuses, runStatusOutbox, type CommitStatuses } from '@floe/forge';
import type { Clock, Logger, Wake } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import type { StatusesConfig } from './config.ts';

/** How often the outbox is checked without a hint. */
const LOOK_MS = 30_000;

/** Sends the due commit statuses, until `signal` aborts. */
export async function postStatuses(
  store: PlainStore,
  repositoryId: string,
  forge: StatusesConfig,
  deps: { readonly clock: Clock; readonly random: () => number; readonly logger: Logger },
  wake: Wake,
  signal: AbortSignal,
): Promise<void> {
  const statuses = statusesOf(forge);
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

function statusesOf(forge: StatusesConfig): CommitStatuses {
  switch (forge.kind) {
    case 'github': {
      const { repository, apiUrl, auth } = forge;
      return createGithubStatuses({ apiUrl, repository, auth, userAgent: 'floe' });
    }
  }
}
