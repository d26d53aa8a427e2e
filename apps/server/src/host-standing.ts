import { hasArrived, isLocalOverride, isRefusal, isWaiting, type AgentState, type Observed, type StorePath } from '@floe/model';
import type { HostStanding } from '@floe/protocol';
import type { Evaluation, HostRow, Quarantine } from '@floe/store';

/** A host's row in the words of libs/model: what its agent last said of itself, and about what. */
export function lastWordOf(row: HostRow): {
  readonly observed: Observed;
  readonly state: AgentState;
  readonly subject: StorePath | undefined;
  readonly isOverridden: boolean;
  readonly isToRetry: boolean;
} {
  return {
    observed: row.observed,
    state: row.state,
    subject: row.stateToplevel,
    isOverridden: isLocalOverride(row.state, row.detail),
    isToRetry: row.retryEpoch !== undefined,
  };
}

/** Why a host is as it is, in one word. Pure. `isQuarantined`: it put its desired toplevel back. */
export function standingOfHost(row: HostRow, isQuarantined: boolean): HostStanding {
  if (row.clonedAt !== undefined) return 'quarantined';
  if (row.revokedAt !== undefined) return 'revoked';
  if (row.publicKey === undefined) return 'not-enrolled';
  if (row.desired === undefined) return 'no-release';
  const { toplevel } = row.desired;
  const said = lastWordOf(row);
  if (hasArrived(said, toplevel)) return 'in-sync';
  const isAboutDesired = said.subject === toplevel;
  if (!said.isToRetry) {
    if (isQuarantined || (isAboutDesired && said.state === 'ROLLED_BACK')) return 'rolled-back';
    if (isAboutDesired && (said.state === 'ROLLBACK_FAILED' || said.state === 'BLOCKED')) return 'failed';
    if (isRefusal(said.state, said.subject, toplevel)) return 'failed';
    if (said.isOverridden) return 'local-override';
  }
  if (!row.isConnected) return 'away';
  if (isAboutDesired && isWaiting(said.state)) return 'waiting';
  if (isAboutDesired && said.state === 'SUCCEEDED' && !said.isToRetry) return 'drifted';
  return 'under-way';
}

/** What is wrong with a host and what to do about it; null when nothing is. `failed`: an evaluation that left it behind. */
export function problemOf(
  row: HostRow,
  standing: HostStanding,
  quarantine: Quarantine | undefined,
  failed: Pick<Evaluation, 'outcome' | 'error'> | undefined,
): string | null {
  switch (standing) {
    case 'rolled-back':
      return `put itself back: ${row.detail?.message ?? quarantine?.reason ?? 'no reason was reported'}; push a fix, or run: floe retry ${row.host} --reason "…"`;
    case 'failed':
      return row.detail?.message ?? 'failed without a reason';
    case 'drifted':
      return `runs something else than it was told, though nothing is under way; to bring it back, run: floe resume ${row.host} --reason "…"`;
    case 'quarantined':
      return `its key was used by two machines: enrol it again, or run: floe retry ${row.host} --reason "…"`;
    case 'revoked':
      return `its enrolment was revoked; to bring it back, run: floe enrol ${row.host}`;
    case 'under-way':
      // Something is in its way, and it tries again by itself. What it said before a retry is not about this.
      return row.retryEpoch === undefined && row.stateToplevel === row.desired?.toplevel ? (row.detail?.message ?? null) : null;
    default:
      if (failed?.outcome === 'REMOVED') {
        return `is not in the flake any more: it keeps its last release and gets no newer one; add it again, or run: floe revoke ${row.host} --reason "…"`;
      }
      return failed?.error === undefined ? null : `${failed.outcome === 'EVAL_ERROR' ? 'does not evaluate' : 'does not build'}: ${failed.error}`;
  }
}
