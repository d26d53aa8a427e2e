import { duration, isTerminalAgentState, type AgentState, type StorePath } from '@floe/model';
import type { CommitName, ReportView } from '@floe/protocol';

/** What one host made of one directive: a row of its history. */
export interface Switch {
  /** Tells it from all others of the host. */
  readonly key: string;
  /** What it is about; null: the agent could not even read that. */
  readonly toplevel: StorePath | null;
  /** The commit of that. */
  readonly commit: CommitName | null;
  /** What it came to, or how far it is. */
  readonly state: AgentState;
  readonly isOver: boolean;
  readonly startedAt: number;
  /** When `state` was reported. */
  readonly at: number;
  /** Why, or what it waits for. */
  readonly detail: string | null;
  /** All that was measured on the way. */
  readonly timings: NonNullable<ReportView['timings']>;
  /** Newest first. */
  readonly reports: readonly ReportView[];
}

/**
 * A host's reports (newest first), put together to its switches, newest first. An agent counts its directives by epochs, and may
 * begin to count from 1 again (another series).
 */
export function switchesOf(reports: readonly ReportView[]): readonly Switch[] {
  const groups = Map.groupBy(reports, ({ series, epoch }) => `${series} ${epoch}`);
  return [...groups].flatMap(([key, group]) => {
    // What came after the end (a choice of its user, a change by hand) is no part of the switch; its reports are kept.
    const end = group.find(({ state }) => isTerminalAgentState(state)) ?? group[0];
    const first = group.at(-1);
    if (end === undefined || first === undefined) return [];
    const about = end.toplevel === null ? group.find(({ toplevel }) => toplevel !== null) : end;
    return [
      {
        key,
        toplevel: about?.toplevel ?? null,
        commit: about?.commit ?? null,
        state: end.state,
        isOver: isTerminalAgentState(end.state),
        startedAt: first.receivedAt,
        at: end.receivedAt,
        detail: end.detail?.message ?? null,
        timings: Object.assign({}, ...group.toReversed().map(({ timings }) => timings)) as Switch['timings'],
        reports: group,
      },
    ];
  });
}

/** How a switch ended looks like this. */
export function switchTone({ state, isOver }: Pick<Switch, 'state' | 'isOver'>): 'good' | 'busy' | 'bad' {
  if (!isOver) return 'busy';
  return state === 'SUCCEEDED' ? 'good' : 'bad';
}

/** How long its steps took together, without waiting; null: nothing was measured. */
export function tookText({ timings }: Pick<Switch, 'timings'>): string | null {
  const all = Object.values(timings).filter((ms) => ms !== undefined);
  return all.length === 0 ? null : duration(all.reduce((sum, ms) => sum + ms, 0));
}

/** A switch that failed, or a step of one that is not over. */
export interface Failure extends Pick<Switch, 'state' | 'toplevel' | 'commit' | 'at'> {
  /** Which check failed, or what else went wrong. */
  readonly reason: string | null;
  /** The report that the end of the log came with. */
  readonly logged: ReportView | null;
}

/** What went wrong with a switch; undefined: nothing. */
export function failureOfSwitch({ state, isOver, toplevel, commit, at, detail, reports }: Switch): Failure | undefined {
  const logged = reports.find(({ hasLog }) => hasLog) ?? null;
  const hasFailed = (isOver && state !== 'SUCCEEDED') || state === 'BLOCKED';
  if (!hasFailed && logged === null) return undefined;
  // Of one that got over it, the step that failed.
  const step = hasFailed ? undefined : (logged ?? undefined);
  return {
    state: step?.state ?? state,
    toplevel,
    commit,
    at: step?.receivedAt ?? at,
    reason: (step === undefined ? detail : null) ?? logged?.detail?.message ?? null,
    logged,
  };
}
