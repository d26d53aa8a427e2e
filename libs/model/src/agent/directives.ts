import type { AgentEffect, AgentEvent, AgentEventOf } from './events.ts';
import { acceptedSequence, type AgentJournal, type LocalOverride } from './journal.ts';
import { begin, ignore, reportOf, type AgentStep } from './step.ts';

/** Bound of the list in the journal. */
const MAX_SEQUENCES = 20;
/** For so long at least a person's choice stands, also against another system than the one that they did not want. */
export const OVERRIDE_MIN_MS = 24 * 3600 * 1000;

/** Remembers that the directive was accepted; undefined when it may not be (whatever was checked before). */
function accept(journal: AgentJournal, event: AgentEventOf<'offered'>): AgentJournal | undefined {
  const { epoch, isRetry, release } = event.directive;
  const { repository, ref, sequence, toplevel } = release;
  if (epoch <= journal.epoch || sequence < acceptedSequence(journal, repository, ref)) return undefined;
  if (journal.quarantined.includes(toplevel) && !isRetry) return undefined;
  const others = journal.sequences.filter((each) => each.repository !== repository || each.ref !== ref);
  return {
    ...journal,
    epoch,
    sequences: [...others, { repository, ref, sequence }].slice(-MAX_SEQUENCES),
    freshness: event.freshness ?? journal.freshness,
  };
}

export function takeOffered(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const accepted = accept(journal, event);
  if (accepted === undefined) return ignore(journal);
  const { directive } = event;
  const { override } = accepted;
  if (override === null || directive.isRetry) return begin(accepted, directive, now);
  return keepOverride({ ...accepted, pending: directive }, override, now) ?? begin(accepted, directive, now);
}

/** What becomes of a directive that waits while somebody here chose otherwise; undefined: its turn has come. */
function keepOverride(journal: AgentJournal, override: LocalOverride, now: number): AgentStep | undefined {
  const { directive, pending } = journal;
  if (pending !== null && pending.release.toplevel === directive?.release.toplevel) {
    // The very system that they did not want, under a new number.
    const next = { ...journal, directive: pending, pending: null };
    return { journal: next, effects: [reportOf(next)] };
  }
  // Kept: by a clock that was a year ahead when the choice was made, it would stand for a year.
  const since = Math.min(override.since, now);
  const at = since + OVERRIDE_MIN_MS;
  if (at <= now) return undefined;
  const next = since === override.since ? journal : { ...journal, override: { ...override, since } };
  return { journal: next, effects: [{ type: 'take-pending-at', at }] };
}

export function replace(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const accepted = accept(journal, event);
  return accepted === undefined ? ignore(journal) : begin(accepted, event.directive, now, [{ type: 'stop-job' }]);
}

export function keepWaiting(journal: AgentJournal, event: AgentEventOf<'offered'>): AgentStep {
  const accepted = accept(journal, event);
  return { journal: accepted === undefined ? journal : { ...accepted, pending: event.directive }, effects: [] };
}

/** The turn of the directive that waited. While it did, its system may have been found not to work. */
export function takePending(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  const { pending, override } = journal;
  if (pending === null) return ignore(journal);
  const waiting = override === null || pending.isRetry ? undefined : keepOverride(journal, override, now);
  if (waiting !== undefined) return waiting;
  const { toplevel } = pending.release;
  if (pending.isRetry || !journal.quarantined.includes(toplevel)) return begin(journal, pending, now);
  const detail = { code: 'QUARANTINED', message: 'this system was put back here before: push another one, or ask for a retry' };
  return { journal: { ...journal, pending: null }, effects: [{ type: 'report', state: 'REJECTED', epoch: pending.epoch, toplevel, detail }] };
}

/**
 * The first event of a run with no directive under way: what a crash kept from being let go is let go now. A journal
 * without any may be one that was lost in the middle of a change: then what watches over the machine has the last word.
 */
export function wakeUp(journal: AgentJournal): AgentStep {
  const tidy: AgentEffect[] = journal.state === 'ROLLBACK_FAILED' || journal.directive === null ? [] : [{ type: 'tidy' }];
  return { journal, effects: journal.pending === null ? tidy : [...tidy, { type: 'take-pending' }] };
}

export function refuse(journal: AgentJournal, event: AgentEventOf<'refused'>): AgentStep {
  const { epoch, toplevel, detail } = event;
  return { journal, effects: [{ type: 'report', state: 'REJECTED', epoch, toplevel, detail }] };
}

export function reportDrift(journal: AgentJournal): AgentStep {
  return { journal, effects: [reportOf(journal)] };
}
