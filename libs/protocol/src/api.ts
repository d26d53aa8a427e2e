import { EVALUATION_OUTCOMES, HOST_ACTIONS, MAX_ATTRIBUTE_CHARACTERS, PRESENCES, REVISION_STATES, SUBMISSION_STATES } from '@floe/model';
import * as v from 'valibot';
import { ByteSize, Counter, DurationMs, list, MAX_HOSTS, prose, Timestamp, word } from './bounds.ts';
import { CommitSha, HostName, MachineId, PublicKey, StorePath } from './ids.ts';
import { AgentState, Detail, Observed, StageTimings } from './messages.ts';
import { FreezeView, HostStanding, LabelStops, RolloutAnswer, RolloutView, SeenId } from './rollout-view.ts';

const MAX_WARNINGS = 20;
const MAX_WARNING_CHARACTERS = 500;

/** `POST /api/enrol`, without an API token: the one-time token authenticates it. */
export const EnrolRequest = v.strictObject({
  token: v.pipe(word(128), v.minLength(16)),
  host: HostName,
  machineId: MachineId,
  publicKey: PublicKey,
  system: word(64),
});
export type EnrolRequest = v.InferOutput<typeof EnrolRequest>;
export const EnrolResponse = v.strictObject({ host: HostName });
export type EnrolResponse = v.InferOutput<typeof EnrolResponse>;

/** `POST /api/hosts/:host/enrolment-tokens`: a one-time token for one host, shown once, and the keys that the host must pin. */
export const EnrolmentTokenResponse = v.strictObject({
  host: HostName,
  token: word(128),
  expiresAt: Timestamp,
  serverUrl: prose(4096),
  /** `keyId:base64` each. */
  releaseKeys: list(word(512), 16),
  serverKeys: list(word(512), 16),
  substituter: prose(4096),
  /** Nix's form: `name:base64`. */
  cachePublicKeys: list(word(512), 16),
});
export type EnrolmentTokenResponse = v.InferOutput<typeof EnrolmentTokenResponse>;

/** `POST /api/server/clock`: the times that the server doubted, and the time that it accepts as correct now. */
export const ClockAccepted = v.object({ was: v.picklist(['AHEAD', 'BEHIND', 'DIFFERS']), now: Timestamp });
export type ClockAccepted = v.InferOutput<typeof ClockAccepted>;

/** `POST /api/revisions/:sha/evaluate`: the result. `retried`: the commit was waiting for something and is tried again now. */
export const EvaluateAccepted = v.object({ sha: CommitSha, outcome: v.picklist(['reopened', 'retried']) });
export type EvaluateAccepted = v.InferOutput<typeof EvaluateAccepted>;

/** `POST /api/ordered-quarantine`; `hosts`: whose system the commit changed, by name. */
export const QuarantineAnswer = v.object({ ...RolloutAnswer.entries, hosts: v.optional(list(HostName, MAX_HOSTS), []) });
export type QuarantineAnswer = v.InferOutput<typeof QuarantineAnswer>;

/** The commit that a system came with: of the newest release of it for this host. */
export const CommitName = v.object({
  commit: CommitSha,
  sequence: Counter,
  /** Null: its revision is not kept any more. */
  subject: v.nullable(prose()),
});
export type CommitName = v.InferOutput<typeof CommitName>;

/** A person's order about one host that counts now: what keeps it on a release, or has it take one at once. */
/** Of more quarantines that people ordered of a host, the others are not shown. */
export const MAX_HOST_ORDERS = 20;

export const HostOrderView = v.object({
  kind: v.picklist(['pin', 'hold', 'deploy', 'quarantine', 'quarantine-all']),
  /** Of the release. */
  sequence: Counter,
  commit: v.optional(v.nullable(CommitSha), null),
  by: prose(200),
  reason: prose(),
  since: Timestamp,
  until: v.nullable(Timestamp),
});
export type HostOrderView = v.InferOutput<typeof HostOrderView>;

export const HostView = v.object({
  host: HostName,
  standing: HostStanding,
  isConnected: v.boolean(),
  /** Stale, then lost: it was not heard of for longer than the policy's limits. */
  presence: v.optional(v.picklist(PRESENCES), 'away'),
  isEnrolled: v.boolean(),
  /** What is wrong with it; what to do about it is in `actions`, and in words in `todoOf()` of libs/views. */
  problem: v.nullable(prose()),
  /** What an administrator can decide about it now. */
  actions: v.optional(list(v.picklist(HOST_ACTIONS), HOST_ACTIONS.length), []),
  /** In the order in which they count. */
  orders: v.optional(list(HostOrderView, MAX_HOST_ORDERS), []),
  /** Of its labels, by people. */
  stops: LabelStops,
  /** The server itself has an error with this host; `problem` says so, too. */
  trouble: v.optional(v.nullable(v.object({ code: word(64), message: prose(), since: Timestamp })), null),
  desired: v.nullable(
    v.object({
      toplevel: StorePath,
      commit: v.nullable(CommitSha),
      subject: v.optional(v.nullable(prose()), null),
      sequence: Counter,
      epoch: Counter,
      since: Timestamp,
    }),
  ),
  /** What it tries, and until when; null: nothing. */
  trial: v.optional(
    v.nullable(
      v.object({
        id: v.optional(word(64), ''),
        commit: CommitSha,
        toplevel: v.optional(v.nullable(StorePath), null),
        endsAt: Timestamp,
        by: prose(200),
        reason: prose(),
      }),
    ),
    null,
  ),
  /** The end of its newest trial, for a week. `hasFailed`: the machine refused it, or it failed there. */
  lastTrial: v.optional(
    v.nullable(v.object({ id: word(64), commit: CommitSha, by: prose(200), endedAt: Timestamp, result: prose(), hasFailed: v.boolean() })),
    null,
  ),
  /** What its machine is called in the flake now: it is told nothing newer before it is renamed. Absent: nothing else. */
  renameTo: v.optional(HostName),
  /** The stepping stone that it rolled back: nothing newer reaches it. */
  stone: v.optional(v.nullable(word(64)), null),
  /** The store path that it was last asked to be pinned to: while the server publishes it, and for a week after. */
  submission: v.optional(
    v.nullable(
      v.object({
        id: word(64),
        toplevel: StorePath,
        state: v.picklist(SUBMISSION_STATES),
        by: prose(200),
        reason: prose(),
        since: Timestamp,
        endedAt: v.nullable(Timestamp),
        /** Why it was not taken, or what the server waits for. */
        result: prose(),
      }),
    ),
    null,
  ),
  observed: Observed,
  /** What it runs, by its commit. Null: no release of that is known. */
  runs: v.optional(v.nullable(CommitName), null),
  state: AgentState,
  stateToplevel: v.nullable(StorePath),
  stateSince: v.nullable(Timestamp),
  detail: v.nullable(Detail),
  progress: v.nullable(v.object({ doneBytes: ByteSize, expectedBytes: ByteSize })),
  lastSeenAt: v.nullable(Timestamp),
  agentVersion: v.nullable(word(64)),
  machineId: v.nullable(word(64)),
});
export type HostView = v.InferOutput<typeof HostView>;

export const RevisionHostView = v.object({
  /** Usually a host name. Any attribute name of `nixosConfigurations` when it is not a valid host name. */
  host: prose(MAX_ATTRIBUTE_CHARACTERS),
  outcome: v.nullable(v.picklist(EVALUATION_OUTCOMES)),
  toplevel: v.nullable(StorePath),
  error: v.nullable(prose()),
  /** Warnings and traces of the host's evaluation, also of a successful one. */
  warnings: v.optional(list(prose(MAX_WARNING_CHARACTERS), MAX_WARNINGS), []),
  /** When the host is retried, if its error may be temporary. */
  retryAt: v.optional(v.nullable(Timestamp), null),
  evaluateMs: v.nullable(DurationMs),
  buildMs: v.nullable(DurationMs),
});

const MAX_BUILD_TEXT = 200;
/** More are counted among the hosts that are not built yet. */
export const MAX_BUILDS_SHOWN = 20;

/** A build that runs. Both texts are what the build itself says. */
export const BuildView = v.object({
  host: HostName,
  /** By the builder's clock. */
  since: Timestamp,
  derivation: v.nullable(prose(MAX_BUILD_TEXT)),
  line: v.nullable(prose(MAX_BUILD_TEXT)),
});
export type BuildView = v.InferOutput<typeof BuildView>;

/** The same of a check that the rollout policy names. */
export const CheckBuildView = v.object({ ...v.omit(BuildView, ['host']).entries, check: prose(MAX_BUILD_TEXT) });
export type CheckBuildView = v.InferOutput<typeof CheckBuildView>;

export const RevisionView = v.object({
  sha: CommitSha,
  sequence: Counter,
  state: v.picklist(REVISION_STATES),
  error: v.nullable(prose()),
  /** Warnings about a commit that can be released. */
  warnings: v.optional(list(prose(MAX_WARNING_CHARACTERS), MAX_WARNINGS), []),
  subject: prose(),
  author: prose(),
  receivedAt: Timestamp,
  fetchedAt: v.nullable(Timestamp),
  evaluatedAt: v.nullable(Timestamp),
  builtAt: v.nullable(Timestamp),
  publishedAt: v.nullable(Timestamp),
  /** Held: it waits until an administrator accepts it. */
  isHeld: v.optional(v.boolean(), false),
  /** The older commit that is finished before this one is evaluated, and until when at the latest; null: it does not wait. */
  waits: v.optional(v.nullable(v.object({ after: CommitSha, until: Timestamp })), null),
  /** Refused for a policy below the floor of the server's settings: while it is the newest, administrators can let it pass. */
  isBelowFloor: v.optional(v.boolean(), false),
  /** When an administrator accepted it, if it was held. */
  allowedAt: v.optional(v.nullable(Timestamp), null),
  /** The commit that superseded it, before or after it was published. */
  supersededBy: v.optional(v.nullable(CommitSha), null),
  supersededAt: v.optional(v.nullable(Timestamp), null),
  /** Its systems were submitted, and `sha` may be no commit. */
  isSubmitted: v.optional(v.boolean(), false),
  /** Builds that run now, the longest first. */
  builds: v.optional(list(BuildView, MAX_BUILDS_SHOWN), []),
  checkBuilds: v.optional(list(CheckBuildView, MAX_BUILDS_SHOWN), []),
  rollout: v.nullable(RolloutView),
  hosts: list(RevisionHostView, MAX_HOSTS),
});
export type RevisionView = v.InferOutput<typeof RevisionView>;

/** A problem of the server itself. */
export const ServerNotice = v.object({ code: word(64), message: prose(), since: Timestamp });
export type ServerNotice = v.InferOutput<typeof ServerNotice>;

export const RepositoryView = v.object({
  url: prose(),
  /** Empty: the repository's default branch, which is not known yet. */
  branch: prose(),
  acceptedCommit: v.nullable(CommitSha),
  lastFetchAt: v.nullable(Timestamp),
  problem: v.nullable(v.object({ code: word(64), message: prose(), since: Timestamp })),
  /**
   * A head that waits for an administrator: it does not descend from the accepted commit (force-push), or has far fewer hosts.
   * `seen`: why, as an id. An acceptance that names it is refused once the commit is held for another reason.
   */
  held: v.nullable(v.object({ commit: CommitSha, reason: prose(), since: Timestamp, seen: v.optional(SeenId) })),
  /** What would make things better; nobody has to do it. */
  advice: v.optional(v.nullable(prose()), null),
  /** Progress of a fetch that takes more than two seconds. */
  fetching: v.optional(v.nullable(v.object({ message: prose(), since: Timestamp })), null),
  /** The rollout that hosts follow, where it is an older commit's and not over; else null: `FleetView.revision` has it. */
  followed: v.optional(v.nullable(v.object({ sha: CommitSha, subject: prose(), rollout: RolloutView })), null),
  /** A person stopped all rollouts, also of commits to come. */
  freeze: v.optional(v.nullable(FreezeView), null),
  /** Labels whose hosts people stopped. */
  stops: LabelStops,
  /** Warnings of the server that follows the repository. */
  notices: v.optional(list(ServerNotice, 32), []),
});
export type RepositoryView = v.InferOutput<typeof RepositoryView>;

/** `GET /api/fleet` */
export const FleetView = v.object({
  /** Grows with every change. `GET /api/events?after=<version>` continues from here. */
  version: Counter,
  serverTime: Timestamp,
  repository: RepositoryView,
  revision: v.nullable(RevisionView),
  hosts: list(HostView, MAX_HOSTS),
});
export type FleetView = v.InferOutput<typeof FleetView>;

/** One line of `GET /api/hosts/:host/reports`. */
export const ReportView = v.object({
  host: HostName,
  /** Number of times that the agent's report numbers restarted at 1. */
  series: Counter,
  seq: Counter,
  epoch: Counter,
  state: AgentState,
  toplevel: v.nullable(StorePath),
  /** The commit of that. */
  commit: v.optional(v.nullable(CommitName), null),
  observed: Observed,
  detail: v.nullable(Detail),
  timings: v.nullable(StageTimings),
  /** True when it has a {@link ReportLogView}. */
  hasLog: v.boolean(),
  at: Timestamp,
  receivedAt: Timestamp,
});
export type ReportView = v.InferOutput<typeof ReportView>;

/** `GET /api/hosts/:host/reports/:series/:seq/log`: the end of the log of the step that failed. */
export const ReportLogView = v.object({ log: prose() });
export type ReportLogView = v.InferOutput<typeof ReportLogView>;

/** A change, for the page and `floe events --follow`. `host` and `revision` replace their previous versions. */
export const FleetEvent = v.variant('type', [
  v.object({ type: v.literal('host'), version: Counter, at: Timestamp, host: HostView }),
  v.object({ type: v.literal('revision'), version: Counter, at: Timestamp, revision: RevisionView }),
  v.object({ type: v.literal('repository'), version: Counter, at: Timestamp, repository: RepositoryView }),
]);
export type FleetEvent = v.InferOutput<typeof FleetEvent>;

/** The body of every answer that is not 2xx. */
export const ApiError = v.object({ error: v.object({ code: word(64), message: prose() }) });
export type ApiError = v.InferOutput<typeof ApiError>;
