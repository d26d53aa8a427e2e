import { isLocalOverride, type ReportedState, type Desired, type HostFacts, type Offer } from '@floe/model';
import type { HostRow } from './records.ts';

/** A host's row in the terms of libs/model: its agent's last report, and what that is about. */
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
 * The inputs of `standingOf()`. `desired`: the current answer of `resolve()`, which the row may lack: a quarantined system is not
 * stored there.
 */
export function factsOf(row: HostRow, desired: Desired, offer: Offer): HostFacts {
  return { ...lastWordOf(row), enrolment: enrolmentOf(row), isConnected: row.isConnected, desired, offer };
}
