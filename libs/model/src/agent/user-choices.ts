import type { AgentEvent, AgentEventOf } from './events.ts';
import { isTrialOpen, type AgentDetail, type AgentJournal, type LocalOverride } from './journal.ts';
import { takePending } from './directives.ts';
import { end, endUntried, enter, ignore, startJob, startOver, TRIAL_OVER, withQuarantined, type AgentStep } from './step.ts';

/** How a local override is reported. */
export function describeOverride({ by, toplevel }: LocalOverride): AgentDetail {
  const how = {
    rollback: 'a user went back to the previous system',
    switch: 'somebody switched this machine by hand',
    boot: 'somebody chose another system in the boot menu',
  }[by];
  const message = `${how} (${toplevel ?? 'nothing'} runs). It stays for at least a day and until a newer system is released, or until "floe-agent resume" or "floe resume"`;
  return { code: 'LOCAL_OVERRIDE', message };
}

export function overridden(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { override } = event;
  return enter(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override } });
}

/** A user switched during a change: end the directive, and disarm its watchdog. */
export function overriddenMidway(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { override } = event;
  const step = end(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override, verdict: null } });
  return { ...step, effects: [{ type: 'stop-job' }, ...step.effects] };
}

/** The same during a rollback: quarantine what failed, and keep the user's system. */
export function overriddenWhileRollingBack(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { verdict, boot, detail } = journal;
  // A rollback that the user asked for goes on. So does one that must restore the boot loader first.
  if (verdict === 'unwanted' || boot !== null) return ignore(journal);
  const quarantined = verdict === 'failed' ? withQuarantined(journal) : journal.quarantined;
  const override = describeOverride(event.override);
  const message = `${override.message}; before that: ${detail?.message ?? 'unknown'}`;
  return end(journal, 'IDLE', now, { detail: { ...override, message }, changes: { override: event.override, verdict: null, quarantined } });
}

/** Ends the local override: begins the newest directive from the start. */
export function resume(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  const { directive, quarantined, override } = journal;
  if (journal.pending !== null) return takePending({ ...journal, override: null }, event, now);
  if (directive === null) return ignore(journal);
  // A trial that has ended does not begin again; what the fleet has, the server says.
  if (directive.trial !== null) return override === null ? ignore(journal) : enter(journal, 'IDLE', now, { changes: { override: null } });
  if (!quarantined.includes(directive.release.toplevel)) return startOver(journal, now);
  if (override === null) return ignore(journal);
  const detail = {
    code: 'QUARANTINED',
    message: 'the system of the newest directive was rolled back on this machine before: push another one, or ask for a retry',
  };
  return enter(journal, 'ROLLED_BACK', now, { detail, changes: { override: null } });
}

/** A user wants an earlier system back. */
export function goBack(journal: AgentJournal, event: AgentEventOf<'rollback-asked'>, now: number): AgentStep {
  // A job's result names the epoch of its directive; without a directive it would be ignored.
  if (journal.directive === null) return ignore(journal);
  if (isTrialOpen(journal)) return endUntried(journal, now, { code: TRIAL_OVER, message: 'a user ended the trial before it began' });
  const { target } = event;
  const detail = { code: 'ASKED', message: 'a user asked for the previous system' };
  const before = { toplevel: target, profile: target, failedUnits: journal.before?.failedUnits ?? null, serverUrl: null, cache: null };
  return enter(journal, 'ROLLING_BACK', now, {
    detail,
    changes: { before, verdict: 'unwanted' },
    effects: [{ type: 'stop-job' }, startJob('roll-back')],
  });
}

/** The end of {@link goBack}. */
export function wentBack(journal: AgentJournal, now: number): AgentStep {
  const override: LocalOverride = { toplevel: journal.before?.toplevel ?? null, since: now, by: 'rollback' };
  return end(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override, verdict: null } });
}

/** A user said "later" or "now": assess again at once. */
export function changeDeferral(journal: AgentJournal, event: AgentEventOf<'deferral-changed'>): AgentStep {
  return { journal: { ...journal, deferral: event.deferral }, effects: [startJob('assess')] };
}
