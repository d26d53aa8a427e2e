import type { CommitSha, Freeze, HostName, LabelStop, ReleaseRef, RevisionEvent, RevisionState, RolloutPolicy, StorePath, Went } from '@floe/model';
import type {
  ApiToken,
  AskedAnswer,
  BuildRow,
  CommitInfo,
  CompleteBefore,
  Deploy,
  DesiredRelease,
  DirectiveRow,
  Evaluation,
  EvaluatedRevision,
  EvaluationRow,
  Fleet,
  HostPresence,
  HostRow,
  ListedRevision,
  NewApiToken,
  Pin,
  PinKind,
  PolicedRollout,
  ProbeOfRing,
  Revision,
  NewRolloutOrder,
  RolloutAuthors,
  RolloutDecided,
  RolloutEntry,
  RolloutStory,
  SlotFacts,
  Timestamp,
  TokenDescription,
  TokenHolder,
  NextOfFleet,
  Trial,
  AuditEntry,
  Lease,
} from './records.ts';
import type { Replaced, WaitsForOlder } from './waiting-records.ts';
import type { DeliveryStore } from './delivery-contract.ts';
import type { HostStatementStore } from './host-statement-contract.ts';
import type { HandoverStore } from './handover-contract.ts';
import type { RepositoryStore } from './repository-contract.ts';
import type { QuarantineStore } from './quarantine-records.ts';
import type { AuditStore } from './audit-contract.ts';
import type { GlassStore } from './glass-contract.ts';
import type { BuildProgressStore } from './build-progress-contract.ts';
import type { NotificationStore } from './notification-contract.ts';
import type { OutboxStore } from './outbox-contract.ts';
import type { ReleaseStore } from './release-contract.ts';
import type { ReportStore } from './report-contract.ts';
import type { SubmissionStore } from './submission-contract.ts';
import type { TestingStore } from './testing-contract.ts';
import type { HostRenames } from './rename-contract.ts';
import type { ServerStore } from './server-contract.ts';
import type { SigningStore } from './signing-contract.ts';
import type { StableStore } from './stable-contract.ts';

export type StoreTarget =
  /** `dataDir` undefined: in memory, gone with the process; `image`: what it begins with, as PGlite dumps it. */
  | { readonly kind: 'pglite'; readonly dataDir: string | undefined; readonly image?: Blob | undefined }
  | { readonly kind: 'postgres'; readonly url: string; readonly maxConnections?: number | undefined };

/** What the store is asked, by subject. In the transaction of a decision it is asked the same. */
export interface DecisionStore {
  readonly server: ServerStore;
  readonly repositories: RepositoryStore;
  readonly deliveries: DeliveryStore;
  readonly revisions: RevisionStore;
  readonly releases: ReleaseStore;
  readonly rollouts: RolloutStore;
  readonly stable: StableStore;
  readonly hosts: HostStore;
  readonly submissions: SubmissionStore;
  readonly handovers: HandoverStore;
  readonly testing: TestingStore;
  readonly signing: SigningStore;
  readonly hostStatements: HostStatementStore;
  readonly reports: ReportStore;
  readonly tokens: TokenStore;
  readonly outbox: OutboxStore;
  readonly notifications: NotificationStore;
  readonly audit: AuditStore;
}

/** The result, and what the log is to say. Without an entry nothing was decided, and nothing that was written meanwhile is stored. */
export interface Decided<Result> {
  readonly result: Result;
  readonly entries: readonly AuditEntry[];
}

/**
 * All that Floe remembers. Every method may throw `FloeError('STORE_UNREACHABLE')` (retryable) while the database is
 * away. An id that the store never gave out is a bug: `FloeError('STORE_ROW_MISSING')`. Writers send their hints by
 * themselves, in the transaction of the write.
 */
export interface Store extends DecisionStore, AsyncDisposable {
  /** Resolves when the database takes a write. */
  ping(): Promise<void>;
  /** Runs `work` for a person: on Postgres, what it asks here gets connections that the fleet does not use. */
  forPeople<Result>(work: () => Promise<Result>): Promise<Result>;
  /** What the last reads left out because it cannot be read, in sentences for people. */
  leftOut(): readonly string[];
  /**
   * The same store, whose writes fail with LEASE_LOST once somebody has claimed the repository after this claim. Each looks in its own transaction.
   * Whoever works under a lease gets this one alone.
   */
  underLease(lease: Lease): Store;
  /** Of a store under a lease: fails with LEASE_LOST in the same case, before something is done that no transaction can take back. */
  confirmLease(): Promise<void>;
  /**
   * The one way to decide something: `work` and the entries that it resolves to are one transaction, so the log has each decision, in the order in
   * which they count. It asks the store that it gets, and nothing else that takes long: others who decide wait for it.
   */
  decide<Result>(work: (decisions: DecisionStore) => Promise<Decided<Result>>): Promise<Result>;
  readonly hints: HintChannel;
}

/** "Look there again." May be lost, repeated or reordered: polling is the truth. */
export type Hint =
  | { readonly topic: 'repository'; readonly id: string }
  /** `*`: many hosts at once. */
  | { readonly topic: 'host'; readonly host: HostName | '*' }
  | { readonly topic: 'revision'; readonly id: string }
  | { readonly topic: 'outbox' };

/** The hints of one transaction, in order. */
export type Hints = readonly Hint[];

export interface HintChannel {
  /** False when the database's notifications were found not to come through: hints then come late, from polling. */
  isHeard(): Promise<boolean>;
  /**
   * Hints of all processes on this database, until disposed. Of this store's own writes it leaves out those whose callers
   * act on what they wrote: `reports.store`, `hosts.connect`, `disconnect`, `reconnect`, `desire`, `takeSlot`, `rollouts.save`,
   * `outbox.putAll`. Comes back by itself after an outage, and does not fail when there is one: it
   * hears from the end of it on.
   */
  listen(onHints: (hints: Hints) => void): Promise<AsyncDisposable>;
}

export type Advanced =
  | { readonly kind: 'advanced'; readonly state: RevisionState }
  /** The event means nothing in `state`, or someone else moved the revision there first. */
  | { readonly kind: 'stale'; readonly state: RevisionState };

export interface RevisionStore extends GlassStore, BuildProgressStore {
  /**
   * Takes a commit in as the repository's newest revision, supersedes unfinished older ones (but submitted ones, and one that is to be
   * finished first, SPEC R7) and sets the accepted commit. When the newest revision of the branch is of this commit already, it is returned as it is.
   */
  receive(repositoryId: string, commit: CommitInfo & { readonly receivedAt: Timestamp; readonly fetchedAt: Timestamp }): Promise<Revision>;
  get(id: string): Promise<Revision | undefined>;
  newest(repositoryId: string): Promise<Revision | undefined>;
  /** The newest that is a commit of the tracked branch, and was not submitted. */
  newestOfBranch(repositoryId: string): Promise<Revision | undefined>;
  /** The one to be worked on: the oldest, where several are unfinished (SPEC R2). */
  nextUnfinished(repositoryId: string): Promise<Revision | undefined>;
  newestPublished(repositoryId: string): Promise<Revision | undefined>;
  /** The same, of commits of the tracked branch. */
  newestPublishedOfBranch(repositoryId: string): Promise<Revision | undefined>;
  /** The newest that is PUBLISHED, REJECTED, EVAL_FAILED or BUILD_FAILED, or is still built and has a rollout: the standing of hosts refers to it. */
  newestFinished(repositoryId: string): Promise<Revision | undefined>;
  /** Newest first, with their rollouts; of those with a sequence below `before`. */
  list(repositoryId: string, limit: number, before?: number): Promise<readonly ListedRevision[]>;
  /** The newest `limit`, and those older ones that hosts follow or of which the forge was last told that something is pending. */
  listToTell(repositoryId: string, limit: number): Promise<readonly ListedRevision[]>;
  /** Newest first; more than one commit may match. */
  byShaPrefix(repositoryId: string, prefix: string): Promise<readonly Revision[]>;
  /** Moves the revision by `event`, and stamps the time of the state that ended well. */
  advance(id: string, event: RevisionEvent, at: Timestamp, error?: string): Promise<Advanced>;
  /** A newer commit goes first: this one is SUPERSEDED, by `by`, or PUBLISHED with what it has handed out. */
  supersede(id: string, by: CommitSha, at: Timestamp): Promise<Advanced>;
  /** The newest commit of the branch, while an older one is finished before it (SPEC R7). Undefined: none waits. */
  waiting(repositoryId: string): Promise<WaitsForOlder | undefined>;
  /** Ends the one that is finished first, when a newer commit of the branch has waited long enough for it (SPEC R7). True: it did. */
  endOverdue(repositoryId: string, now: Timestamp): Promise<boolean>;
  /** Ends those of the branch that are older than this unfinished commit, at once. Returns their commits. */
  endOlder(repositoryId: string, than: CommitSha, now: Timestamp): Promise<readonly CommitSha[]>;
  /** Commits that may be taken up because the newest one failed, newest first (SPEC R36). */
  replaced(repositoryId: string): Promise<readonly Replaced[]>;
  /** One of these goes on. False: it may not any more. */
  takeUp(repositoryId: string, id: string, at: Timestamp): Promise<boolean>;
  /** An administrator has an ended revision evaluated again: what its hosts came to is forgotten, its releases stay. */
  reopen(id: string, at: Timestamp): Promise<Advanced>;
  /** Why a step of an unfinished revision is being tried again; undefined ends it, and so does `advance`. */
  noteError(id: string, error: string | undefined): Promise<void>;
  /** What people should know of the commit; replaces what was noted before, and tells nobody: the next step does. */
  noteWarnings(id: string, warnings: readonly string[]): Promise<void>;
  /** Who signed its commits: adds to those noted before, and tells nobody. */
  noteSigners(id: string, signers: readonly string[]): Promise<void>;
  /** How the revision is rolled out, before its first host is evaluated; undefined: by the default. Tells nobody. */
  savePolicy(id: string, policy: RolloutPolicy | undefined): Promise<void>;
  /** What of it is evaluated, in a word of the pipeline's. With another one than before it is of neither. Tells nobody. */
  noteSource(id: string, key: string): Promise<void>;
  /** The commit whose results it takes over; `reopen` ends that. Tells nobody. */
  noteSameSource(id: string, as: CommitSha): Promise<void>;
  /** Inserts or replaces the evaluations of these hosts. */
  saveEvaluations(id: string, rows: readonly EvaluationRow[]): Promise<void>;
  /** All hosts of a revision that is built are evaluated: that is when it was evaluated. */
  noteEvaluated(id: string, at: Timestamp): Promise<void>;
  /** Adds to evaluations that are there. */
  saveBuilds(id: string, rows: readonly BuildRow[]): Promise<void>;
  savePublished(id: string, host: HostName, narHash: string, closureSizeBytes: number): Promise<void>;
  /** When the first of its hosts whose trouble may pass is to be tried again; undefined when there is none. */
  nextRetryAt(id: string): Promise<Timestamp | undefined>;
  /** By host name. */
  evaluations(id: string): Promise<readonly Evaluation[]>;
  /** Of one host, and of one that was called so before. */
  evaluationsAbout(id: string, host: HostName): Promise<readonly Evaluation[]>;
  /** Of several revisions, each by host name, with the state that the revision had at that moment. */
  evaluationsOf(ids: readonly string[]): Promise<ReadonlyMap<string, EvaluatedRevision>>;
  /**
   * Deletes the evaluations of revisions received before `before`, and the revisions without releases; the newest ones stay.
   * Returns the number of rows.
   */
  prune(before: Timestamp): Promise<number>;
}

/** Stores a decision about a rollout, or what a person asks of it; one function writes the state. */
export interface RolloutStore {
  /** What had come of these when a newer one took their place; those of a time before it was recorded have none. */
  stories(revisionIds: readonly string[]): Promise<readonly RolloutStory[]>;
  /**
   * Stores what was decided. One that is COMPLETE makes its releases the stable ones of its hosts. False: somebody else wrote to it,
   * or its revision is evaluated again, and nothing was stored. `entries`: of the steps that are decisions.
   */
  save(decided: RolloutDecided, at: Timestamp, entries: readonly RolloutEntry[]): Promise<boolean>;
  /** Begins the rollout that waits, and ends the one that hosts follow. False: somebody else did, or it waits no more. */
  begin(next: Pick<NextOfFleet, 'id' | 'version'>, at: Timestamp): Promise<boolean>;
  /** How many rollouts were superseded in a row before the one that hosts follow, and since when; undefined: there is none. */
  supersededInARow(repositoryId: string): Promise<NextOfFleet['superseded'] | undefined>;
  /** That of a revision, whether hosts follow it or not; undefined: it has none. */
  ofRevision(revisionId: string): Promise<PolicedRollout | undefined>;
  /** What was complete before a revision is. */
  completeBefore(revisionId: string): Promise<CompleteBefore>;
  /**
   * Who pushed the commits of the revision, logins at `forge`, and who signed them: those that the last other complete rollout of its
   * repository did not have in which the ring had its approvals, or needed none. Undefined: that forge did not tell of each push, or there
   * is no such rollout.
   */
  authorsOf(revisionId: string, forge: string, ring: { readonly index: number; readonly name: string }): Promise<RolloutAuthors | undefined>;
  /** Stores what a person asks. */
  order(order: NewRolloutOrder): Promise<boolean>;
  /** Of the servers that want to ask a probe, one gets a claim until `now + leaseMs`. Undefined: somebody else asks it. */
  claimProbe(probe: ProbeOfRing, now: Timestamp, leaseMs: number): Promise<number | undefined>;
  /** Stores what a probe came to. False: the claim was over. */
  answerProbe(probe: ProbeOfRing, claim: number, answer: AskedAnswer): Promise<boolean>;
  /** Stops all rollouts of a repository; a second freeze replaces the first. Resolves to that one, if it still holds. */
  freeze(repositoryId: string, freeze: Freeze): Promise<Freeze | undefined>;
  /** The freeze that was asked for last, also before there is a rollout; it may be over. */
  freezeOf(repositoryId: string): Promise<Freeze | undefined>;
  /** Ends this freeze. False: it was ended or replaced meanwhile, and a freeze that the person did not see stays. */
  unfreeze(repositoryId: string, seen: Freeze): Promise<boolean>;
  /** Stops the hosts of a label; a second stop replaces the first, which is `replaced`. `too-many`: as many labels are stopped as may be. */
  stopLabel(repositoryId: string, stop: LabelStop): Promise<{ readonly replaced: LabelStop | undefined } | 'too-many'>;
  /** Ends this stop. False: it was ended or replaced meanwhile. */
  startLabel(repositoryId: string, seen: LabelStop): Promise<boolean>;
}

export interface HostStore extends QuarantineStore, HostRenames {
  /** Rows for hosts seen in the flake; those that are there stay as they are. */
  ensure(repositoryId: string, hosts: readonly HostName[]): Promise<void>;
  get(host: HostName): Promise<HostRow | undefined>;
  /** All, or those named; by host name. */
  list(repositoryId: string, hosts?: readonly HostName[]): Promise<readonly HostRow[]>;
  /** Sets the host's key; ends a revocation and the refusal of a cloned key; the agent's reports count from 1 again. */
  enrol(enrolment: {
    readonly host: HostName;
    readonly repositoryId: string;
    readonly machineId: string;
    readonly publicKey: string;
    readonly at: Timestamp;
    /** The database was lost, and with it when the host was last heard of: its silence counts from now. */
    readonly isRestored?: boolean;
  }): Promise<HostRow>;
  revoke(host: HostName, at: Timestamp): Promise<void>;
  /** Removes a host that is not enrolled, or was revoked, with its reports. False: there is none such. */
  forget(host: HostName): Promise<boolean>;
  /** Removes the hosts that were never enrolled and that this revision, the newest, does not have; says which. */
  forgetLeft(repositoryId: string, revisionId: string): Promise<readonly HostName[]>;
  markCloned(host: HostName, at: Timestamp): Promise<void>;
  clearCloned(host: HostName): Promise<void>;
  /**
   * The host is here, as it says. Its epoch continues above what the agent ever accepted: after a restored database a desired release gets a
   * fresh epoch.
   */
  connect(host: HostName, presence: HostPresence): Promise<HostRow>;
  /** False when another session is the current one. */
  disconnect(host: HostName, sessionId: string, at: Timestamp): Promise<boolean>;
  /** Ends the presence of all sessions whose id starts so (undefined: of all). Returns the number. */
  disconnectAll(sessionIdPrefix: string | undefined, at: Timestamp): Promise<number>;
  /** Who is stored as connected to this server: session ids are `<server id>/<anything>`. */
  present(serverId: string): Promise<readonly { readonly host: HostName; readonly sessionId: string }[]>;
  /** The host is here after all, with this session. False when it is stored as connected. */
  reconnect(host: HostName, sessionId: string, at: Timestamp): Promise<boolean>;
  /** This server, and so the presence of its hosts, is good for so long from now on, by the database's clock. */
  renewLease(serverId: string, lifetimeMs: number): Promise<void>;
  /** Ends the presence that servers without a lease have left behind, other than this one's. Returns the number of hosts. */
  expirePresence(ownServerId: string, at: Timestamp): Promise<number>;
  /** These hosts, or all of the repository, by name, with all that decides what each should run. */
  fleet(repositoryId: string, hosts?: readonly HostName[]): Promise<Fleet>;
  /** Sets each host's desired release with a new epoch, and returns those; a repeat changes nothing. */
  desire(wanted: readonly DesiredRelease[], at: Timestamp): Promise<readonly { readonly host: HostName; readonly epoch: number }[]>;
  /**
   * A host that is staged asks for its `go`. `judge` sees the host and those that are between their `go` and the verdict, which no
   * other server changes meanwhile; what it returns is stored with the host, and returned.
   */
  takeSlot(repositoryId: string, host: HostName, judge: (facts: SlotFacts) => Went | undefined): Promise<Went | undefined>;
  /**
   * An administrator has the host try again: deletes its quarantine of `toplevel`, and marks its directives as a retry until
   * the agent has accepted one of them (`HostRow.retryEpoch`). Returns the new epoch.
   */
  retry(host: HostName, toplevel: StorePath): Promise<number>;
  /**
   * A person asks for what the host was told, at once: `release` gets a new epoch, and the order belongs to that. Returns the epoch;
   * undefined: the host was told something else meanwhile.
   */
  deploy(order: Omit<Deploy, 'epoch'>, release: Pick<ReleaseRef, 'id'>): Promise<number | undefined>;
  /** A second one of its kind replaces the first. */
  /** False: the host was forgotten meanwhile. */
  pin(pin: Pin): Promise<boolean>;
  unpin(host: HostName, kind: PinKind): Promise<void>;
  /** Has the host try a release, under a new epoch. It replaces the trial before. */
  beginTrial(trial: Omit<Trial, 'id' | 'epoch'>): Promise<Trial['id']>;
  /**
   * Its end has come. False: it was ended before. A report of the host's end of it does the same, in `reports.store`. The log has it by
   * `logTrialEnd`, later.
   */
  endTrial(trial: Pick<Trial, 'host' | 'id'>, result: string, at: Timestamp): Promise<boolean>;
  /** A person ends it. False: it was ended before. */
  stopTrial(trial: Pick<Trial, 'host' | 'id'>, result: string, at: Timestamp): Promise<boolean>;
  /** Writes into the log how a trial ended, once. False: it is there already. */
  logTrialEnd(trial: Pick<Trial, 'host' | 'id'>, entry: AuditEntry): Promise<boolean>;
  /** Does nothing when the toplevel is quarantined there already, or was never released to the host. */
  quarantine(host: HostName, toplevel: StorePath, reason: string, at: Timestamp): Promise<void>;
  /** Notes that the database did not take `count` reports of the host. */
  noteRefusal(host: HostName, why: string, count: number, at: Timestamp): Promise<void>;
  /** Clears the refusals of hosts whose newest one is from before `before`. Returns the number of hosts. */
  forgetRefusals(before: Timestamp): Promise<number>;
  /** History of what was told, each epoch once; the oldest of a host are let go. */
  saveDirectives(directives: readonly DirectiveRow[]): Promise<void>;
  /** Deletes directives issued before `before`, except the newest of each host. Returns the number. */
  pruneDirectives(before: Timestamp): Promise<number>;
}

export type ConsumedToken = { readonly kind: 'consumed' } | { readonly kind: 'unknown' | 'expired' | 'used' | 'other-host' };

/** Tokens come in as they are and are stored as their SHA-256. */
export interface TokenStore {
  /** 'not-allowed': `by` is no administrator any more. */
  createApiToken(token: NewApiToken): Promise<'created' | 'name-taken' | 'not-allowed'>;
  /** Says whose token it is. 'not-allowed': `by` is no administrator any more. */
  describeApiToken(description: TokenDescription): Promise<'described' | 'unknown' | 'not-allowed'>;
  /** Whose token it is, while it is neither revoked nor expired. */
  findApiToken(token: string, now: Timestamp): Promise<TokenHolder | undefined>;
  /** By name, those included that expired. */
  listApiTokens(): Promise<readonly ApiToken[]>;
  /** The token of this name was used: written once a minute. */
  noteUse(name: string, now: Timestamp): Promise<void>;
  /** The names of some administrators whose tokens are accepted now. */
  administrators(now: Timestamp): Promise<readonly string[]>;
  /**
   * An administrator token without an end always stays: 'last-administrator'. 'not-allowed': `by` is no administrator any more.
   * Of two administrators who revoke each other at once, one succeeds. Sessions of the token end with it.
   */
  revokeApiToken(revocation: {
    readonly name: string;
    readonly by: string;
    readonly now: Timestamp;
  }): Promise<'revoked' | 'unknown' | 'last-administrator' | 'not-allowed'>;
  /** Deletes tokens that expired before `before`. Returns the number. */
  pruneApiTokens(before: Timestamp): Promise<number>;
  /** A signed-in browser: `secret` stands for the token. False when the token is not accepted. */
  createSession(secret: string, token: string, now: Timestamp): Promise<boolean>;
  /** Whose session it is, while it was used lately, is not too old, and its token is accepted and has the role that it had. */
  findSession(secret: string, now: Timestamp): Promise<TokenHolder | undefined>;
  /** False: there was none. */
  endSession(secret: string): Promise<boolean>;
  /** Deletes sessions that were idle for too long or are too old. Returns the number. */
  pruneSessions(now: Timestamp): Promise<number>;
  /** Takes the place of a host's unused tokens: who makes a new one may have lost the old. */
  createEnrolmentToken(host: HostName, token: string, expiresAt: Timestamp): Promise<void>;
  /** No unused token lets the host in any more. */
  voidEnrolmentTokens(host: HostName): Promise<void>;
  /** Deletes tokens that expired before `before`, used or not. Returns the number. */
  pruneEnrolmentTokens(before: Timestamp): Promise<number>;
  /** Of two requests with one token, one gets 'consumed'. */
  consumeEnrolmentToken(token: string, host: HostName, now: Timestamp): Promise<ConsumedToken>;
}
