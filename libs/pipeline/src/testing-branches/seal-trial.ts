import { seal, type Envelope, type ReleaseStatement } from '@floe/protocol';
import type { Signer } from '@floe/runtime';

/** Agents refuse a release that says more. */
export const MAX_TRIAL_MS = 24 * 3600_000;

/**
 * Signs a system as one that is only to be tried. `latest`: the latest time that was ever signed for hosts, by which they judge: a clock that
 * was ahead has left it behind.
 */
export function sealTrial(
  signer: Signer,
  statement: Omit<ReleaseStatement, 'issuedAt' | 'expiresAt'>,
  { now, latest, forMs }: { readonly now: number; readonly latest: number; readonly forMs: number },
): Envelope {
  const issuedAt = Math.max(now, latest);
  const endsAt = issuedAt + Math.min(forMs, MAX_TRIAL_MS);
  return seal(signer, 'floe/release', { ...statement, purpose: 'test', issuedAt, endsAt, expiresAt: endsAt } satisfies ReleaseStatement);
}
