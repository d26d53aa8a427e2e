import {
  COUNTED_AS,
  HOST_STANDINGS,
  LABEL_FORM,
  LABEL_RULE,
  MAX_ATTRIBUTE_CHARACTERS,
  MAX_FAILURES,
  MAX_LABEL_CHARACTERS,
  MAX_LABEL_STOPS,
  MAX_PROBES,
  MAX_RING_NAME_CHARACTERS,
  MAX_RINGS,
  MAX_TARGET_NAME_CHARACTERS,
  PROBE_VERDICTS,
  RING_NAME_FORM,
  RING_NAME_RULE,
  RING_STATES,
  ROLES,
  ROLLOUT_ORDERS,
  ROLLOUT_STATES,
} from '@floe/model';
import * as v from 'valibot';
import { Counter, DurationMs, list, MAX_HOSTS, prose, Timestamp, word } from './bounds.ts';
import { CommitSha, HostName } from './ids.ts';

/** Orders are shown from the newest, so many. */
export const MAX_ORDERS_SHOWN = 100;
/** Differences to the policy before. */
export const MAX_WEAKER_SHOWN = 50;
/** So many people are named whose approval would change nothing. */
export const MAX_NOT_ASKED_SHOWN = 50;

/** The standing of a host: see `HOST_STANDINGS` in libs/model. */
export const HostStanding = v.picklist(HOST_STANDINGS);
export type HostStanding = v.InferOutput<typeof HostStanding>;

/** The number of hosts by standing; they sum to `total`. */
const RolloutCountsView = v.object({ total: Counter, ...v.entriesFromList(HOST_STANDINGS, Counter) });

/** The hosts of a ring that a rollout asks, by how far they are: `RingCounts` of libs/model. */
const RingCountsView = v.object(v.entriesFromList(['eligible', ...COUNTED_AS], Counter));

const NAMED_AS = [...COUNTED_AS, 'building'] as const;

/** `GET /api/rollout/hosts`: who is how far in the rollout that hosts follow, ring by ring. */
export const RolloutHostsView = v.object({
  sha: CommitSha,
  hosts: list(
    v.object({
      host: HostName,
      ring: prose(MAX_RING_NAME_CHARACTERS),
      /** As what its ring counts it. `building`: its system is still built. Null: the rollout does not ask it, and `text` says why. */
      countedAs: v.nullable(v.picklist(NAMED_AS)),
      /** What it does, or what it waits for; empty: nothing besides. */
      text: prose(),
    }),
    MAX_HOSTS,
  ),
});
export type RolloutHostsView = v.InferOutput<typeof RolloutHostsView>;

/** What somebody saw who approves: the id, or the beginning of it, of the commit's policy and of all systems that it brings. */
export const SeenId = v.pipe(
  v.string(),
  v.maxLength(64),
  v.regex(/^[\w-]{8,64}$/, 'an id as floe rollout shows it: at least 8 letters, digits, - or _'),
);

/** The approvals that a ring still needs. */
export const MissingApprovalsView = v.object({
  /** People who still have to approve. */
  count: Counter,
  /** The lowest role that counts. */
  role: v.picklist(ROLES),
  /** Authors of its commits do not count. */
  notAuthor: v.boolean(),
  /** How its policy is weaker than the last one: an administrator has to approve that. */
  weaker: list(prose(), MAX_WEAKER_SHOWN),
  /** People whose word would change nothing: they gave it, or they are authors. */
  notAsked: v.optional(list(prose(64), MAX_NOT_ASKED_SHOWN), []),
  /** What there is to approve, as an id: an approval that names it is refused once there is something else. Absent: nobody can approve yet. */
  seen: v.optional(SeenId),
});

/** A probe of a ring. */
const ProbeView = v.object({
  name: prose(MAX_TARGET_NAME_CHARACTERS),
  /** Of its last answer that counts; null: there is none yet. */
  verdict: v.nullable(v.picklist(PROBE_VERDICTS)),
  /** The answer in words. */
  text: prose(),
});

export const RingView = v.object({
  name: prose(MAX_RING_NAME_CHARACTERS),
  /** `current`: the rollout is there, or ended there. */
  state: v.picklist(RING_STATES),
  counts: RingCountsView,
  /** Hosts of it that are still built, and so are in no count: the ring waits for those that are there. */
  building: v.optional(Counter, 0),
  /** Hosts of the commit that are still evaluated: any of them may be of this ring, which waits for them. */
  evaluating: v.optional(Counter, 0),
  /** So many hosts must be verified before the next ring. */
  needed: Counter,
  /** Of the last ring: hosts with the same change none of which has run it, in words. Somebody of them has to; null: nobody else. */
  untried: v.nullable(prose()),
  soakMs: DurationMs,
  /** When its soak ends, while it soaks. */
  soakUntil: v.nullable(Timestamp),
  /** When it pauses for its deadline, while its hosts change. */
  deadlineAt: v.nullable(Timestamp),
  /** When its window opens, while it is closed; null: it is open, or does not open within a year. */
  opensAt: v.nullable(Timestamp),
  /** Before its turn: so many of its eligible hosts said that they have the system downloaded. */
  downloaded: v.optional(Counter, 0),
  /** Its probes, while they are asked. */
  probes: v.optional(list(ProbeView, 2 * MAX_PROBES), []),
  /** What it needs before its hosts are told; null: nothing. */
  missingApprovals: v.nullable(MissingApprovalsView),
});
export type RingView = v.InferOutput<typeof RingView>;

/** Why a rollout is paused. */
export const PauseView = v.object({
  cause: v.picklist(['failures', 'deadline', 'probe', 'after-ring', 'freeze']),
  /** The same in words. */
  description: prose(),
  failures: list(
    v.object({
      host: HostName,
      reason: prose(),
      log: v.optional(v.nullable(prose()), null),
      /** `floe retry` of it is taken now: the host has nothing newer, for example, and is in the flake. */
      mayRetry: v.optional(v.boolean()),
    }),
    MAX_FAILURES,
  ),
  /** Hosts that have failed since: whoever resumes has not seen them, and they pause it again. */
  later: v.optional(list(v.object({ host: HostName, reason: prose() }), MAX_FAILURES), []),
  /** It is the pause's name, too: who resumes can say which one. */
  since: Timestamp,
});
export type PauseView = v.InferOutput<typeof PauseView>;

/** What a person asked of a rollout. */
export const RolloutOrderView = v.object({
  kind: v.picklist(ROLLOUT_ORDERS),
  by: prose(200),
  role: v.picklist(ROLES),
  reason: prose(),
  at: Timestamp,
  /** Of an abort: its hosts go back to stable. */
  isRevert: v.optional(v.boolean()),
  /** Of a hotfix that does not wait for verified hosts either: whether that counts, or waits for a second person. */
  now: v.optional(v.picklist(['counts', 'waits'])),
  /** Of an approval. */
  ring: v.nullable(prose(MAX_RING_NAME_CHARACTERS)),
});
export type RolloutOrderView = v.InferOutput<typeof RolloutOrderView>;

/** `POST /api/rollout/…` and of pins: what comes of it, in a sentence. `repeated`: it had been asked already, and nothing was stored. */
export const RolloutAnswer = v.object({ outcome: v.picklist(['done', 'repeated']), message: prose() });
export type RolloutAnswer = v.InferOutput<typeof RolloutAnswer>;

/** `POST /api/hosts/:host/trial`; `trial`: its id, which the host's view has. */
export const TrialAnswer = v.object({ ...RolloutAnswer.entries, trial: v.optional(word(64)) });
export type TrialAnswer = v.InferOutput<typeof TrialAnswer>;

/** `POST /api/hosts/:host/submission`; `submission`: its id, which the host's view has. */
export const SubmissionAnswer = v.object({ ...RolloutAnswer.entries, submission: word(64) });
export type SubmissionAnswer = v.InferOutput<typeof SubmissionAnswer>;

/** `GET /api/hosts/:host/why`: the rules that stand between it and the newest commit, in the order in which they are asked; empty: it runs it. */
export const WhyView = list(v.object({ rule: word(32), text: prose(), end: prose() }), 32);
export type WhyView = v.InferOutput<typeof WhyView>;

/** As people give it. */
export const RingName = v.pipe(v.string(), v.maxLength(MAX_RING_NAME_CHARACTERS, RING_NAME_RULE), v.regex(RING_NAME_FORM, RING_NAME_RULE));

/** A person stopped all rollouts of the repository. */
export const FreezeView = v.object({ by: prose(200), reason: prose(), at: Timestamp, until: v.nullable(Timestamp) });
export type FreezeView = v.InferOutput<typeof FreezeView>;

/** As people give it. */
export const HostLabel = v.pipe(v.string(), v.maxLength(MAX_LABEL_CHARACTERS, LABEL_RULE), v.regex(LABEL_FORM, LABEL_RULE));
export type HostLabel = v.InferOutput<typeof HostLabel>;

/** A person stopped the hosts of one label. */
export const LabelStopView = v.object({ label: HostLabel, ...FreezeView.entries });
export type LabelStopView = v.InferOutput<typeof LabelStopView>;
export const LabelStops = v.optional(list(LabelStopView, MAX_LABEL_STOPS), []);

/** Hosts named in a revert; further ones are only counted. */
export const MAX_REVERT_NAMES = 50;

/** How far the hosts of an aborted rollout are on their way back to stable. */
export const RevertView = v.object({
  /** The hosts that go back. */
  total: Counter,
  back: Counter,
  /** Where to, if that is one commit for all. */
  commit: v.nullable(CommitSha),
  /** Hosts that keep the aborted system, because no complete rollout gave them another. */
  without: list(HostName, MAX_REVERT_NAMES),
  /** Hosts whose agents are too old to go back. */
  tooOld: list(HostName, MAX_REVERT_NAMES),
});
export type RevertView = v.InferOutput<typeof RevertView>;

/** A published revision whose rollout has not begun. */
export const NextWaitsView = v.object({
  /** `train`: an older rollout is finished first. `same`: it has no release that the older one does not have. */
  for: v.picklist(['train', 'same']),
  /** The commit of the older one. */
  after: v.nullable(CommitSha),
  /** It begins then at the latest. */
  until: v.nullable(Timestamp),
});

/**
 * How the releases of a revision reach the fleet. Once frozen, rings and pause are as they were then, and of orders, freeze and
 * revert nothing is told.
 */
export const RolloutView = v.object({
  state: v.picklist(ROLLOUT_STATES),
  /** When it was superseded; null for revisions from before this was recorded. */
  counts: v.nullable(RolloutCountsView),
  description: prose(),
  startedAt: Timestamp,
  completedAt: v.nullable(Timestamp),
  /** When a newer revision superseded it, and its counts, names and reasons became final; null: it is the current one. */
  frozenAt: v.optional(v.nullable(Timestamp), null),
  /** In the order in which they are asked. */
  rings: v.optional(list(RingView, MAX_RINGS), []),
  pause: v.optional(v.nullable(PauseView), null),
  /** Newest first. */
  orders: v.optional(list(RolloutOrderView, MAX_ORDERS_SHOWN), []),
  freeze: v.optional(v.nullable(FreezeView), null),
  /** Whose hosts begin nothing, whatever the rollout does. */
  stops: LabelStops,
  /** Of an aborted one whose hosts go back. */
  revert: v.optional(v.nullable(RevertView), null),
  /** What it waits for before it begins; null: it has begun. */
  waits: v.optional(v.nullable(NextWaitsView), null),
  /** Hosts that are not in sync (or were not when it was superseded), those that need attention first. */
  hosts: v.optional(list(v.object({ host: prose(MAX_ATTRIBUTE_CHARACTERS), standing: HostStanding, reason: v.nullable(prose()) }), 200), []),
});
export type RolloutView = v.InferOutput<typeof RolloutView>;
