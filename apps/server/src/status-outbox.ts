import { createGithubStatuses, runStatusOutbox, type StatusOutbox } from '@floe/forge';
import type { Clock, Logger, Wake } from '@floe/runtime';
import type { DueStatus, OutboxStore, Store } from '@floe/store';
import type { Config } from './config.ts';

/** Without news, the outbox is looked at this often. */
const LOOK_MS = 30_000;

/**
 * The store's outbox as the sender of libs/forge sees it. The store tells claims of one row apart, so the claim that an
 * answer belongs to is kept until it is answered.
 */
function statusOutbox(store: OutboxStore): StatusOutbox {
  const claims = new Map<string, DueStatus>();
  function take(id: string): DueStatus | undefined {
    const claimed = claims.get(id);
    claims.delete(id);
    return claimed;
  }
  return {
    async claim(now, leaseMs) {
      const [claimed] = await store.claimDue({ now, limit: 1, leaseMs });
      if (claimed === undefined) return undefined;
      claims.set(claimed.id, claimed);
      return { ...claimed, attempts: claimed.attempts - 1 };
    },
    async settle(id, _version, now) {
      const claimed = take(id);
      if (claimed !== undefined) await store.markSent(claimed, now);
    },
    async postpone(id, dueAt, error) {
      const claimed = take(id);
      if (claimed !== undefined) await store.markRetry(claimed, error, dueAt);
    },
    async abandon(id, _version, now, error) {
      const claimed = take(id);
      if (claimed !== undefined) await store.markFailed(claimed, error, now);
    },
  };
}

/** Sends the commit statuses that are due, until `signal` aborts. Returns at once when no forge is configured. */
export async function postStatuses(
  store: Store,
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
      outbox: statusOutbox(store.outbox),
      statuses,
      ...deps,
      wake: async (waitSignal) => {
        const dueAt = await store.outbox.nextDueAt();
        const waitMs = dueAt === undefined ? LOOK_MS : Math.min(LOOK_MS, Math.max(0, dueAt - deps.clock.now()));
        await wake.wait(waitMs, waitSignal);
      },
    },
    signal,
  );
}
