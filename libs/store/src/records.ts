import type {
  AgentState,
  CommitSha,
  Desired,
  Detail,
  EvaluationOutcome,
  HostName,
  HostSituation,
  Observed,
  PermitGrounds,
  ReleaseRef,
  RevisionState,
  RingResult,
  RolloutPolicy,
  RolloutSummary,
  SignedText,
  StageTimings,
  StorePath,
  Urgency,
  Went,
} from '@floe/model';
import type { Glass } from './glass-contract.ts';
import type { CurrentRollout, NextOfFleet, Rollout } from './rollout-records.ts';
import type { Timestamp } from './timestamp.ts';
import type { Submission } from './submission-records.ts';
import type { EndedTrial, Trial } from './trial-records.ts';

export type * from './access-records.ts';
export type * from './delivery-records.ts';
export type * from './repository-records.ts';
export type * from './rollout-records.ts';
export type * from './timestamp.ts';
export type * from './trial-records.ts';

/** A claim of the right to work on a repository. */
export interface Lease {
  readonly repositoryId: string;
  readonly token: number;
  /** Called when a write was refused, because somebody has claimed it since. */
  readonly onLost?: (() => void) | undefined;
}

export interface CommitInfo {
  readonly sha: CommitSha;
  readonly subject: string;
  readonly authorName: string;
  readonly authorEmail: string;
  readonly committedAt: Timestamp;
}

/** A commit of the tracked branch, as taken in. The same commit can be taken in twice, with two sequences. */
export interface Revision extends CommitInfo, Glass {
  readonly id: string;
  readonly repositoryId: string;
  readonly sequence: number;
  readonly state: RevisionState;
  /** Why it ended, or why its current step is retried. */
  readonly error?: string | undefined;
  /** Warnings about a commit that can be released. */
  readonly warnings?: readonly string[] | undefined;
  /** How it is rolled out: the default, until the flake was read. */
  readonly policy: RolloutPolicy;
  readonly receivedAt: Timestamp;
  readonly fetchedAt?: Timestamp | undefined;
  readonly verifiedAt?: Timestamp | undefined;
  readonly evaluatedAt?: Timestamp | undefined;
  readonly builtAt?: Timestamp | undefined;
  readonly publishedAt?: Timestamp | undefined;
  /** When an administrator accepted it, if it was held. */
  readonly allowedAt?: Timestamp | undefined;
  /** The commit that superseded it, and when, before or after it was published. */
  readonly supersededBy?: CommitSha | undefined;
  readonly supersededAt?: Timestamp | undefined;
  /** What of it was evaluated ({@link RevisionStore.noteSource}); undefined: nothing yet. */
  readonly sourceKey?: string | undefined;
  /** The commit with the same source whose results it took over. */
  readonly sameSourceAs?: CommitSha | undefined;
  /** Its systems were submitted: its `sha` may be no commit. Undefined: it is one of the tracked branch. */
  readonly handoverId?: string | undefined;
}

/** The result of a rollout when a newer one superseded it. */
export interface RolloutStory extends RolloutSummary {
  readonly revisionId: string;
  readonly at: Timestamp;
  /** What had come of its rings; empty: that was not recorded. */
  readonly rings: readonly RingResult[];
}

/** The result of evaluating one host. */
export interface EvaluationRow {
  readonly host: HostName;
  readonly outcome: EvaluationOutcome;
  readonly drvPath?: string | undefined;
  readonly toplevel?: StorePath | undefined;
  readonly system?: string | undefined;
  readonly error?: string | undefined;
  /** Warnings and traces of the host's evaluation, also of a successful one. */
  readonly warnings?: readonly string[] | undefined;
  /** Of the host's own configuration, with the ring that it names, the name that the host had before, and its time zone. */
  readonly labels?: readonly string[] | undefined;
  readonly ring?: string | undefined;
  readonly formerHost?: HostName | undefined;
  readonly timeZone?: string | undefined;
  /** When the host is retried, if its error may be temporary. */
  readonly retryAt?: Timestamp | undefined;
  /** How often it was tried. */
  readonly tries?: number | undefined;
  readonly evaluateMs?: number | undefined;
}

/** The result of building one host: `outcome` when it failed, or succeeded after a failure. */
export interface BuildRow {
  readonly host: HostName;
  readonly outcome?: 'BUILD_ERROR' | 'NOT_BUILT_HERE' | 'CHANGED' | undefined;
  readonly error?: string | undefined;
  /** As in {@link EvaluationRow}; undefined for a permanent failure. */
  readonly retryAt?: Timestamp | undefined;
  readonly tries?: number | undefined;
  readonly buildMs?: number | undefined;
  readonly builtAt?: Timestamp | undefined;
}

/** One host at one revision. */
export interface Evaluation extends EvaluationRow {
  readonly buildMs?: number | undefined;
  readonly builtAt?: Timestamp | undefined;
  readonly narHash?: string | undefined;
  readonly closureSizeBytes?: number | undefined;
}

/** A signed release, with the envelope as JSON text. */
export interface Release extends ReleaseRef {
  /** Undefined when the release came back from the statement log. */
  readonly revisionId?: string | undefined;
  readonly commit: CommitSha;
  readonly issuedAt: Timestamp;
  readonly envelope: string;
  readonly isSubmitted?: boolean | undefined;
}

/** A system, as one host has or had it. */
export interface SystemOfHost {
  readonly host: HostName;
  readonly toplevel: StorePath;
  /** As it was at that time: a later commit can have the same system. Undefined: now. */
  readonly asOf?: Timestamp | undefined;
}

/** The commit that contains a system. */
export interface CommitOfSystem extends SystemOfHost {
  readonly commit: CommitSha;
  readonly sequence: number;
  /** Undefined: its revision was removed. */
  readonly subject: string | undefined;
}

export type NewRelease = Omit<Release, 'id' | 'revisionId'>;

export interface HostRow {
  readonly host: HostName;
  readonly repositoryId: string;
  readonly machineId?: string | undefined;
  readonly publicKey?: string | undefined;
  readonly enrolledAt?: Timestamp | undefined;
  readonly revokedAt?: Timestamp | undefined;
  /** Since when the key is refused because two machines used it. */
  readonly clonedAt?: Timestamp | undefined;
  readonly desired?:
    | {
        readonly releaseId: string;
        readonly toplevel: StorePath;
        readonly sequence: number;
        readonly epoch: number;
        readonly since: Timestamp;
        /** It is to have the release, and not to activate it. */
        readonly isOnlyStaged?: boolean | undefined;
        readonly permit?: PermitGrounds | undefined;
      }
    | undefined;
  /** The revision whose rollout made another system its stable one than before. */
  readonly stableBy?: string | undefined;
  /** The highest sequence that it was ever told. */
  readonly toldSequence?: number | undefined;
  /** What its agent understands; undefined: it has not said yet. */
  readonly capabilities?: readonly string[] | undefined;
  /** The directive counter. Equals `desired.epoch` while there is a desired release. */
  readonly epoch: number;
  /** The system of its last `go`, while there is no verdict about it. */
  readonly went?: Went | undefined;
  /** Set from an administrator's retry until the agent has accepted this epoch or a later one. */
  readonly retryEpoch?: number | undefined;
  readonly observed: Observed;
  readonly state: AgentState;
  /** The toplevel that `state` is about. */
  readonly stateToplevel?: StorePath | undefined;
  readonly stateSince?: Timestamp | undefined;
  readonly detail?: Detail | undefined;
  readonly timings?: StageTimings | undefined;
  readonly isConnected: boolean;
  readonly sessionId?: string | undefined;
  readonly bootId?: string | undefined;
  readonly lastSeenAt?: Timestamp | undefined;
  readonly agentVersion?: string | undefined;
  readonly system?: string | undefined;
  /** The highest sequence that the agent reports as accepted: it refuses a lower one. */
  readonly acceptedSequence: number;
  /** Seq of the newest stored report of the agent's current series. */
  readonly reportSeq: number;
  /** Unreadable columns of the row: their values are left out here, and the host gets no directive. */
  readonly unreadable?: string | undefined;
  /** Reports that the database refused, since the enrolment or since they were last forgotten. */
  readonly refused?: { readonly count: number; readonly at: Timestamp; readonly why: string } | undefined;
}

/** The data of an agent's hello. */
export interface HostPresence {
  readonly sessionId: string;
  readonly bootId: string;
  readonly machineId: string;
  readonly agentVersion: string;
  readonly capabilities?: readonly string[] | undefined;
  readonly system: string;
  readonly observed: Observed;
  readonly state: AgentState;
  readonly stateToplevel?: StorePath | undefined;
  /** The highest epoch that the agent ever accepted. */
  readonly epoch: number;
  /** The highest sequence that the agent ever accepted. */
  readonly sequence: number;
  /** Seq of the newest report that the agent made. */
  readonly reportSeq: number;
  readonly at: Timestamp;
}

/** A toplevel that a host rolled back from: not offered there again until an administrator retries it. `sequence`: of its last commit, if known. */
export interface Quarantine {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly sequence?: number | undefined;
  readonly reason: string;
  readonly at: Timestamp;
}

/** A revision in a list: its policy, which may be large, is read with it alone. */
export type RevisionInList = Omit<Revision, 'policy'>;

/** A revision, with its rollout if it was ever published. */
export interface ListedRevision {
  readonly revision: RevisionInList;
  readonly rollout: Rollout | undefined;
}

/** A release that a host should run. */
export interface DesiredRelease extends ReleaseRef {
  /** The host's epoch when this was decided; one that was told something else since is left alone. Undefined: whatever it was told. */
  readonly epoch?: number | undefined;
  readonly isOnlyStaged?: boolean | undefined;
  readonly permit?: PermitGrounds | undefined;
}

/** What the hosts of a revision came to, and the revision's state, of one and the same moment. */
export interface EvaluatedRevision {
  readonly state: RevisionState;
  /** By host name. */
  readonly evaluations: readonly Evaluation[];
}

/** A host with all inputs of `resolve()`. */
export interface FleetHost {
  readonly row: HostRow;
  readonly situation: HostSituation;
  /** The answer of `resolve()` for the situation. The row has what was last stored, which is never a quarantined system. */
  readonly desired: Desired;
  /** The trial that was not ended yet, also when its time has come. */
  readonly trial?: Trial | undefined;
  /** The newest one, if it was. */
  readonly endedTrial?: EndedTrial | undefined;
  readonly submission?: Submission | undefined;
  /** The oldest first. */
  readonly quarantines: readonly Quarantine[];
  readonly wentSequence?: number | undefined; // Of the commit that its `go` was for.
  /** Systems whose failure on the host a person saw before resuming a rollout. */
  readonly acknowledged: ReadonlySet<StorePath>;
  /** Of the release that `row.desired` names. */
  readonly desiredCommit: CommitSha | undefined;
  /** While it counts: of the directive that the host has now, before its verdict and before its end. */
  readonly deploy?: Deploy | undefined;
  /** The time zone of its own configuration, in the rollout's revision. */
  readonly timeZone?: string | undefined;
  /** Those that count now, the pin first. */
  readonly pins?: readonly PinSeen[];
}

/** Hosts that were read together. */
export interface Fleet {
  /** The one that hosts follow: of the newest published revision that does not wait. */
  readonly rollout: CurrentRollout | undefined;
  /** Only where all hosts are read. */
  readonly next?: NextOfFleet | undefined;
  readonly hosts: readonly FleetHost[];
}

/** What is looked at before a host gets its `go`. */
export interface SlotFacts {
  readonly rollout: CurrentRollout | undefined;
  /** The host that asks; undefined: there is none of that name. */
  readonly asking: FleetHost | undefined;
  /** The hosts with a `go` and without a verdict. */
  readonly gone: readonly HostRow[];
  /** Of these hosts, where the policy has budgets: the labels of their configurations in the rollout's revision. */
  readonly labels: ReadonlyMap<HostName, readonly string[]>;
}

/** A host has at most one of each. A pin counts before a hold, which counts again when the pin has ended. */
export type PinKind = 'pin' | 'hold';

/** A person's order to keep a host on one release. */
export interface Pin {
  readonly host: HostName;
  readonly kind: PinKind;
  readonly releaseId: string;
  readonly reason: string;
  readonly by: string;
  /** It may bring the host below what it was told. */
  readonly isPermitted?: boolean | undefined;
  /** An operator's key signed that. */
  readonly word?: SignedText | undefined;
  readonly at: Timestamp;
  readonly expiresAt?: Timestamp | undefined;
}

/** A person's order that a host take what it was told under `epoch`, at once. */
export interface Deploy {
  readonly host: HostName;
  readonly epoch: number;
  readonly level: Urgency['level'];
  readonly reason: string;
  readonly by: string;
  readonly at: Timestamp;
  readonly expiresAt: Timestamp;
}

/** A pin or a hold that counts now. */
export type PinSeen = Omit<Pin, 'host' | 'releaseId'> & { readonly sequence: number; readonly commit?: CommitSha | undefined };

export interface DirectiveRow {
  readonly host: HostName;
  readonly epoch: number;
  readonly releaseId: string;
  readonly mode: string;
  readonly issuedAt: Timestamp;
}

/** A report of an agent. Unique by host and seq within one series (one enrolment). */
export interface StoredReport {
  readonly host: HostName;
  readonly seq: number;
  readonly epoch: number;
  readonly state: AgentState;
  readonly toplevel: StorePath | null;
  readonly observed: Observed;
  readonly detail?: Detail | undefined;
  readonly timings?: StageTimings | undefined;
  /** The end of the log of a step that failed. */
  readonly log?: string | undefined;
  /** Time of the agent's clock: only shown, never compared. */
  readonly at: Timestamp;
  readonly receivedAt: Timestamp;
}

/** A stored report in a list: its log is read separately. */
export interface ListedReport extends Omit<StoredReport, 'log'> {
  /** Number of times that the agent's report numbers restarted at 1. */
  readonly series: number;
  readonly hasLog: boolean;
}
