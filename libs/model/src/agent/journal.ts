import type { AgentState } from './state.ts';
import type { CommitSha, StorePath } from '../brands.ts';
import type { Observed } from '../observed.ts';
import type { Detail, StageTimings } from '../report.ts';

/** The version of the journal's form on disk. */
export const AGENT_JOURNAL_VERSION = 1;

/** The parts of a signed release that the agent acts on. */
export interface AgentRelease {
  readonly repository: string;
  readonly ref: string;
  readonly commit: CommitSha;
  readonly sequence: number;
  readonly toplevel: StorePath;
  readonly closureSizeBytes: number;
}

/** A directive whose signatures and claims were checked. */
export interface AgentDirective {
  readonly epoch: number;
  readonly mode: 'stage' | 'activate' | 'boot' | 'hold';
  /** A person asked to try a quarantined toplevel again. */
  readonly isRetry: boolean;
  readonly release: AgentRelease;
  /** The signed envelope as it came, in JSON: the proof of why the machine changed. */
  readonly envelope: string;
}

/** See `Impact` in libs/protocol. */
export type AgentImpact = 'none' | 'units' | 'session' | 'reboot';

export type AgentDetail = Detail;
export type AgentTimings = StageTimings;

/** The highest sequence that was accepted of one repository and ref. */
export interface AcceptedSequence {
  readonly repository: string;
  readonly ref: string;
  readonly sequence: number;
}

/** "The newest sequence is N, as of T", as the release key signed it. */
export interface AgentFreshness extends AcceptedSequence {
  readonly asOf: number;
}

/** What was there before an activation, written down before the first change. */
export interface BeforeActivation {
  /** The only path that a rollback goes to; null on a machine that never ran a system that could be gone back to. */
  readonly toplevel: StorePath | null;
  /** What the profile named. It stays that until COMMITTING. */
  readonly profile: StorePath | null;
  /** Units that had failed already; null where there is no systemd. */
  readonly failedUnits: readonly string[] | null;
  /** The server that it talked to; null when that does not matter. */
  readonly serverUrl: string | null;
  /** The caches and keys that it downloaded by; null when that does not matter. */
  readonly cache: string | null;
}

/** How long a system has waited on this machine, and what its people said about it. */
export interface Deferral {
  /** When the first system that still waits began to, ms. A newer one goes on waiting from there. */
  readonly since: number;
  /** When the first one began to wait for a restart; null: none did. */
  readonly restartSince: number | null;
  /** How often a person said "later". */
  readonly laterCount: number;
  readonly laterUntil: number | null;
  /** A person said that it need not wait. */
  readonly isOverruled: boolean;
}

/** A person's choice of a system on this machine. It is reported and not fought. */
export interface LocalOverride {
  /** What runs instead. */
  readonly toplevel: StorePath | null;
  readonly since: number;
  readonly by: 'rollback' | 'switch' | 'boot';
}

/** A system that the next start of the machine brings. */
export interface StagedBoot {
  /** How often the machine was started since, without it. */
  readonly misses: number;
}

/** A durable fact for the server. It is part of the journal, so that a step and its report are written in one. */
export interface AgentReport {
  readonly seq: number;
  readonly epoch: number;
  readonly state: AgentState;
  readonly toplevel: StorePath | null;
  readonly observed: Observed;
  readonly detail?: AgentDetail;
  readonly timings?: AgentTimings;
  /** The last words of what failed, redacted. */
  readonly log?: string;
  readonly at: number;
}

/** All that an agent remembers. Replaced on disk before the side effect of every step. */
export interface AgentJournal {
  readonly version: typeof AGENT_JOURNAL_VERSION;
  readonly state: AgentState;
  /** When `state` was entered: the agent's clock, shown and never compared. */
  readonly since: number;
  readonly detail: AgentDetail | null;
  /** The directive that `state` is about. */
  readonly directive: AgentDirective | null;
  /** A newer one that came during an activation and waits for its verdict. */
  readonly pending: AgentDirective | null;
  /** The highest epoch that was ever accepted. */
  readonly epoch: number;
  readonly sequences: readonly AcceptedSequence[];
  readonly freshness: AgentFreshness | null;
  readonly before: BeforeActivation | null;
  /**
   * Whether the activated system was found to work; null until that is known. 'no-contact': it could not reach the
   * server, which counts against it only if the system before can. 'unwanted': it works, but a person wants the one
   * before. 'superseded': never tried, a newer one came.
   */
  readonly verdict: 'passed' | 'failed' | 'no-contact' | 'unwanted' | 'superseded' | null;
  /** Counts the activations: their units and files are named by it. */
  readonly activation: number;
  /** What the switch would touch, once that is known. */
  readonly impact: AgentImpact | null;
  readonly deferral: Deferral | null;
  /** What becomes the machine's system with its next start. */
  readonly boot: StagedBoot | null;
  /** How often the agent was stopped between ACTIVATING and the verdict, for this directive. */
  readonly interruptions: number;
  /** Failed tries in a row of what `state` is waiting for. */
  readonly attempt: number;
  /** How often something was in the way of this directive (BLOCKED). */
  readonly blocks: number;
  /** Systems that were put back here, oldest first. Only a person lets one be tried again. */
  readonly quarantined: readonly StorePath[];
  readonly override: LocalOverride | null;
  /** What ran before the newest system that this agent committed: where a person may go back to. */
  readonly previous: StorePath | null;
  readonly timings: AgentTimings;
  readonly nextReportSeq: number;
  /** The newest report. The queue has it too, but for a crash between the two writes. */
  readonly report: AgentReport | null;
}

/** The journal of an agent that was never told anything. */
export function emptyJournal(now: number): AgentJournal {
  return {
    version: AGENT_JOURNAL_VERSION,
    state: 'IDLE',
    since: now,
    detail: null,
    directive: null,
    pending: null,
    epoch: 0,
    sequences: [],
    freshness: null,
    before: null,
    verdict: null,
    activation: 0,
    impact: null,
    deferral: null,
    boot: null,
    interruptions: 0,
    attempt: 0,
    blocks: 0,
    quarantined: [],
    override: null,
    previous: null,
    timings: {},
    nextReportSeq: 1,
    report: null,
  };
}

/** The highest sequence accepted of this repository and ref; 0 when there is none. */
export function acceptedSequence(journal: AgentJournal, repository: string, ref: string): number {
  return journal.sequences.find((each) => each.repository === repository && each.ref === ref)?.sequence ?? 0;
}

/** The newest directive that was accepted, whether it is under way or waits. */
export function newestDirective(journal: AgentJournal): AgentDirective | null {
  return journal.pending ?? journal.directive;
}

const PREPARING: ReadonlySet<AgentState> = new Set(['OFFERED', 'DOWNLOADING', 'STAGED', 'DEFERRED', 'PRECHECK', 'BLOCKED']);

/** A directive is under way, and the machine was not changed for it yet. */
export function isPreparing({ state, verdict }: AgentJournal): boolean {
  return PREPARING.has(state) && verdict !== 'passed';
}

/** What the machine should run as far as this agent left it, or last saw it; null when that is unknown. */
export function expectedSystem(journal: AgentJournal): StorePath | null {
  const { state, directive, before, verdict } = journal;
  if (isPreparing(journal)) return journal.report?.observed.current ?? null;
  if (state === 'BOOT_STAGED') return before?.toplevel ?? null;
  if (state === 'SUCCEEDED' || (state === 'BLOCKED' && verdict === 'passed')) return directive?.release.toplevel ?? null;
  return state === 'ROLLED_BACK' ? (before?.toplevel ?? null) : null;
}

/**
 * Where a rollback would go: the first of what runs now, what the profile names and what was booted that is neither
 * the new system itself nor one that was put back before. Null when nothing is left.
 */
export function rollbackTarget(journal: AgentJournal, observed: Observed, toplevel: StorePath): StorePath | null {
  const candidates = [observed.current, observed.profile?.toplevel, observed.booted];
  return candidates.find((path) => path != null && path !== toplevel && !journal.quarantined.includes(path)) ?? null;
}
