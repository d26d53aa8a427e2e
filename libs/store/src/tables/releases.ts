import { PROBE_VERDICTS, ROLLOUT_ORDERS, ROLLOUT_STATES, type Role } from '@floe/model';
import { bigint, boolean, doublePrecision, index, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { at, commitSha, count, hostName, id, storePath } from './columns.ts';
import { repositories, revisions } from './pipeline.ts';
import { isUnfinishedRollout } from './unfinished.ts';

export const releases = pgTable(
  'releases',
  {
    id: id(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    /** Null when the release was restored from the statement log. */
    revisionId: text('revision_id').references(() => revisions.id),
    host: hostName('host').notNull(),
    sequence: count('sequence').notNull(),
    toplevel: storePath('toplevel').notNull(),
    commit: commitSha('commit').notNull(),
    issuedAt: at('issued_at').notNull(),
    /** Of a store path that an administrator named, for a pin alone: it is none of the fleet's, and counts nowhere else. */
    isSubmitted: boolean('is_submitted').notNull().default(false),
    /** The signed statement as JSON text: these bytes are signed. */
    envelope: text('envelope').notNull(),
  },
  (table) => [
    unique('releases_host_sequence').on(table.host, table.sequence),
    index('releases_repository').on(table.repositoryId, table.host, table.sequence),
    index('releases_revision').on(table.revisionId),
    index('releases_of_system').on(table.host, table.toplevel, table.sequence),
  ],
);

export const rollouts = pgTable(
  'rollouts',
  {
    id: id(),
    revisionId: text('revision_id')
      .notNull()
      .unique()
      .references(() => revisions.id),
    state: text('state', { enum: ROLLOUT_STATES }).notNull(),
    startedAt: at('started_at').notNull(),
    completedAt: at('completed_at'),
    /** It waits for the rollout before it, or was superseded while it did: hosts never followed it. */
    waitingSince: at('waiting_since'),
    /** The rest of its `RolloutCourse` in libs/model. */
    ring: count('ring').notNull().default(0),
    /** 0: from before this was recorded; then it is `startedAt`. */
    since: at('since').notNull().default(0),
    ringSince: at('ring_since').notNull().default(0),
    pause: jsonb('pause'),
    provedRing: count('proved_ring'),
    /** Rings that were passed over without their approvals; null: none. */
    unapproved: jsonb('unapproved'),
    /** It was complete before, and asks hosts that were not asked then. */
    isReopened: boolean('is_reopened').notNull().default(false),
    /** The ring of each host, as pairs, frozen when the rollout begins; null: all hosts are in the first one. */
    rings: jsonb('rings'),
    /** How its policy is weaker than that of the last complete rollout, each in a sentence and with what stands for it; null: not compared yet. */
    weaker: jsonb('weaker'),
    /** Who pushed its commits since the last complete rollout, logins at the forge; null: not known, or not asked. */
    pushers: jsonb('pushers'),
    /** Who signed them, where the settings name signers. */
    signers: jsonb('signers'),
    /** The commits of `pushers` and `signers` are those after this sequence: what the ring `authorsRing` has not had. */
    authorsSince: count('authors_since'),
    /** Null: from before this was recorded. */
    authorsRing: count('authors_ring'),
    /** Grows with each write: of two servers that decide at the same time, one succeeds. */
    version: count('version').notNull().default(0),
  },
  (table) => [index('rollouts_unfinished').on(table.revisionId).where(isUnfinishedRollout(table.state))],
);

/** The result of a rollout when a newer one superseded it: written once, never changed. */
export const rolloutStories = pgTable('rollout_stories', {
  revisionId: text('revision_id')
    .primaryKey()
    .references(() => revisions.id),
  at: at('at').notNull(),
  /** The number of hosts by standing. */
  counts: jsonb('counts').notNull(),
  leaving: count('leaving').notNull(),
  /** Hosts that were not in sync, with standing and reason. */
  hosts: jsonb('hosts').notNull(),
  /** What came of each ring, in order; null: recorded before there were any. */
  rings: jsonb('rings'),
});

/** Append-only: what people asked of a rollout. */
export const rolloutOrders = pgTable(
  'rollout_orders',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    rolloutId: text('rollout_id')
      .notNull()
      .references(() => rollouts.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ROLLOUT_ORDERS }).notNull(),
    /** Of an approval: the ring. Of a resume: the `since` of the pause that it ends. Of an abort: 1 if it reverts. Else 0. */
    subject: at('subject').notNull().default(0),
    by: text('by').notNull(),
    /** Whose token it was then; null: a person with the name of the token. */
    person: text('person'),
    /** Of an approval: what was approved; null: from before this was recorded. */
    binds: text('binds'),
    /** Of an administrator's approval: the loosenings of the policy that it was given for, by id; null: from before this was recorded. */
    loosens: jsonb('loosens'),
    role: text('role').$type<Role>().notNull(),
    reason: text('reason').notNull(),
    at: at('at').notNull(),
  },
  (table) => [index('rollout_orders_rollout').on(table.rolloutId)],
);

/** What a probe last answered about a ring of a rollout. */
export const probeAnswers = pgTable(
  'probe_answers',
  {
    rolloutId: text('rollout_id')
      .notNull()
      .references(() => rollouts.id, { onDelete: 'cascade' }),
    ring: count('ring').notNull(),
    name: text('name').notNull(),
    /** Numbers the claims, of which one at a time may ask. */
    claim: count('claim').notNull().default(0),
    claimedUntil: at('claimed_until'),
    /** Of the answer; 0: there is none yet. */
    number: count('number').notNull().default(0),
    /** The number of the answer that a person saw, and resumed. */
    acknowledged: count('acknowledged').notNull().default(0),
    askedAt: at('asked_at').notNull().default(0),
    verdict: text('verdict', { enum: PROBE_VERDICTS }).notNull().default('unknown'),
    value: text('value'),
    max: doublePrecision('max'),
    min: doublePrecision('min'),
    detail: text('detail').notNull().default(''),
    /** How often in a row it gave no answer. */
    tries: count('tries').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.rolloutId, table.ring, table.name] })],
);

/** A person stopped all rollouts of a repository. */
export const freezes = pgTable('freezes', {
  repositoryId: text('repository_id')
    .primaryKey()
    .references(() => repositories.id),
  by: text('by').notNull(),
  reason: text('reason').notNull(),
  at: at('at').notNull(),
  until: at('until'),
});

/** A person stopped the hosts of one label. */
export const labelStops = pgTable(
  'label_stops',
  {
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    label: text('label').notNull(),
    by: text('by').notNull(),
    reason: text('reason').notNull(),
    at: at('at').notNull(),
    until: at('until'),
  },
  (table) => [primaryKey({ columns: [table.repositoryId, table.label] })],
);

/** The newest freshness statement of each repository. */
export const freshness = pgTable('freshness', {
  repositoryId: text('repository_id')
    .primaryKey()
    .references(() => repositories.id),
  envelope: text('envelope').notNull(),
  sequence: count('sequence').notNull(),
  asOf: at('as_of').notNull(),
  /** The latest time that was ever used in a statement of this repository. */
  highestAsOf: at('highest_as_of').notNull().default(0),
});
