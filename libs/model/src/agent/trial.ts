import { startRollback } from './changing.ts';
import { keepWaiting } from './directives.ts';
import type { AgentEvent, AgentEventOf } from './events.ts';
import type { AgentJournal } from './journal.ts';
import { end, endUntried, ignore, TRIAL_OVER, type AgentStep } from './step.ts';
import { describeOverride } from './user-choices.ts';

/** The cells of a trial: its system runs until its end, and never becomes the machine's default. */

/** The end of a trial whose system runs: back to the system before. */
export function trialOver(journal: AgentJournal, event: AgentEventOf<'trial-over'>, now: number): AgentStep {
  return startRollback(journal, now, event.detail, { verdict: 'over' });
}

/** The same before anything was changed. */
export function trialOverUntried(journal: AgentJournal, event: AgentEventOf<'trial-over'>, now: number): AgentStep {
  return journal.directive?.trial == null ? ignore(journal) : endUntried(journal, now, event.detail);
}

/** The machine cannot try this system, and nothing was changed. */
export function trialRefused(journal: AgentJournal, event: AgentEventOf<'trial-refused'>, now: number): AgentStep {
  return journal.directive?.trial == null ? ignore(journal) : end(journal, 'REJECTED', now, { detail: event.detail });
}

/** Another directive arrived: it begins once the machine is back. */
export function replaceTrial(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const waiting = keepWaiting(journal, event).journal;
  if (waiting === journal) return ignore(journal);
  return startRollback(waiting, now, { code: TRIAL_OVER, message: 'another directive ended the trial' }, { verdict: 'over' });
}

/** A user ends the trial: by "floe-agent rollback" or "floe-agent resume". */
export function leaveTrial(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  return startRollback(journal, now, { code: TRIAL_OVER, message: 'a user ended the trial' }, { verdict: 'over' });
}

/** A user switched by hand during a trial. Back to the system before: the trial is over. To a third one: that is kept. */
export function overriddenTrial(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { override } = event;
  if (override.toplevel === journal.before?.toplevel) {
    return end(journal, 'IDLE', now, {
      detail: { code: TRIAL_OVER, message: 'the machine runs the system again that it had before the trial' },
      changes: { verdict: null },
    });
  }
  return end(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override, verdict: null } });
}

/** A restart of the agent does not end a trial; one of the machine does. The watchdog may have ended it meanwhile. */
export function restartedTrying(journal: AgentJournal, event: AgentEventOf<'restarted'>, now: number): AgentStep {
  if (event.isOnTarget && !event.isNewBoot) return ignore(journal);
  const message = event.isNewBoot ? 'the machine was restarted, which ends a trial' : 'the trial ended while the agent did not run';
  const detail = { code: TRIAL_OVER, message };
  // What the machine started stays, also another system that a user chose in the boot menu.
  if (event.isNewBoot && !event.isOnTarget) return end(journal, 'IDLE', now, { detail, changes: { verdict: null } });
  return startRollback(journal, now, detail, { verdict: 'over' });
}
