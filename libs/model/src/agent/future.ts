import type { AgentJournal } from './journal.ts';

/** Clocks that differ by less than this agree. */
const SLACK_MS = 3600_000;
/** Nobody at a machine may put a change off for longer: the bound of the policy's `later.maxMinutes`. */
const MAX_LATER_MS = 31 * 24 * 3600_000;

/**
 * The journal without what was dated by a clock that was ahead: a wait that began, or a choice that was made, next year would
 * last until then. `now` is the latest time that any clock says which may be right. The same object when nothing is wrong.
 */
export function withoutFuture(journal: AgentJournal, now: number): AgentJournal {
  const { deferral, override } = journal;
  const isAhead = (at: number | null): boolean => at !== null && at > now + SLACK_MS;
  let next = journal;
  if (override !== null && isAhead(override.since)) next = { ...next, override: { ...override, since: now } };
  if (deferral === null) return next;
  const { since, restartSince, laterUntil } = deferral;
  // By how much it was ahead is known where the wait began under it.
  const aheadMs = isAhead(since) ? since - now : 0;
  const later = laterUntil === null ? null : laterUntil - aheadMs;
  const corrected = {
    ...deferral,
    since: since - aheadMs,
    restartSince: isAhead(restartSince) ? now : restartSince,
    laterUntil: later !== null && later > now + MAX_LATER_MS ? null : later,
  };
  const isSame = corrected.since === since && corrected.restartSince === restartSince && corrected.laterUntil === laterUntil;
  return isSame ? next : { ...next, deferral: corrected };
}
