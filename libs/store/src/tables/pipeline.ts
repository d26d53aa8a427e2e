import { EVALUATION_OUTCOMES, HANDOVER_STATES, REVISION_STATES } from '@floe/model';
import { sql } from 'drizzle-orm';
import { index, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { at, commitSha, count, hostName, id, storePath } from './columns.ts';
import { isUnfinishedRevision } from './unfinished.ts';

export const repositories = pgTable(
  'repositories',
  {
    id: id(),
    url: text('url').notNull(),
    branch: text('branch').notNull(),
    createdAt: at('created_at').notNull(),
    acceptedCommit: commitSha('accepted_commit'),
    sequence: count('sequence').notNull().default(0),
    /** The number of the newest statement about stable releases in the statement log. */
    stableNumber: count('stable_number').notNull().default(0),
    /** What that log tells of the policy of the last complete rollout; null: nothing. */
    loggedPolicy: text('logged_policy'),
    hintCount: count('hint_count').notNull().default(0),
    lastFetchAt: at('last_fetch_at'),
    problemCode: text('problem_code'),
    problemMessage: text('problem_message'),
    problemSince: at('problem_since'),
    /** What would make things better, for people; null: nothing is known. */
    advice: text('advice'),
    heldCommit: commitSha('held_commit'),
    heldReason: text('held_reason'),
    heldSince: at('held_since'),
    /** What a person is asked to accept of it; null: it was not recorded. */
    heldCause: jsonb('held_cause'),
    allowedCommit: commitSha('allowed_commit'),
    /** What of it was accepted; null: it was not recorded. */
    allowedCause: jsonb('allowed_cause'),
    allowedAt: at('allowed_at'),
    leaseOwner: text('lease_owner'),
    leaseExpiresAt: at('lease_expires_at'),
  },
  (table) => [unique('repositories_url_branch').on(table.url, table.branch)],
);

/** Apart from the repository's row, which others write: it is locked by everybody who writes under the lease. */
export const repositoryLeases = pgTable('repository_leases', {
  repositoryId: text('repository_id')
    .primaryKey()
    .references(() => repositories.id, { onDelete: 'cascade' }),
  /** Of the newest claim. Only grows. */
  token: count('token').notNull(),
});

export const webhookDeliveries = pgTable(
  'webhook_deliveries',
  {
    forge: text('forge').notNull(),
    id: text('id').notNull(),
    event: text('event').notNull(),
    repositoryId: text('repository_id').references(() => repositories.id),
    ref: text('ref'),
    /** Null: the ref was new, or it is from before this was recorded. */
    before: text('before'),
    after: text('after'),
    /** Who pushed, by the login at the forge; null: not known. */
    pusher: text('pusher'),
    outcome: text('outcome').notNull(),
    receivedAt: at('received_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.forge, table.id] }),
    index('webhook_deliveries_commit').on(table.repositoryId, table.after),
    index('webhook_deliveries_received').on(table.receivedAt),
  ],
);

/** The systems that a CI submitted as one file. */
export const handovers = pgTable(
  'handovers',
  {
    id: id(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    /** A hash of its hosts, their systems and the commit: the same file again is not another one. */
    contentHash: text('content_hash').notNull(),
    /** The commit that they were built from; null: none was named. */
    commit: commitSha('commit'),
    /** The store path of each host, as JSON. */
    systems: jsonb('systems').notNull(),
    /** The name of the token, and whose it was. */
    by: text('by').notNull(),
    person: text('person').notNull(),
    at: at('at').notNull(),
    state: text('state', { enum: HANDOVER_STATES }).notNull(),
    endedAt: at('ended_at'),
    /** Why it was refused, or what it waits for. */
    result: text('result').notNull().default(''),
  },
  (table) => [
    index('handovers_waiting')
      .on(table.repositoryId, table.at)
      .where(sql`${table.state} = 'WAITING'`),
    index('handovers_content').on(table.repositoryId, table.contentHash, table.at),
  ],
);

export const revisions = pgTable(
  'revisions',
  {
    id: id(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    sha: commitSha('sha').notNull(),
    sequence: count('sequence').notNull(),
    state: text('state', { enum: REVISION_STATES }).notNull(),
    error: text('error'),
    warnings: jsonb('warnings'),
    /** How it is rolled out, complete; null: by the default. */
    policy: jsonb('policy'),
    subject: text('subject').notNull(),
    authorName: text('author_name').notNull(),
    authorEmail: text('author_email').notNull(),
    committedAt: at('committed_at').notNull(),
    receivedAt: at('received_at').notNull(),
    fetchedAt: at('fetched_at'),
    verifiedAt: at('verified_at'),
    evaluatedAt: at('evaluated_at'),
    /** Null on one that is PUBLISHED: a newer one came before all its hosts were built. */
    builtAt: at('built_at'),
    publishedAt: at('published_at'),
    /** When an administrator accepted it, if it was held. */
    allowedAt: at('allowed_at'),
    /** Its policy is below the floor of the settings: who asked to let it pass; null: it is not, or was not looked at. */
    glass: jsonb('glass'),
    /** When enough of them had asked. */
    glassAt: at('glass_at'),
    /** The floor that they were asked about. About another one they are asked again. */
    glassFloor: text('glass_floor'),
    /** The commit that superseded it, before or after it was published. */
    supersededBy: commitSha('superseded_by'),
    supersededAt: at('superseded_at'),
    /** What of it was evaluated: of two revisions with the same one, both evaluate to the same. Empty: by settings that changed meanwhile. */
    sourceKey: text('source_key'),
    /** The commit with the same source whose results it took over; null: it took over none. */
    sameSourceAs: commitSha('same_source_as'),
    /** Its systems were submitted; null: it is a commit of the tracked branch. */
    handoverId: text('handover_id').references(() => handovers.id),
    /** Who signed its commits that the branch's newest published one had not, a JSON list of texts; null: nobody had to. */
    signers: jsonb('signers'),
  },
  (table) => [
    unique('revisions_sequence').on(table.repositoryId, table.sequence),
    index('revisions_commit').on(table.repositoryId, table.sha),
    index('revisions_handover')
      .on(table.handoverId)
      .where(sql`${table.handoverId} is not null`),
    index('revisions_unfinished').on(table.repositoryId, table.sequence).where(isUnfinishedRevision(table.state)),
  ],
);

export const evaluations = pgTable(
  'evaluations',
  {
    revisionId: text('revision_id')
      .notNull()
      .references(() => revisions.id),
    host: hostName('host').notNull(),
    outcome: text('outcome', { enum: EVALUATION_OUTCOMES }).notNull(),
    drvPath: text('drv_path'),
    toplevel: storePath('toplevel'),
    system: text('system'),
    error: text('error'),
    /** Warnings and traces of the host's evaluation, a JSON list of texts. */
    warnings: jsonb('warnings'),
    /** Of the host's own configuration: a JSON list of texts. */
    labels: jsonb('labels'),
    /** The ring that the host's own configuration names. */
    ring: text('ring'),
    /** The name that its own configuration says it had before. */
    formerHost: hostName('former_host'),
    /** The time zone of the host's own configuration. */
    timeZone: text('time_zone'),
    /** When the host is retried, if its error may be temporary. */
    retryAt: at('retry_at'),
    tries: count('tries').notNull().default(0),
    evaluateMs: count('evaluate_ms'),
    buildMs: count('build_ms'),
    builtAt: at('built_at'),
    narHash: text('nar_hash'),
    closureSizeBytes: count('closure_size_bytes'),
  },
  (table) => [primaryKey({ columns: [table.revisionId, table.host] })],
);

/** The builds that run, for people: one row for each repository, which the builder replaces. */
export const buildsUnderWay = pgTable('builds_under_way', {
  repositoryId: text('repository_id')
    .primaryKey()
    .references(() => repositories.id, { onDelete: 'cascade' }),
  revisionId: text('revision_id')
    .notNull()
    .references(() => revisions.id, { onDelete: 'cascade' }),
  /** A JSON list. */
  builds: jsonb('builds').notNull(),
});

/** The problems of builders that are processes of their own, for people: a row for each one that has some, which it replaces. */
export const builderNotices = pgTable(
  'builder_notices',
  {
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id, { onDelete: 'cascade' }),
    /** The builder's name in leases. */
    owner: text('owner').notNull(),
    /** The builder's name for people. */
    name: text('name').notNull(),
    /** A JSON list. */
    notices: jsonb('notices').notNull(),
    /** By the clock of the database. */
    toldAt: at('told_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.repositoryId, table.owner] })],
);
