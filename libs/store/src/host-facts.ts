import { isLocalOverride, type ReportedState, type Desired, type HostFacts, type Offer } from '@floe/model';
import type { HostRow } from './records.ts';

/** A host's row in the words of libs/model: what its agent last said of itself, and about what. */
export function lastWordOf(row: HostRow): ReportedState {
  return {
    observed: row.observed,
    state: row.state,
    subject: row.stateToplevel,
    isOverridden: isLocalOverride(row.state, row.detail),
    isRetryPending: row.retryEpoch !== undefined,
  };
}

function enrolmentOf(row: HostRow): HostFacts['enrolment'] {
  if (row.clonedAt !== undefined) return 'cloned';
  if (row.revokedAt !== undefined) return 'revoked';
  return row.publicKey === undefined ? 'none' : 'enrolled';
}

/**
 * All that decides where a host stands. `desired`: as `resolve()` gives it now, which is not always what the row says: a
 * quarantined system is not written there.
 */
export function factsOf(row: HostRow, desired: Desired, offer: Offer): HostFacts {
  return { ...lastWordOf(row), enrolment: enrolmentOf(row), isConnected: row.isConnected, desired, offer };
}
