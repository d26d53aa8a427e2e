import type { AgentEffect, AgentJob } from './events.ts';
import type { AgentDetail, AgentDirective, AgentJournal, AgentTimings, Deferral } from './journal.ts';
import type { AgentState } from './state.ts';

/** One decision: first the journal goes to disk, then the effects run. */
export interface AgentStep {
  readonly journal: AgentJournal;
  readonly effects: readonly AgentEffect[];
}

/** After this many interruptions of one activation, the system counts as their cause and is quarantined. */
export const MAX_INTERRUPTIONS = 3;
/** Bound of the list in the journal. */
const MAX_QUARANTINED = 100;

/** The cell of an event that changes nothing in a state. */
export function ignore(journal: AgentJournal): AgentStep {
  return { journal, effects: [] };
}

export interface Entry {
  readonly detail?: AgentDetail | null;
  readonly changes?: Partial<AgentJournal>;
  readonly timings?: AgentTimings;
  readonly effects?: readonly AgentEffect[];
}

/** Enters `state`, reports it, then runs the entry's effects. */
export function enter(journal: AgentJournal, state: AgentState, now: number, entry: Entry = {}): AgentStep {
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

export function reportOf(journal: AgentJournal): AgentEffect {
  const { state, directive, detail } = journal;
  return { type: 'report', state, epoch: directive?.epoch ?? 0, toplevel: directive?.release.toplevel ?? null, detail };
}

export function startJob(job: AgentJob): AgentEffect {
  return { type: 'start-job', job };
}

/** Something prevents the next job: retry, with growing pauses. */
export function block(journal: AgentJournal, now: number, detail: AgentDetail, changes: Partial<AgentJournal> = {}): AgentStep {
  const blocks = journal.blocks + 1;
  return enter(journal, 'BLOCKED', now, {
    detail,
    changes: { ...changes, blocks },
    effects: [{ type: 'retry-later', pace: 'slowly', attempt: blocks }],
  });
}

const NOT_DEFERRED: Deferral = { since: 0, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: false };

/** The deferral of a system that begins to wait now, or has waited already. */
export function waitingSince({ deferral }: AgentJournal, now: number): Deferral {
  return deferral ?? { ...NOT_DEFERRED, since: now };
}

/** The same for a wait for a restart. A newer system inherits the start of the wait, so that pushes do not extend the deadline. */
export function waitingForRestart(journal: AgentJournal, now: number): Pick<AgentJournal, 'deferral'> {
  const deferral = waitingSince(journal, now);
  return { deferral: { ...deferral, restartSince: deferral.restartSince ?? now, isOverruled: false } };
}

/** A user's "now" does not count for later questions. */
export function withoutOverruling({ deferral }: AgentJournal): Pick<AgentJournal, 'deferral'> {
  return { deferral: deferral === null ? null : { ...deferral, isOverruled: false } };
}

/** Ends the directive. A pending one begins. */
export function end(journal: AgentJournal, state: AgentState, now: number, entry: Entry = {}): AgentStep {
  const changes = { ...entry.changes, deferral: null, boot: null };
  const step = enter(journal, state, now, { ...entry, changes, effects: [{ type: 'tidy' }] });
  return journal.pending === null ? step : { ...step, effects: [...step.effects, { type: 'take-pending' }] };
}

/** Begins an accepted directive. It inherits the deferral of a system that waited before it. */
export function begin(journal: AgentJournal, directive: AgentDirective, now: number, first: readonly AgentEffect[] = []): AgentStep {
  const fresh: Partial<AgentJournal> = {
    directive,
    quarantined: journal.quarantined.filter((each) => each !== directive.release.toplevel),
    pending: null,
    before: null,
    verdict: null,
    impact: null,
    boot: null,
    override: null,
    ...withoutOverruling(journal),
    interruptions: 0,
    blocks: 0,
    timings: {},
  };
  return enter(journal, 'OFFERED', now, { changes: fresh, effects: [...first, startJob('inspect')] });
}

export function startOver(journal: AgentJournal, now: number, detail: AgentDetail | null = null): AgentStep {
  const changes = { before: null, verdict: null, boot: null, override: null };
  return enter(journal, 'OFFERED', now, { detail, changes, effects: [startJob('inspect')] });
}

export function download(journal: AgentJournal, now: number, detail: AgentDetail | null = null): AgentStep {
  return enter(journal, 'DOWNLOADING', now, { detail, effects: [startJob('download')] });
}

/** The try says nothing about the system: start over, or begin the pending directive. */
export function tryAgain(journal: AgentJournal, now: number, detail: AgentDetail | null): AgentStep {
  return journal.pending === null ? startOver(journal, now, detail) : begin(journal, journal.pending, now);
}

/** The code of a trial that ended as it should. */
export const TRIAL_OVER = 'TRIAL_OVER';
/** The code of a trial whose system failed, and was rolled back. */
export const TRIAL_FAILED = 'TRIAL_FAILED';

/** Why a system whose kernel differs, say, is not tried. */
export const TRIAL_NEEDS_RESTART: AgentDetail = {
  code: 'TRIAL_NEEDS_RESTART',
  message: 'this system takes effect only with a restart of the machine, and a restart ends a trial: it cannot be tried',
};

/** Ends a directive that changed nothing yet, without a verdict about its system. */
export function endUntried(journal: AgentJournal, now: number, detail: AgentDetail): AgentStep {
  const step = end(journal, 'IDLE', now, { detail });
  return { ...step, effects: [{ type: 'stop-job' }, ...step.effects] };
}

/** The quarantine with the system of the directive. A system that was only tried is judged again when the fleet brings it. */
export function withQuarantined(journal: AgentJournal): AgentJournal['quarantined'] {
  const toplevel = journal.directive?.release.toplevel;
  if (toplevel === undefined || journal.directive?.trial != null) return journal.quarantined;
  return [...journal.quarantined.filter((each) => each !== toplevel), toplevel].slice(-MAX_QUARANTINED);
}
