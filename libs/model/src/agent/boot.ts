import type { AgentEventOf } from './events.ts';
import type { AgentDetail, AgentJournal } from './journal.ts';
import { startRollback, verifyAgain } from './changing.ts';
import { keepWaiting } from './directives.ts';
import { describeOverride } from './people.ts';
import { block, enter, reportOf, waitingForRestart, withoutOverruling, startJob, type AgentStep } from './step.ts';

/** After so many starts without the staged system it is given up. */
const MAX_MISSES = 3;

function say(journal: AgentJournal, detail: AgentDetail): AgentStep {
  const next = { ...journal, detail };
  return { journal: next, effects: journal.detail?.message === detail.message ? [] : [reportOf(next)] };
}

/** The switch itself found out that only a start of the machine will do. */
export function restartNeeded(journal: AgentJournal, event: AgentEventOf<'restart-needed'>, now: number): AgentStep {
  return enter(journal, 'BOOT_STAGED', now, {
    detail: event.detail,
    changes: { ...waitingForRestart(journal, now), boot: { misses: 0 } },
    effects: [startJob('stage-boot')],
  });
}

/** From here the machine's own policy decides when it restarts, or a person does. */
export function bootStaged(journal: AgentJournal, event: AgentEventOf<'boot-staged'>): AgentStep {
  const { journal: next, effects } = say({ ...journal, timings: { ...journal.timings, activateMs: event.tookMs } }, event.detail);
  return { journal: next, effects: [...effects, { type: 'await-reboot' }] };
}

export function bootStageFailed(journal: AgentJournal, event: AgentEventOf<'boot-stage-failed'>, now: number): AgentStep {
  // What was begun at the boot loader is taken back; that it could not be begun says nothing about the system.
  return block(journal, now, event.detail, { boot: null });
}

export function rebootDue(journal: AgentJournal, event: AgentEventOf<'reboot-due'>): AgentStep {
  const { journal: next, effects } = say(journal, event.detail);
  return { journal: next, effects: [...effects, startJob('reboot')] };
}

/** Said when the reason changes, not with every look. */
export function rebootWaits(journal: AgentJournal, event: AgentEventOf<'reboot-waits'>): AgentStep {
  return say(journal, event.detail);
}

export function putRebootOff(journal: AgentJournal, event: AgentEventOf<'deferral-changed'>): AgentStep {
  return { journal: { ...journal, deferral: event.deferral }, effects: [{ type: 'await-reboot' }] };
}

export function rebootFailed(journal: AgentJournal, event: AgentEventOf<'reboot-failed'>): AgentStep {
  const attempt = journal.attempt + 1;
  const { journal: next, effects } = say({ ...journal, attempt }, event.detail);
  return { journal: next, effects: [...effects, { type: 'retry-later', pace: 'slowly', attempt }] };
}

export function askForRebootAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [{ type: 'await-reboot' }] };
}

/** The agent starts with a system staged for the next start: was this that start? */
export function startedStaged(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (event.fellBack) return fellBack(journal, now);
  if (event.isNewBoot && event.isOnTarget) return enter(journal, 'BOOT_VERIFYING', now, { effects: [startJob('verify')] });
  if (!event.isNewBoot) return { journal, effects: [startJob('stage-boot')] };
  return missed(journal, now);
}

/** The machine was started without the staged system: that is staged again, a few times. */
function missed(journal: AgentJournal, now: number): AgentStep {
  const misses = (journal.boot?.misses ?? 0) + 1;
  const message = `the machine was started ${misses === 1 ? '' : `${misses} times `}with another system than the one that was staged`;
  if (misses >= MAX_MISSES) return startRollback(journal, now, { code: 'BOOTS_ANOTHER_SYSTEM', message }, { verdict: 'failed' });
  return enter(journal, 'BOOT_STAGED', now, {
    detail: { code: 'BOOTED_ANOTHER_SYSTEM', message: `${message}; staged once more` },
    changes: { ...withoutOverruling(journal), boot: { misses } },
    effects: [startJob('stage-boot')],
  });
}

function fellBack(journal: AgentJournal, now: number): AgentStep {
  return startRollback(
    journal,
    now,
    { code: 'BOOT_FAILED', message: 'the machine did not come to work with the new system; it was started with the one before' },
    { verdict: 'failed' },
  );
}

export function restartedVerifying(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (event.fellBack) return fellBack(journal, now);
  // Its power failed while it was verified, or the system did: with an entry for one start it is the old one that comes up.
  if (!event.isOnTarget) return missed(journal, now);
  return verifyAgain(journal, event, now);
}

/** Somebody runs another system by hand: what was staged is taken back before the next start brings it over their head. */
export function overriddenStaged(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  return takeBackStaged({ ...journal, override: event.override }, now, describeOverride(event.override));
}

/** They are corrected, by the policy: staged anew, with what runs now as the way back. */
export function correctStaged(journal: AgentJournal, _event: AgentEventOf<'resumed'>, now: number): AgentStep {
  return takeBackStaged(journal, now, { code: 'CORRECTED', message: 'somebody switched it by hand; its policy is to correct that' });
}

function takeBackStaged(journal: AgentJournal, now: number, detail: AgentDetail): AgentStep {
  const step = startRollback(journal, now, detail, { verdict: 'superseded' });
  return { ...step, effects: [{ type: 'stop-job' }, ...step.effects] };
}

/** A newer directive: what was staged is taken back first. A machine that is restarted once a month is not kept waiting. */
export function replaceStaged(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const waiting = keepWaiting(journal, event).journal;
  if (waiting === journal) return { journal, effects: [] };
  return takeBackStaged(waiting, now, { code: 'SUPERSEDED', message: 'a newer system came before the restart' });
}
