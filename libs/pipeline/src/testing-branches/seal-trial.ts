import { sealAsync, type Envelope, type ReleaseStatement } from '@floe/protocol';
import type { AsyncSigner } from '@floe/runtime';

/** Agents refuse a release that says more. */
export const MAX_TRIAL_MS = 24 * 3600_000;

/**
 * Signs a system as one that is only to be tried. `latest`: the latest time that was ever signed for hosts, by which they judge: a clock that
 * was ahead has left it behind.
 */
export async function sealTrial(
  signer: AsyncSigner,
  statement: Omit<ReleaseStatement, 'issuedAt' | 'expiresAt'>,
  { now, latest, forMs }: { readonly now: number; readonly latest: number; readonly forMs: number },
): Promise<Envelope> {
  const issuedAt = Math.max(now, latest);
  const endsAt = issuedAt + Math.min(forMs, MAX_TRIAL_MS);
  const trial = { ...statement, purpose: 'test', issuedAt, endsAt, expiresAt: endsAt } satisfies ReleaseStatement;
  return await sealAsync(signer, 'floe/release', trial);
}
