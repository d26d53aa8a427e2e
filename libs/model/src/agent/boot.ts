import type { AgentEventOf } from './events.ts';
import type { AgentDetail, AgentJournal } from './journal.ts';
import { startRollback, verifyAgain } from './changing.ts';
import { keepWaiting } from './directives.ts';
import { describeOverride } from './user-choices.ts';
import { block, enter, TRIAL_NEEDS_RESTART, reportOf, waitingForRestart, withoutOverruling, startJob, type AgentStep } from './step.ts';

/** It would wait for the next restart, perhaps for a month. */
const NEWER_ARRIVED: AgentDetail = { code: 'SUPERSEDED', message: 'a newer system arrived before the restart' };

/** After this many starts with another system, the staged system is rolled back. */
const MAX_MISSES = 3;

/** Sets the detail, and reports it when its message is a new one. */
function withDetail(journal: AgentJournal, detail: AgentDetail): AgentStep {
  const next = { ...journal, detail };
  return { journal: next, effects: journal.detail?.message === detail.message ? [] : [reportOf(next)] };
}

/** The switch itself reported that the new system needs a restart of the machine. */
export function restartNeeded(journal: AgentJournal, event: AgentEventOf<'restart-needed'>, now: number): AgentStep {
  // A restart would end the trial.
  if (journal.directive?.trial != null) return startRollback(journal, now, TRIAL_NEEDS_RESTART, { verdict: 'superseded' });
  if (journal.pending !== null) return startRollback(journal, now, NEWER_ARRIVED, { verdict: 'superseded' });
  return enter(journal, 'BOOT_STAGED', now, {
    detail: event.detail,
    changes: { ...waitingForRestart(journal, now), boot: { misses: 0 } },
    effects: [startJob('stage-boot')],
  });
}

/** From here the machine's policy or a user decides when it restarts. */
export function bootStaged(journal: AgentJournal, event: AgentEventOf<'boot-staged'>): AgentStep {
  const { journal: next, effects } = withDetail({ ...journal, timings: { ...journal.timings, activateMs: event.tookMs } }, event.detail);
  return { journal: next, effects: [...effects, { type: 'await-reboot' }] };
}

export function bootStageFailed(journal: AgentJournal, event: AgentEventOf<'boot-stage-failed'>, now: number): AgentStep {
  // The job has restored the boot loader. A boot loader that cannot be written says nothing about the new system.
  return block(journal, now, event.detail, { boot: null });
}

export function rebootDue(journal: AgentJournal, event: AgentEventOf<'reboot-due'>): AgentStep {
  const { journal: next, effects } = withDetail(journal, event.detail);
  return { journal: next, effects: [...effects, startJob('reboot')] };
}

/** Reported when the reason changes, not with each check. */
export function rebootWaits(journal: AgentJournal, event: AgentEventOf<'reboot-waits'>): AgentStep {
  return withDetail(journal, event.detail);
}

export function deferReboot(journal: AgentJournal, event: AgentEventOf<'deferral-changed'>): AgentStep {
  return { journal: { ...journal, deferral: event.deferral }, effects: [{ type: 'await-reboot' }] };
}

export function rebootFailed(journal: AgentJournal, event: AgentEventOf<'reboot-failed'>): AgentStep {
  const attempt = journal.attempt + 1;
  const { journal: next, effects } = withDetail({ ...journal, attempt }, event.detail);
  return { journal: next, effects: [...effects, { type: 'retry-later', pace: 'slowly', attempt }] };
}

export function awaitRebootAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [{ type: 'await-reboot' }] };
}

/** The agent starts while a system is staged. Was the machine restarted, and into which system? */
export function startedStaged(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (event.fellBack) return fellBack(journal, now);
  if (event.isNewBoot && event.isOnTarget) return enter(journal, 'BOOT_VERIFYING', now, { effects: [startJob('verify')] });
  if (journal.pending !== null) return unstage(journal, now, NEWER_ARRIVED);
  if (!event.isNewBoot) return { journal, effects: [startJob('stage-boot')] };
  return missed(journal, now);
}

/** The machine started another system than the staged one: stage it again, up to {@link MAX_MISSES} times; not where a newer one waits. */
function missed(journal: AgentJournal, now: number): AgentStep {
  if (journal.pending !== null) return unstage(journal, now, NEWER_ARRIVED);
  const misses = (journal.boot?.misses ?? 0) + 1;
  const message = `the machine started ${misses === 1 ? '' : `${misses} times `}with another system than the staged one`;
  if (misses >= MAX_MISSES) return startRollback(journal, now, { code: 'BOOTS_ANOTHER_SYSTEM', message }, { verdict: 'failed' });
  return enter(journal, 'BOOT_STAGED', now, {
    detail: { code: 'BOOTED_ANOTHER_SYSTEM', message: `${message}; staging it again` },
    changes: { ...withoutOverruling(journal), boot: { misses } },
    effects: [startJob('stage-boot')],
  });
}

function fellBack(journal: AgentJournal, now: number): AgentStep {
  return startRollback(
    journal,
    now,
    { code: 'BOOT_FAILED', message: 'the new system did not start properly, so the boot guard restarted the machine with the previous one' },
    { verdict: 'failed' },
  );
}

export function restartedVerifying(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (event.fellBack) return fellBack(journal, now);
  // A power failure or a crash during the checks. A one-time boot entry then starts the old system.
  if (!event.isOnTarget) return missed(journal, now);
  return verifyAgain(journal, event, now);
}

/** A user switched to another system: unstage, so that the next start does not replace their choice. */
export function overriddenStaged(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  return unstage({ ...journal, override: event.override }, now, describeOverride(event.override));
}

/** The policy corrects the user's switch: stage again, with the system that runs now as the rollback target. */
export function restage(journal: AgentJournal, _event: AgentEventOf<'resumed'>, now: number): AgentStep {
  return unstage(journal, now, { code: 'CORRECTED', message: 'somebody switched this machine by hand, and its policy corrects that' });
}

function unstage(journal: AgentJournal, now: number, detail: AgentDetail): AgentStep {
  const step = startRollback(journal, now, detail, { verdict: 'superseded' });
  return { ...step, effects: [{ type: 'stop-job' }, ...step.effects] };
}

/** A newer directive replaces the staged system: unstage first. */
export function replaceStaged(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const waiting = keepWaiting(journal, event).journal;
  if (waiting === journal) return { journal, effects: [] };
  return unstage(waiting, now, NEWER_ARRIVED);
}
