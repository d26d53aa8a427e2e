import type { AgentEffect, AgentEvent, AgentEventOf, AgentEventType, AgentWork } from './agent-events.ts';
import { acceptedSequence, type AgentDetail, type AgentDirective, type AgentJournal, type AgentTimings } from './agent-journal.ts';
import type { AgentState } from './agent-state.ts';

export interface AgentStep {
  readonly journal: AgentJournal;
  readonly effects: readonly AgentEffect[];
}

/** After this many interruptions of one activation the system itself is suspected, and quarantined. */
export const MAX_INTERRUPTIONS = 3;
/** Bounds of lists in the journal. */
const MAX_QUARANTINED = 100;
const MAX_SEQUENCES = 20;

type Cell<Type extends AgentEventType> = (journal: AgentJournal, event: AgentEventOf<Type>, now: number) => AgentStep;
type Row = { readonly [Type in AgentEventType]: Cell<Type> };

/**
 * What an agent does about an event: the journal to be on disk first, then the effects. Pure. SPEC.md, "Agent", has
 * the table in words and its invariants; a missing cell does not compile.
 */
export function decide(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  if (isLate(journal, event)) return { journal, effects: [] };
  const cell = TABLE[journal.state][event.type] as Cell<AgentEventType>;
  return cell(journal, event, now);
}

function isLate(journal: AgentJournal, event: AgentEvent): boolean {
  return 'epoch' in event && event.type !== 'refused' && event.epoch !== journal.directive?.epoch;
}

// ---- steps -------------------------------------------------------------------------------------------------------

function ignore(journal: AgentJournal): AgentStep {
  return { journal, effects: [] };
}

interface Entry {
  readonly detail?: AgentDetail | null;
  readonly changes?: Partial<AgentJournal>;
  readonly timings?: AgentTimings;
  readonly effects?: readonly AgentEffect[];
}

/** Enters `state`, says so, then does the entry's effects. */
function enter(journal: AgentJournal, state: AgentState, now: number, entry: Entry = {}): AgentStep {
  const next: AgentJournal = {
    ...journal,
    attempt: 0,
    ...entry.changes,
    timings: { ...(entry.changes?.timings ?? journal.timings), ...entry.timings },
    detail: entry.detail ?? null,
    state,
    since: now,
  };
  return { journal: next, effects: [reportOf(next), ...(entry.effects ?? [])] };
}

function reportOf(journal: AgentJournal): AgentEffect {
  const { state, directive, detail } = journal;
  return { type: 'report', state, epoch: directive?.epoch ?? 0, toplevel: directive?.release.toplevel ?? null, detail };
}

function work(name: AgentWork): AgentEffect {
  return { type: 'work', work: name };
}

function startOver(journal: AgentJournal, now: number, detail: AgentDetail | null = null): AgentStep {
  return enter(journal, 'OFFERED', now, { detail, changes: { before: null, verdict: null }, effects: [work('inspect')] });
}

function download(journal: AgentJournal, now: number, detail: AgentDetail | null = null): AgentStep {
  return enter(journal, 'DOWNLOADING', now, { detail, effects: [work('download')] });
}

/** Ends the directive. A newer one that waited has its turn. */
function end(journal: AgentJournal, state: AgentState, now: number, entry: Entry = {}): AgentStep {
  const step = enter(journal, state, now, { ...entry, effects: [{ type: 'tidy' }] });
  return journal.pending === null ? step : { ...step, effects: [...step.effects, { type: 'take-pending' }] };
}

function withQuarantined(journal: AgentJournal): AgentJournal['quarantined'] {
  const toplevel = journal.directive?.release.toplevel;
  if (toplevel === undefined) return journal.quarantined;
  return [...journal.quarantined.filter((each) => each !== toplevel), toplevel].slice(-MAX_QUARANTINED);
}

// ---- directives --------------------------------------------------------------------------------------------------

/** Remembers that `directive` was accepted; undefined when it may not be (whatever was checked before). */
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

function begin(journal: AgentJournal, directive: AgentDirective, now: number, first: readonly AgentEffect[] = []): AgentStep {
  const quarantined = journal.quarantined.filter((each) => each !== directive.release.toplevel);
  const fresh = { directive, quarantined, pending: null, before: null, verdict: null, interruptions: 0, timings: {} };
  return enter(journal, 'OFFERED', now, { changes: fresh, effects: [...first, work('inspect')] });
}

function takeOffered(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const accepted = accept(journal, event);
  return accepted === undefined ? ignore(journal) : begin(accepted, event.directive, now);
}

function replace(journal: AgentJournal, event: AgentEventOf<'offered'>, now: number): AgentStep {
  const accepted = accept(journal, event);
  return accepted === undefined ? ignore(journal) : begin(accepted, event.directive, now, [{ type: 'stop-work' }]);
}

function keepWaiting(journal: AgentJournal, event: AgentEventOf<'offered'>): AgentStep {
  const accepted = accept(journal, event);
  return { journal: accepted === undefined ? journal : { ...accepted, pending: event.directive }, effects: [] };
}

/** The turn of the directive that waited. While it did, its system may have been found not to work. */
function takePending(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  const { pending } = journal;
  if (pending === null) return ignore(journal);
  const { toplevel } = pending.release;
  if (pending.isRetry || !journal.quarantined.includes(toplevel)) return begin(journal, pending, now);
  const detail = { code: 'QUARANTINED', message: 'this system was put back here before: push another one, or ask for a retry' };
  return { journal: { ...journal, pending: null }, effects: [{ type: 'report', state: 'REJECTED', epoch: pending.epoch, toplevel, detail }] };
}

function refuse(journal: AgentJournal, event: AgentEventOf<'refused'>): AgentStep {
  const { epoch, toplevel, detail } = event;
  return { journal, effects: [{ type: 'report', state: 'REJECTED', epoch, toplevel, detail }] };
}

function reportDrift(journal: AgentJournal): AgentStep {
  return { journal, effects: [reportOf(journal)] };
}

// ---- before the machine is changed -------------------------------------------------------------------------------

function inspected(journal: AgentJournal, event: AgentEventOf<'inspected'>, now: number): AgentStep {
  if (journal.directive?.mode === 'hold') {
    return enter(journal, 'IDLE', now, { detail: { code: 'HELD', message: 'told to stay as it is' }, effects: [{ type: 'tidy' }] });
  }
  // Nothing is left to be done, so nothing is switched: to restart units of a system that runs already helps nobody.
  if (event.isOnIt)
    return end(journal, 'SUCCEEDED', now, { detail: { code: 'ALREADY_ON_IT', message: 'the machine already runs and boots this system' } });
  return download(journal, now);
}

function downloaded(journal: AgentJournal, event: AgentEventOf<'downloaded'>, now: number): AgentStep {
  const effects: AgentEffect[] = journal.directive?.mode === 'activate' ? [{ type: 'ask' }] : [];
  return enter(journal, 'STAGED', now, { timings: { downloadMs: event.tookMs }, effects });
}

function downloadFailed(journal: AgentJournal, event: AgentEventOf<'download-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  if (!event.isRetryable) {
    return enter(journal, 'BLOCKED', now, {
      detail: event.detail,
      changes: { attempt },
      effects: [{ type: 'retry-later', pace: 'slowly', attempt }],
    });
  }
  const next: AgentJournal = { ...journal, attempt, detail: event.detail };
  const retry: AgentEffect = { type: 'retry-later', pace: 'soon', attempt };
  // Tries go on for as long as it takes: said once per reason, not once per try.
  return { journal: next, effects: journal.detail?.code === event.detail.code ? [retry] : [reportOf(next), retry] };
}

function downloadAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [work('download')] };
}

function goAhead(journal: AgentJournal, _event: AgentEventOf<'go'>, now: number): AgentStep {
  if (journal.directive?.mode !== 'activate') return ignore(journal);
  return enter(journal, 'PRECHECK', now, { effects: [work('precheck')] });
}

function notClear(journal: AgentJournal, event: AgentEventOf<'not-clear'>, now: number): AgentStep {
  if (event.isGone) return download(journal, now, event.detail);
  const effects: AgentEffect[] = [{ type: 'retry-later', pace: 'slowly', attempt: 1 }];
  return enter(journal, 'BLOCKED', now, { detail: event.detail, effects });
}

function cleared(journal: AgentJournal, event: AgentEventOf<'cleared'>, now: number): AgentStep {
  return enter(journal, 'ACTIVATING', now, { changes: { before: event.before, verdict: null }, effects: [work('activate')] });
}

function prepareAgain(journal: AgentJournal, _event: AgentEventOf<'restarted'>, now: number): AgentStep {
  return download(journal, now);
}

// ---- from the first change to the verdict ------------------------------------------------------------------------

function switched(journal: AgentJournal, event: AgentEventOf<'switched'>, now: number): AgentStep {
  return enter(journal, 'VERIFYING', now, { timings: { activateMs: event.tookMs }, effects: [work('verify')] });
}

function verified(journal: AgentJournal, event: AgentEventOf<'verified'>, now: number): AgentStep {
  return enter(journal, 'COMMITTING', now, {
    detail: event.note,
    changes: { verdict: 'passed' },
    timings: { verifyMs: event.tookMs },
    effects: [work('commit')],
  });
}

function committed(journal: AgentJournal, event: AgentEventOf<'committed'>, now: number): AgentStep {
  // A first try keeps the note of the verification; after failed ones the detail is theirs, and over.
  return end(journal, 'SUCCEEDED', now, { detail: journal.attempt === 0 ? journal.detail : null, timings: { commitMs: event.tookMs } });
}

/** It runs and works, but is not what the machine starts next time: shown, tried again, and open to a newer directive. */
function commitFailed(journal: AgentJournal, event: AgentEventOf<'commit-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  const step = enter(journal, 'BLOCKED', now, { detail: event.detail, changes: { attempt } });
  const next: AgentEffect = journal.pending === null ? { type: 'retry-later', pace: 'slowly', attempt } : { type: 'take-pending' };
  return { ...step, effects: [...step.effects, next] };
}

function resumeBlocked(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  if (journal.pending !== null) return takePending(journal, event, now);
  const { attempt, detail } = journal;
  return journal.verdict === 'passed'
    ? enter(journal, 'COMMITTING', now, { detail, changes: { attempt }, effects: [work('commit')] })
    : enter(journal, 'DOWNLOADING', now, { detail, changes: { attempt }, effects: [work('download')] });
}

function commitAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [work('commit')] };
}

// ---- the way back ------------------------------------------------------------------------------------------------

function undo(journal: AgentJournal, now: number, detail: AgentDetail, changes: Partial<AgentJournal>, timings: AgentTimings): AgentStep {
  if (journal.before?.toplevel) return enter(journal, 'ROLLING_BACK', now, { detail, changes, timings, effects: [work('roll-back')] });
  const unmended = { ...journal, ...changes };
  if (changes.verdict === 'failed' || unmended.interruptions >= MAX_INTERRUPTIONS) {
    const message = `there is no earlier system to go back to; ${detail.message}`;
    const ending = { ...changes, quarantined: withQuarantined(journal) };
    return end(journal, 'ROLLBACK_FAILED', now, { detail: { code: 'NO_PREVIOUS_SYSTEM', message }, changes: ending, timings });
  }
  return tryAgain(unmended, now, detail);
}

/** Nothing was learned about the system: once more, or on to the newer directive. */
function tryAgain(journal: AgentJournal, now: number, detail: AgentDetail | null): AgentStep {
  return journal.pending === null ? startOver(journal, now, detail) : begin(journal, journal.pending, now);
}

function switchFailed(journal: AgentJournal, event: AgentEventOf<'switch-failed'>, now: number): AgentStep {
  return undo(journal, now, event.detail, { verdict: 'failed' }, { activateMs: event.tookMs });
}

function verifyFailed(journal: AgentJournal, event: AgentEventOf<'verify-failed'>, now: number): AgentStep {
  return undo(journal, now, event.detail, { verdict: event.isContactLost ? 'no-contact' : 'failed' }, { verifyMs: event.tookMs });
}

/** The agent was restarted while it verified, and found that the switch had gone through: the checks begin again. */
function verifyAgain(journal: AgentJournal, event: AgentEventOf<'switched'>, now: number): AgentStep {
  const interruptions = journal.interruptions + 1;
  if (interruptions >= MAX_INTERRUPTIONS) return interrupted(journal, { ...event, type: 'restarted' }, now);
  return { journal: { ...journal, interruptions }, effects: [work('verify')] };
}

/** The agent died between the first change and the verdict. That says nothing about the system, unless it goes on. */
function interrupted(journal: AgentJournal, _event: AgentEventOf<'restarted'>, now: number): AgentStep {
  const interruptions = journal.interruptions + 1;
  const message = `the agent was stopped in ${journal.state} (time ${interruptions} of at most ${MAX_INTERRUPTIONS})`;
  return undo(journal, now, { code: 'INTERRUPTED', message }, { interruptions }, {});
}

function rollBackAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [work('roll-back')] };
}

function rolledBack(journal: AgentJournal, event: AgentEventOf<'rolled-back'>, now: number): AgentStep {
  const timings = { rollbackMs: event.tookMs };
  const isAtFault = journal.verdict === 'failed' || (journal.verdict === 'no-contact' && event.hasContact);
  const isConclusive = isAtFault || journal.interruptions >= MAX_INTERRUPTIONS;
  if (isConclusive) return end(journal, 'ROLLED_BACK', now, { detail: journal.detail, changes: { quarantined: withQuarantined(journal) }, timings });
  return tryAgain(journal, now, journal.detail);
}

function rollbackFailed(journal: AgentJournal, event: AgentEventOf<'rollback-failed'>, now: number): AgentStep {
  const message = `${event.detail.message}; it went back because: ${journal.detail?.message ?? 'unknown'}`;
  const changes = { quarantined: journal.verdict === 'failed' ? withQuarantined(journal) : journal.quarantined };
  return end(journal, 'ROLLBACK_FAILED', now, { detail: { code: event.detail.code, message }, changes, timings: { rollbackMs: event.tookMs } });
}

function wakePending(journal: AgentJournal): AgentStep {
  return { journal, effects: journal.pending === null ? [] : [{ type: 'take-pending' }] };
}

// ---- the table ---------------------------------------------------------------------------------------------------

/** What no state does anything about, unless its row says otherwise. */
const NOTHING = {
  'retry-due': ignore,
  'pending-due': ignore,
  inspected: ignore,
  downloaded: ignore,
  'download-failed': ignore,
  go: ignore,
  cleared: ignore,
  'not-clear': ignore,
  switched: ignore,
  'switch-failed': ignore,
  verified: ignore,
  'verify-failed': ignore,
  committed: ignore,
  'commit-failed': ignore,
  'rolled-back': ignore,
  'rollback-failed': ignore,
} satisfies Partial<Row>;

/** No directive is under way. */
const RESTING: Row = { ...NOTHING, restarted: wakePending, offered: takeOffered, refused: refuse, drifted: reportDrift, 'pending-due': takePending };
/** A directive is under way, the machine is as it was: a newer one replaces it. */
const PREPARING: Row = { ...NOTHING, restarted: prepareAgain, offered: replace, refused: refuse, drifted: reportDrift };
/** The machine is being changed: a newer directive waits. Drift is not told apart from the change. */
const CHANGING: Row = { ...NOTHING, restarted: interrupted, offered: keepWaiting, refused: refuse, drifted: ignore };

const TABLE: Record<AgentState, Row> = {
  IDLE: RESTING,
  OFFERED: { ...PREPARING, restarted: (journal, _event, now) => startOver(journal, now), inspected },
  DOWNLOADING: { ...PREPARING, downloaded, 'download-failed': downloadFailed, 'retry-due': downloadAgain },
  STAGED: { ...PREPARING, go: goAhead },
  DEFERRED: { ...PREPARING, go: goAhead },
  PRECHECK: { ...CHANGING, restarted: prepareAgain, offered: replace, cleared, 'not-clear': notClear },
  ACTIVATING: { ...CHANGING, switched, 'switch-failed': switchFailed },
  VERIFYING: { ...CHANGING, switched: verifyAgain, verified, 'verify-failed': verifyFailed },
  COMMITTING: { ...CHANGING, restarted: commitAgain, committed, 'commit-failed': commitFailed },
  SUCCEEDED: RESTING,
  BOOT_STAGED: PREPARING,
  BOOT_VERIFYING: { ...CHANGING, verified, 'verify-failed': verifyFailed },
  ROLLING_BACK: { ...CHANGING, restarted: rollBackAgain, 'rolled-back': rolledBack, 'rollback-failed': rollbackFailed },
  ROLLED_BACK: RESTING,
  ROLLBACK_FAILED: RESTING,
  BLOCKED: { ...PREPARING, restarted: resumeBlocked, 'retry-due': resumeBlocked, 'pending-due': takePending },
  REJECTED: RESTING,
};
