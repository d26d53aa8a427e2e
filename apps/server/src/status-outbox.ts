import type { StatusOutbox } from '@floe/forge';
import type { DueStatus, OutboxStore } from '@floe/store';

/**
 * The store's outbox as the sender of libs/forge sees it. The store tells claims of one row apart, so the claim that an
 * answer belongs to is kept until it is answered.
 */
export function statusOutbox(store: OutboxStore): StatusOutbox {
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
