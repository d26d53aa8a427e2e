import type { AgentEffect, AgentEvent, AgentEventOf } from './events.ts';
import type { AgentDetail, AgentJournal, AgentTimings } from './journal.ts';
import { takePending } from './directives.ts';
import { wentBack } from './user-choices.ts';
import {
  end,
  enter,
  ignore,
  MAX_INTERRUPTIONS,
  reportOf,
  TRIAL_FAILED,
  TRIAL_OVER,
  tryAgain,
  withQuarantined,
  startJob,
  type AgentStep,
} from './step.ts';

// ---- from the first change to the verdict ------------------------------------------------------------------------

export function switched(journal: AgentJournal, event: AgentEventOf<'switched'>, now: number): AgentStep {
  return enter(journal, 'VERIFYING', now, { timings: { activateMs: event.tookMs }, effects: [startJob('verify')] });
}

export function verified(journal: AgentJournal, event: AgentEventOf<'verified'>, now: number): AgentStep {
  if (journal.directive?.trial != null) return verifiedTrial(journal, event, now);
  return enter(journal, 'COMMITTING', now, {
    detail: event.note,
    changes: { verdict: 'passed' },
    timings: { verifyMs: event.tookMs },
    effects: [startJob('commit')],
  });
}

/** A trial that works runs until its end. It is not committed: the machine's next start brings the system before. */
function verifiedTrial(journal: AgentJournal, { note, tookMs }: AgentEventOf<'verified'>, now: number): AgentStep {
  const timings = { verifyMs: tookMs };
  if (journal.pending === null) return enter(journal, 'TRYING', now, { detail: note, changes: { verdict: 'passed' }, timings });
  return startRollback(journal, now, { code: TRIAL_OVER, message: 'another directive ended the trial' }, { verdict: 'over' }, timings);
}

export function committed(journal: AgentJournal, event: AgentEventOf<'committed'>, now: number): AgentStep {
  // After a retry, `detail` holds the commit error, so the verification note is gone.
  const detail = journal.attempt === 0 ? journal.detail : CONTACT_UNKNOWN;
  return end(journal, 'SUCCEEDED', now, { detail, changes: { previous: journal.before?.toplevel ?? null }, timings: { commitMs: event.tookMs } });
}

/** The system was kept although the server did not answer. Whether the system itself blocks the connection is unknown. */
export const SERVER_AWAY = 'SERVER_AWAY';

/** The system works, but was rolled back because the server stayed away while the network worked. */
export const SERVER_MISSED = 'SERVER_MISSED';

/** The agent stopped after the verdict, so its journal does not say whether the server had answered. A connection settles it. */
export const CONTACT_UNKNOWN: AgentDetail = { code: SERVER_AWAY, message: 'the system works; the agent checks again whether the server answers' };

export function serverMet(journal: AgentJournal): AgentStep {
  if (journal.detail?.code !== SERVER_AWAY) return ignore(journal);
  const next = { ...journal, detail: null };
  return { journal: next, effects: [reportOf(next)] };
}

/** The previous system had contact with the server. After the rollback, its contact decides which of the two is at fault. */
export function serverMissed(journal: AgentJournal, event: AgentEventOf<'server-missed'>, now: number): AgentStep {
  const isOpen = journal.detail?.code === SERVER_AWAY && journal.override === null && journal.before?.toplevel != null;
  return isOpen ? startRollback(journal, now, event.detail, { verdict: 'no-contact' }) : ignore(journal);
}

/** The system runs and works, but is not the next boot's. Report it, retry, and accept a newer directive meanwhile. */
export function commitFailed(journal: AgentJournal, event: AgentEventOf<'commit-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  const step = enter(journal, 'BLOCKED', now, { detail: event.detail, changes: { attempt } });
  const next: AgentEffect = journal.pending === null ? { type: 'retry-later', pace: 'slowly', attempt } : { type: 'take-pending' };
  return { ...step, effects: [...step.effects, next] };
}

export function resumeBlocked(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  if (journal.pending !== null) return takePending(journal, event, now);
  const { attempt, detail } = journal;
  return journal.verdict === 'passed'
    ? enter(journal, 'COMMITTING', now, { detail, changes: { attempt }, effects: [startJob('commit')] })
    : enter(journal, 'DOWNLOADING', now, { detail, changes: { attempt }, effects: [startJob('download')] });
}

/** A restart into the previous system invalidates the verification: activate again, with a watchdog. */
export function startedCommitting(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (!event.isNewBoot || event.isOnTarget) return { journal, effects: [startJob('commit')] };
  return tryAgain(journal, now, { code: 'INTERRUPTED', message: 'the machine was restarted between the verdict and the commit' });
}

/** How often a failed rollback is tried. */
export const MAX_ROLLBACKS = 5;

// ---- rollback ----------------------------------------------------------------------------------------------------

/** Starts a rollback to the recorded system; without one, ends in ROLLBACK_FAILED or tries again. */
export function startRollback(
  journal: AgentJournal,
  now: number,
  detail: AgentDetail,
  changes: Partial<AgentJournal>,
  timings: AgentTimings = {},
): AgentStep {
  if (journal.before?.toplevel) return enter(journal, 'ROLLING_BACK', now, { detail, changes, timings, effects: [startJob('roll-back')] });
  const changed = { ...journal, ...changes };
  if (changes.verdict === 'failed' || changed.interruptions >= MAX_INTERRUPTIONS) {
    const message = `there is no earlier system to roll back to; ${detail.message}`;
    const ending = { ...changes, quarantined: withQuarantined(journal) };
    return end(journal, 'ROLLBACK_FAILED', now, { detail: { code: 'NO_PREVIOUS_SYSTEM', message }, changes: ending, timings });
  }
  return tryAgain(changed, now, detail);
}

export function switchFailed(journal: AgentJournal, event: AgentEventOf<'switch-failed'>, now: number): AgentStep {
  return startRollback(journal, now, event.detail, { verdict: 'failed' }, { activateMs: event.tookMs });
}

export function verifyFailed(journal: AgentJournal, event: AgentEventOf<'verify-failed'>, now: number): AgentStep {
  return startRollback(journal, now, event.detail, { verdict: event.isContactLost ? 'no-contact' : 'failed' }, { verifyMs: event.tookMs });
}

/** The watchdog rolled back before the agent had a verdict. The roll-back job checks the result and reports it. */
export function watchdogRolledBack(journal: AgentJournal, event: AgentEventOf<'watchdog-rolled-back'>, now: number): AgentStep {
  return startRollback(journal, now, event.detail, { verdict: 'failed' });
}

/** The agent was restarted during the checks, and the switch had succeeded: run the checks again. */
export function verifyAgain(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  const interruptions = journal.interruptions + 1;
  if (interruptions >= MAX_INTERRUPTIONS) return interrupted(journal, event, now);
  return { journal: { ...journal, interruptions }, effects: [startJob('verify')] };
}

/** The agent stopped between the first change and the verdict. That counts against the system only when it keeps happening. */
export function interrupted(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  const interruptions = journal.interruptions + 1;
  const message = `the agent was stopped in ${journal.state} (time ${interruptions} of at most ${MAX_INTERRUPTIONS})`;
  return startRollback(journal, now, { code: 'INTERRUPTED', message }, { interruptions });
}

export function rollBackAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [startJob('roll-back')] };
}

export function rolledBack(journal: AgentJournal, event: AgentEventOf<'rolled-back'>, now: number): AgentStep {
  if (journal.verdict === 'unwanted') return wentBack(journal, now);
  if (journal.override !== null) return end(journal, 'IDLE', now, { detail: journal.detail, changes: { verdict: null } });
  const timings = { rollbackMs: event.tookMs };
  if (journal.verdict === 'over') return end(journal, 'IDLE', now, { detail: journal.detail, changes: { verdict: null }, timings });
  // Only a trial that needs a restart is given up like this: its switch changed nothing.
  if (journal.verdict === 'superseded' && journal.directive?.trial != null) return end(journal, 'REJECTED', now, { detail: journal.detail, timings });
  const isAtFault = journal.verdict === 'failed' || (journal.verdict === 'no-contact' && event.hasContact);
  const isConclusive = isAtFault || journal.interruptions >= MAX_INTERRUPTIONS;
  // In IDLE, since a trial proves nothing about the fleet's release of the same system.
  if (isConclusive && journal.directive?.trial != null) return end(journal, 'IDLE', now, { detail: trialFailed(journal.detail), timings });
  if (isConclusive) return end(journal, 'ROLLED_BACK', now, { detail: journal.detail, changes: { quarantined: withQuarantined(journal) }, timings });
  return tryAgain(journal, now, journal.detail);
}

/** The rollback that failed was completed later, by the watchdog or by a user. */
export function rollbackCompleted(journal: AgentJournal, event: AgentEventOf<'watchdog-rolled-back'>, now: number): AgentStep {
  const message = `${event.detail.message}; before that: ${journal.detail?.message ?? 'unknown'}`;
  const detail = { code: event.detail.code, message };
  if (journal.directive?.trial != null) return end(journal, 'IDLE', now, { detail: trialFailed(detail) });
  return end(journal, 'ROLLED_BACK', now, { detail });
}

function trialFailed(why: AgentDetail | null): AgentDetail {
  return { code: TRIAL_FAILED, message: why === null ? 'the trial failed' : `the trial failed: ${why.message} (${why.code})` };
}

/** Retry the rollback, as nothing else is left to try. When it is given up, the watchdog stays armed. */
export function rollbackFailed(journal: AgentJournal, event: AgentEventOf<'rollback-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  if (attempt < MAX_ROLLBACKS && journal.before?.toplevel != null) {
    return { journal: { ...journal, attempt }, effects: [{ type: 'retry-later', pace: 'soon', attempt }] };
  }
  const message = `${event.detail.message}; the rollback began because: ${journal.detail?.message ?? 'unknown'}`;
  const changes = { quarantined: journal.verdict === 'failed' ? withQuarantined(journal) : journal.quarantined };
  const step = end(journal, 'ROLLBACK_FAILED', now, { detail: { code: event.detail.code, message }, changes, timings: { rollbackMs: event.tookMs } });
  return { ...step, effects: step.effects.filter(({ type }) => type !== 'tidy') };
}
