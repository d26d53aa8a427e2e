import { MAX_LABEL_STOPS, MAX_RING_NAME_CHARACTERS, MAX_RINGS, PLAN_HOLDS, REVISION_STATES, ROLLOUT_STATES } from '@floe/model';
import * as v from 'valibot';
import { Counter, list, prose, Timestamp } from './bounds.ts';
import { CommitSha, HostName } from './ids.ts';
import { HostLabel, MissingApprovalsView, NextWaitsView } from './rollout-view.ts';

/** Hosts of a ring that a plan names; further ones are only counted. */
export const MAX_PLAN_HOSTS = 500;

/** A ring that has not passed. The times are the earliest: if hosts verify, and people approve, at once. */
const RingPlanView = v.object({
  name: prose(MAX_RING_NAME_CHARACTERS),
  /** Those that change, and how many of them are connected. */
  hosts: list(HostName, MAX_PLAN_HOSTS),
  eligible: Counter,
  connected: Counter,
  /** What it waits for, in words. */
  gates: list(prose(), 16),
  missingApprovals: v.nullable(MissingApprovalsView),
  /** No host of it changes: it is passed over. */
  isSkipped: v.boolean(),
  /** When its hosts begin, or began. */
  beginsAt: v.nullable(Timestamp),
  /** When it has passed, soak included. */
  passesAt: v.nullable(Timestamp),
  /** Why one of the times is not known: see `PLAN_HOLDS`. */
  held: v.nullable(v.picklist(PLAN_HOLDS)),
});
export type RingPlanView = v.InferOutput<typeof RingPlanView>;

/** What is known of a commit that is not published yet. */
const UnpublishedView = v.object({
  state: v.picklist(REVISION_STATES),
  /** Where it is, or what it waits for, in words. */
  text: prose(),
  /** Its policy and its hosts were read: until then its rings are not known. */
  isListed: v.boolean(),
  /** Hosts that are in no ring yet, because they are still evaluated. */
  evaluating: Counter,
  /** Hosts that it changes, and that have no release of it yet. */
  building: Counter,
  /** Hosts that do not evaluate or build: they keep what they have. */
  failed: Counter,
});
export type UnpublishedView = v.InferOutput<typeof UnpublishedView>;

/** `GET /api/rollout/plan`: what is to come of a rollout, also of one that has not begun. */
export const RolloutPlanView = v.object({
  sha: CommitSha,
  state: v.picklist(ROLLOUT_STATES),
  /** What it waits for before it begins; null: it has begun. */
  waits: v.nullable(NextWaitsView),
  /** Null: it is published. */
  unpublished: v.optional(v.nullable(UnpublishedView), null),
  /** Those that have not passed, in the order in which they are asked. */
  rings: list(RingPlanView, MAX_RINGS),
  /** Hosts that the commit changes and that wait for the end of a pause of their label, whatever their ring does: by the label. */
  stopped: v.optional(
    list(
      v.object({ label: HostLabel, by: prose(200), until: v.nullable(Timestamp), hosts: list(HostName, MAX_PLAN_HOSTS), count: Counter }),
      MAX_LABEL_STOPS,
    ),
    [],
  ),
});
export type StoppedPlanView = RolloutPlanView['stopped'][number];
export type RolloutPlanView = v.InferOutput<typeof RolloutPlanView>;
