import { isFloeError, type Clock } from '@floe/runtime';
import type { ClaimedStatus, StatusOutbox } from './status-outbox.ts';

/** What a sender that was killed leaves behind waits for so long; one that lives renews its claim three times meanwhile. */
export const LEASE_MS = 10_000;
const RENEW_MS = 3_000;

/**
 * Works on a claimed status, however long the forge takes, and renews the claim meanwhile. `held` aborts with `signal`, and
 * when another sender took over: it has the newer word by then.
 */
export async function whileRenewed<Result>(
  { outbox, clock }: { readonly outbox: StatusOutbox; readonly clock: Clock },
  claimed: ClaimedStatus,
  signal: AbortSignal,
  work: (held: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const done = new AbortController();
  const lost = new AbortController();
  const renewing = (async () => {
    for (;;) {
      await clock.sleep(RENEW_MS, done.signal);
      if (done.signal.aborted) return;
      const isOurs = await outbox.renew(claimed, clock.now(), LEASE_MS).catch((error: unknown) => {
        // A store that is away keeps the claim as it is, until its end.
        if (isFloeError(error) && error.retryable) return true;
        throw error;
      });
      if (!isOurs) return lost.abort();
    }
  })();
  try {
    const [result] = await Promise.all([work(AbortSignal.any([signal, lost.signal])).finally(() => done.abort()), renewing]);
    return result;
  } finally {
    done.abort();
  }
}
