import type { AgentEvent, AgentEventOf } from './events.ts';
import type { AgentDetail, AgentJournal, LocalOverride } from './journal.ts';
import { takePending } from './directives.ts';
import { end, enter, ignore, startOver, withQuarantined, startJob, type AgentStep } from './step.ts';

/** What the fleet sees of a choice that was made at the machine. */
export function describeOverride({ by, toplevel }: LocalOverride): AgentDetail {
  const how = {
    rollback: 'its user went back to the system before',
    switch: 'somebody switched it by hand',
    boot: 'it was started with another system',
  }[by];
  const message = `${how} (${toplevel ?? 'nothing'} runs): kept until another system is desired (a day at least), "floe-agent resume", or "floe resume"`;
  return { code: 'LOCAL_OVERRIDE', message };
}

export function overridden(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { override } = event;
  return enter(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override } });
}

/** Somebody switched by hand in the middle: what was under way is over, and nothing of it is left armed. */
export function overriddenMidway(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { override } = event;
  const step = end(journal, 'IDLE', now, { detail: describeOverride(override), changes: { override, verdict: null } });
  return { ...step, effects: [{ type: 'stop-job' }, ...step.effects] };
}

/** The same on the way back: what failed is not tried again, and what is theirs is not switched away. */
export function overriddenOnTheWayBack(journal: AgentJournal, event: AgentEventOf<'overridden'>, now: number): AgentStep {
  const { verdict, boot, detail } = journal;
  // Their own way back; and what a start of the machine is to bring is put right first.
  if (verdict === 'unwanted' || boot !== null) return ignore(journal);
  const quarantined = verdict === 'failed' ? withQuarantined(journal) : journal.quarantined;
  const told = describeOverride(event.override);
  const message = `${told.message}; before that: ${detail?.message ?? 'unknown'}`;
  return end(journal, 'IDLE', now, { detail: { ...told, message }, changes: { override: event.override, verdict: null, quarantined } });
}

/** Back to what the fleet wants: the newest directive, from its beginning. */
export function resume(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  const { directive, quarantined, override } = journal;
  if (journal.pending !== null) return takePending({ ...journal, override: null }, event, now);
  if (directive === null) return ignore(journal);
  if (!quarantined.includes(directive.release.toplevel)) return startOver(journal, now);
  if (override === null) return ignore(journal);
  const detail = { code: 'QUARANTINED', message: 'the system that the fleet wants was put back here before: push another one, or ask for a retry' };
  return enter(journal, 'ROLLED_BACK', now, { detail, changes: { override: null } });
}

/** The person at the machine wants an earlier system back. */
export function goBack(journal: AgentJournal, event: AgentEventOf<'rollback-asked'>, now: number): AgentStep {
  // The end of a job is known by the epoch of its directive: without one, nobody would hear of it. Nor is there a system to leave.
  if (journal.directive === null) return ignore(journal);
  const { target } = event;
  const detail = { code: 'ASKED', message: 'its user asked for the system before' };
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

/** "Later", or "now": looked at again at once. */
export function changeDeferral(journal: AgentJournal, event: AgentEventOf<'deferral-changed'>): AgentStep {
  return { journal: { ...journal, deferral: event.deferral }, effects: [startJob('assess')] };
}
