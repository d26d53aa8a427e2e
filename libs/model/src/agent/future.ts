import type { AgentJournal } from './journal.ts';

/** Clocks that differ by less than this agree. */
const SLACK_MS = 3600_000;
/** A user can defer a change by this much at most: the bound of the policy's `later.maxMinutes`. */
const MAX_LATER_MS = 31 * 24 * 3600_000;

/**
 * The journal without times from a clock that was ahead: a wait or an override that is dated next year would last until then.
 * `now` is the latest of the clocks that may be right. Returns the same object when nothing is wrong.
 */
export function withoutFuture(journal: AgentJournal, now: number): AgentJournal {
  const { deferral, override } = journal;
  const isAhead = (at: number | null): boolean => at !== null && at > now + SLACK_MS;
  let next = journal;
  if (override !== null && isAhead(override.since)) next = { ...next, override: { ...override, since: now } };
  if (deferral === null) return next;
  const { since, restartSince, laterUntil } = deferral;
  // When the wait began under that clock, its date shows by how much the clock was ahead.
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
