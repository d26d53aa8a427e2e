import type { AgentState } from './state.ts';
import type { CommitSha, StorePath } from '../brands.ts';
import type { Observed } from '../observed.ts';
import type { Detail, StageTimings } from '../report.ts';

/** The version of the journal's format on disk. */
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

/** The end of a trial, by two clocks. */
export interface AgentTrial {
  /** As the release says, ms: for people. */
  readonly endsAt: number;
  /** The same by the machine's uptime, which never jumps and counts sleep, in ms. A restart ends the trial anyway. */
  readonly endsAtUptimeMs: number;
  /** The start of the machine that this uptime counts from. */
  readonly bootId: string;
}

/** How urgently an administrator asks for what a host should run: after a notice to its users, or without one. */
export const URGENCIES = ['soon', 'now'] as const;

/** An administrator asks for this directive: over windows and "later", until `until`, ms. */
export interface Urgency {
  readonly level: (typeof URGENCIES)[number];
  readonly by: string;
  readonly reason: string;
  readonly until: number;
  /** Since when the machine's users are told of it; null: not yet. */
  readonly noticedAt: number | null;
}

/** A directive that passed all checks. */
export interface AgentDirective {
  readonly epoch: number;
  /** Set: the system is only tried, until then. It never becomes the machine's default, and proves no sequence. */
  readonly trial: AgentTrial | null;
  readonly mode: 'stage' | 'activate' | 'boot' | 'hold';
  /** An administrator asked to try a quarantined toplevel again. */
  readonly isRetry: boolean;
  readonly urgent?: Urgency | undefined;
  readonly release: AgentRelease;
  /** The signed envelope as received, in JSON: the proof of why the machine changed. */
  readonly envelope: string;
}

/** See `Impact` in libs/protocol. */
export type AgentImpact = 'none' | 'units' | 'session' | 'reboot';

/** What a wait depends on, for the words that users of the machine are told. It is not reported: the server has the message. */
export interface WaitFacts {
  readonly what: 'download' | 'switch' | 'restart';
  /** Of all reasons. */
  readonly codes: readonly string[];
  /** When it goes ahead as far as time decides, ms; null: time alone ends no reason. */
  readonly startsAt: number | null;
  /** When it goes ahead in any case, ms; null: never. */
  readonly latestAt: number | null;
  /** What is waited for of other programs, in their words. */
  readonly programs: readonly string[];
  /** How often users can still put it off. Agents from before do not say. */
  readonly laterLeft?: number;
}

export interface AgentDetail extends Detail {
  /** Set where a system or a restart waits. */
  readonly wait?: WaitFacts;
}
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

/** The machine before an activation, recorded before the first change. */
export interface BeforeActivation {
  /** The target of a rollback; null: there is none. */
  readonly toplevel: StorePath | null;
  /** The system of the profile. It does not change until COMMITTING. */
  readonly profile: StorePath | null;
  /** Units that had failed before the activation; null where there is no systemd. */
  readonly failedUnits: readonly string[] | null;
  /** The server it was connected to; null when that does not matter. */
  readonly serverUrl: string | null;
  /** The caches and keys of its downloads; null when they do not matter. */
  readonly cache: string | null;
  /** Absent: it is not known. */
  readonly network?: NetworkBefore | undefined;
}

/** The network in which the server was reached before an activation. */
export interface NetworkBefore {
  /** The proxy to the server, without its login; null: there was none. */
  readonly proxy: string | null;
  /** The hardware addresses of its routers, by which the network is known again. */
  readonly routers: readonly string[];
}

/** How long a system has waited on this machine, and what users said about it. */
export interface Deferral {
  /** When the wait began, ms. A newer system that replaces the waiting one inherits it. */
  readonly since: number;
  /** The same for the wait for a restart; null: nothing waits for one. */
  readonly restartSince: number | null;
  /** How often a user said "later". */
  readonly laterCount: number;
  readonly laterUntil: number | null;
  /** A user said "now". */
  readonly isOverruled: boolean;
}

/** A system that a user chose on this machine. The agent reports it, and leaves it in place. */
export interface LocalOverride {
  /** What runs instead. */
  readonly toplevel: StorePath | null;
  readonly since: number;
  readonly by: 'rollback' | 'switch' | 'boot';
}

/** A system that is staged for the next start of the machine. */
export interface StagedBoot {
  /** How often the machine has started another system since. */
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
  /** The end of the log of what failed, redacted. */
  readonly log?: string;
  readonly at: number;
}

/** All that an agent remembers. On disk before the effects of each step run. */
export interface AgentJournal {
  readonly version: typeof AGENT_JOURNAL_VERSION;
  readonly state: AgentState;
  /** When `state` was entered: the agent's clock, shown and never compared. */
  readonly since: number;
  readonly detail: AgentDetail | null;
  /** The directive that `state` is about. */
  readonly directive: AgentDirective | null;
  /** A newer one that arrived during an activation, and waits for the verdict. */
  readonly pending: AgentDirective | null;
  /** The highest epoch that was ever accepted. */
  readonly epoch: number;
  readonly sequences: readonly AcceptedSequence[];
  readonly freshness: AgentFreshness | null;
  readonly before: BeforeActivation | null;
  /**
   * Whether the activated system works; null until that is known. 'no-contact': it did not reach the server, which counts
   * against it only if the previous system does. 'unwanted': it works, but a user wants the previous one. 'superseded': not
   * tried, because a newer one arrived. 'over': the trial of it has ended.
   */
  readonly verdict: 'passed' | 'failed' | 'no-contact' | 'unwanted' | 'superseded' | 'over' | null;
  /** Number of the newest activation. Its units and files have it in their names. */
  readonly activation: number;
  /** How much a switch would disrupt; null until that is known. */
  readonly impact: AgentImpact | null;
  readonly deferral: Deferral | null;
  /** Set while a system is staged for the next start. */
  readonly boot: StagedBoot | null;
  /** How often the agent was stopped between ACTIVATING and the verdict, for this directive. */
  readonly interruptions: number;
  /** Failed tries in a row of the job of `state`. */
  readonly attempt: number;
  /** How often this directive was BLOCKED. */
  readonly blocks: number;
  /** Systems that were rolled back here, oldest first. Only an administrator's retry allows one again. */
  readonly quarantined: readonly StorePath[];
  readonly override: LocalOverride | null;
  /** The system that ran before the newest committed one: the target of a user's rollback. */
  readonly previous: StorePath | null;
  readonly timings: AgentTimings;
  readonly nextReportSeq: number;
  /** The newest report. After a crash between the two writes, only the journal has it, not the queue. */
  readonly report: AgentReport | null;
}

/** The journal of an agent that never received a directive. */
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

/** What an administrator asks of the directive under way, while it counts. */
export function urgencyOf({ directive }: Pick<AgentJournal, 'directive'>, now: number): Urgency | undefined {
  const urgent = directive?.urgent;
  return urgent !== undefined && now < urgent.until ? urgent : undefined;
}

/** The newest directive that was accepted, whether it is under way or waits. */
export function newestDirective(journal: AgentJournal): AgentDirective | null {
  return journal.pending ?? journal.directive;
}

const PREPARING: ReadonlySet<AgentState> = new Set(['OFFERED', 'DOWNLOADING', 'STAGED', 'DEFERRED', 'PRECHECK', 'BLOCKED']);

/** A directive is under way, and has not changed the machine yet. */
export function isPreparing({ state, verdict }: AgentJournal): boolean {
  return PREPARING.has(state) && verdict !== 'passed';
}

/** A trial is under way: it is prepared, or its system runs. */
export function isTrialOpen(journal: AgentJournal): boolean {
  return journal.directive?.trial != null && (journal.state === 'TRYING' || isPreparing(journal));
}

/** The system that should run, as the agent left or last reported it; null when that is unknown. */
export function expectedSystem(journal: AgentJournal): StorePath | null {
  const { state, directive, before, verdict } = journal;
  if (isPreparing(journal)) return journal.report?.observed.current ?? null;
  if (state === 'BOOT_STAGED') return before?.toplevel ?? null;
  if (state === 'SUCCEEDED' || state === 'TRYING' || (state === 'BLOCKED' && verdict === 'passed')) return directive?.release.toplevel ?? null;
  return state === 'ROLLED_BACK' ? (before?.toplevel ?? null) : null;
}

/**
 * The target of a rollback: the first of the running, the profile's and the booted system that is neither the new system nor
 * in quarantine. Null: there is none.
 */
export function rollbackTarget(journal: AgentJournal, observed: Observed, toplevel: StorePath): StorePath | null {
  const candidates = [observed.current, observed.profile?.toplevel, observed.booted];
  return candidates.find((path) => path != null && path !== toplevel && !journal.quarantined.includes(path)) ?? null;
}
