import type { AgentEffect, AgentEvent, AgentEventOf } from './events.ts';
import { acceptedSequence, type AgentDirective, type AgentJournal, type LocalOverride } from './journal.ts';
import { begin, ignore, reportOf, type AgentStep } from './step.ts';

/** Bound of the list in the journal. */
const MAX_SEQUENCES = 20;
/** How long a local override holds at least, even against a newer system. */
export const OVERRIDE_MIN_MS = 24 * 3600 * 1000;

/** The journal with the directive's epoch and sequence accepted; undefined: it must not be accepted, whatever was checked before. */
function accept(journal: AgentJournal, event: AgentEventOf<'offered'>): AgentJournal | undefined {
  const { epoch, isRetry, release, trial } = event.directive;
  const { repository, ref, sequence, toplevel } = release;
  const highest = acceptedSequence(journal, repository, ref);
  if (epoch <= journal.epoch || (trial === null && sequence < highest && (event.floor ?? -1) < highest)) return undefined;
  if (journal.quarantined.includes(toplevel) && (!isRetry || trial !== null)) return undefined;
  // A trial says nothing about the branch that this machine follows: it accepts no sequence.
  if (trial !== null) return { ...journal, epoch };
  const others = journal.sequences.filter((each) => each.repository !== repository || each.ref !== ref);
  // A journal that was lost has none: the permit says what it was.
  const floor = highest === 0 ? (event.floor ?? 0) : highest;
  return {
    ...journal,
    epoch,
    sequences: [...others, { repository, ref, sequence: Math.max(sequence, floor) }].slice(-MAX_SEQUENCES),
    freshness: event.freshness ?? journal.freshness,
  };
}

export function takeOffered(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const accepted = accept(journal, event);
  if (accepted === undefined) return ignore(journal);
  const { directive } = event;
  const { override } = accepted;
  if (override !== null && directive.trial !== null) return refuseTrial(accepted, directive);
  if (override === null || directive.isRetry) return begin(accepted, directive, now);
  return keepOverride({ ...accepted, pending: directive }, override, now) ?? begin(accepted, directive, now);
}

/** A system that a user chose is not replaced by one that is only tried. */
function refuseTrial(journal: AgentJournal, { epoch, release }: AgentDirective): AgentStep {
  const message = 'a user chose another system on this machine, and a trial does not replace it: run "floe-agent resume" first';
  const detail = { code: 'LOCAL_OVERRIDE', message };
  return { journal, effects: [{ type: 'report', state: 'REJECTED', epoch, toplevel: release.toplevel, detail }] };
}

/** Keeps the local override while the pending directive waits; undefined: the override has ended, and the directive's turn has come. */
function keepOverride(journal: AgentJournal, override: LocalOverride, now: number): AgentStep | undefined {
  const { directive, pending } = journal;
  if (pending !== null && directive?.trial == null && pending.release.toplevel === directive?.release.toplevel) {
    // The same system that the user left, under a new epoch.
    const next = { ...journal, directive: pending, pending: null };
    return { journal: next, effects: [reportOf(next)] };
  }
  // Corrected and kept: an override made under a clock that was a year ahead would hold for a year.
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

/** Begins the pending directive. Its system may have been quarantined while it waited. */
export function takePending(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  const { pending, override } = journal;
  if (pending === null) return ignore(journal);
  if (override !== null && pending.trial !== null) return refuseTrial({ ...journal, pending: null }, pending);
  const waiting = override === null || pending.isRetry ? undefined : keepOverride(journal, override, now);
  if (waiting !== undefined) return waiting;
  const { toplevel } = pending.release;
  if (pending.isRetry || !journal.quarantined.includes(toplevel)) return begin(journal, pending, now);
  const detail = { code: 'QUARANTINED', message: 'this system was rolled back on this machine before: push another one, or ask for a retry' };
  return { journal: { ...journal, pending: null }, effects: [{ type: 'report', state: 'REJECTED', epoch: pending.epoch, toplevel, detail }] };
}

/**
 * The first event of a run with no directive under way: tidies what a crash left. Not when the journal is empty: it may have
 * been lost during a change, and then the watchdog decides.
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
