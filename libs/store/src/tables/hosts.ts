import { AGENT_STATES, SUBMISSION_STATES, URGENCIES } from '@floe/model';
import { sql } from 'drizzle-orm';
import { bigint, boolean, index, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { TESTING_STATES } from '../testing-contract.ts';
import { at, commitSha, count, hostName, storePath } from './columns.ts';
import { repositories } from './pipeline.ts';
import { releases } from './releases.ts';

export const hosts = pgTable(
  'hosts',
  {
    host: hostName('host').primaryKey(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    machineId: text('machine_id'),
    publicKey: text('public_key'),
    enrolledAt: at('enrolled_at'),
    revokedAt: at('revoked_at'),
    clonedAt: at('cloned_at'),
    desiredReleaseId: text('desired_release_id').references(() => releases.id),
    desiredToplevel: storePath('desired_toplevel'),
    desiredSequence: count('desired_sequence'),
    desiredSince: at('desired_since'),
    /** 'stage': it is to have the release, and not to activate it: it was promoted, and is not any more. Null: as a rule. */
    desiredMode: text('desired_mode', { enum: ['stage'] }),
    /** Who lets it go below what it was told before, and why: `PermitGrounds` of libs/model. */
    desiredPermit: jsonb('desired_permit'),
    /** The highest sequence that it was ever told. */
    toldSequence: count('told_sequence').notNull().default(0),
    epoch: count('epoch').notNull().default(0),
    /** An administrator's retry: directives are marked as one until the agent has accepted this epoch or a later one. */
    retryEpoch: count('retry_epoch'),
    /** Its release in the last rollout that was complete with it. */
    stableReleaseId: text('stable_release_id').references(() => releases.id),
    /** The one that the statement log tells: of any other it is still to be told. It may be gone. */
    loggedStableId: text('logged_stable_id'),
    /** The revision whose rollout made another system its stable one than before. */
    stableBy: text('stable_by'),
    /**
     * Of the last complete rollout that had it: its labels (null: there was none), its time zone, and the name that its ring has now in the
     * policy in force (null: that ring is gone). The next commits are compared with that, however many passed without the host.
     */
    lastLabels: jsonb('last_labels'),
    lastTimeZone: text('last_time_zone'),
    lastRing: text('last_ring'),
    /** The system of its last `go`, until when there must be a verdict about it, and the epoch of its directive. */
    wentToplevel: storePath('went_toplevel'),
    wentUntil: at('went_until'),
    wentEpoch: count('went_epoch'),
    /** The highest sequence that the agent reports as accepted. */
    acceptedSequence: count('accepted_sequence').notNull().default(0),
    observed: jsonb('observed'),
    state: text('state', { enum: AGENT_STATES }).notNull().default('IDLE'),
    stateToplevel: storePath('state_toplevel'),
    stateSince: at('state_since'),
    /** Seq of the report that `state` is from: an older report never replaces a newer one. */
    stateSeq: count('state_seq').notNull().default(0),
    detail: jsonb('detail'),
    timings: jsonb('timings'),
    isConnected: boolean('is_connected').notNull().default(false),
    sessionId: text('session_id'),
    bootId: text('boot_id'),
    lastSeenAt: at('last_seen_at'),
    agentVersion: text('agent_version'),
    /** What its agent says that it understands; null: it has not said yet. */
    capabilities: jsonb('capabilities'),
    system: text('system'),
    /** Number of times that the agent's report numbers restarted at 1: by an enrolment, or by a disk that was restored to an older day. */
    reportSeries: count('report_series').notNull().default(0),
    reportSeq: count('report_seq').notNull().default(0),
    /** Reports that the database refused: how many, the newest one's time and error. */
    refusedCount: count('refused_count').notNull().default(0),
    refusedAt: at('refused_at'),
    refusedWhy: text('refused_why'),
  },
  (table) => [
    index('hosts_repository').on(table.repositoryId),
    index('hosts_public_key').on(table.publicKey),
    // Looked for every few seconds.
    index('hosts_stable_unlogged')
      .on(table.repositoryId)
      .where(sql`${table.stableReleaseId} is distinct from ${table.loggedStableId}`),
  ],
);

/** The names that hosts had before they were renamed, with the name that they have now. */
export const formerHosts = pgTable(
  'former_hosts',
  {
    formerHost: hostName('former_host').primaryKey(),
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
    renamedAt: at('renamed_at').notNull(),
  },
  (table) => [index('former_hosts_host').on(table.host)],
);

/** Running servers. The presence of a host is valid as long as the lease of the server that stored it. */
export const serverLeases = pgTable('server_leases', { serverId: text('server_id').primaryKey(), expiresAt: at('expires_at').notNull() });

export const pins = pgTable(
  'pins',
  {
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onUpdate: 'cascade' }),
    kind: text('kind', { enum: ['pin', 'hold'] }).notNull(),
    releaseId: text('release_id')
      .notNull()
      .references(() => releases.id),
    reason: text('reason').notNull(),
    by: text('by').notNull(),
    /** It may bring the host below what it was told. */
    isPermitted: boolean('is_permitted').notNull().default(false),
    /** What an operator's key signed about that: `SignedText` of libs/model. */
    word: jsonb('word'),
    createdAt: at('created_at').notNull(),
    expiresAt: at('expires_at'),
  },
  (table) => [primaryKey({ columns: [table.host, table.kind] })],
);

/** Releases that a host has to run before anything newer: of the first complete rollout whose policy had the name. */
export const steppingStones = pgTable(
  'stepping_stones',
  {
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
    name: text('name').notNull(),
    releaseId: text('release_id')
      .notNull()
      .references(() => releases.id),
    /** Of the release: a look at a fleet reads no releases for it. */
    sequence: count('sequence').notNull(),
    toplevel: storePath('toplevel').notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.name] }), index('stepping_stones_release').on(table.releaseId)],
);

/** What a host was last asked to try: the newest trial of each host, also after its end. */
export const trials = pgTable('trials', {
  host: hostName('host')
    .primaryKey()
    .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
  /** New with each trial. */
  id: text('id').notNull(),
  /** Of the release that is tried. */
  sequence: count('sequence').notNull(),
  toplevel: storePath('toplevel').notNull(),
  commit: commitSha('commit').notNull(),
  /** The release, signed as a test. */
  envelope: text('envelope').notNull(),
  by: text('by').notNull(),
  reason: text('reason').notNull(),
  at: at('at').notNull(),
  endsAt: at('ends_at').notNull(),
  /** The host's first directive counter that is about it. */
  epoch: count('epoch').notNull(),
  endedAt: at('ended_at'),
  result: text('result'),
  /** The machine refused it, or it failed there. */
  hasFailed: boolean('has_failed').notNull().default(false),
  /** The log of decisions says how it ended. */
  isEndLogged: boolean('is_end_logged').notNull().default(true),
});

/** The store path that a host was last asked to be pinned to: the newest of each host, also after its end. */
export const submissions = pgTable('submissions', {
  host: hostName('host')
    .primaryKey()
    .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
  /** New with each. */
  id: text('id').notNull(),
  repositoryId: text('repository_id')
    .notNull()
    .references(() => repositories.id),
  toplevel: storePath('toplevel').notNull(),
  by: text('by').notNull(),
  reason: text('reason').notNull(),
  at: at('at').notNull(),
  /** Of the pin. */
  expiresAt: at('expires_at'),
  state: text('state', { enum: SUBMISSION_STATES }).notNull(),
  /** Of its release, once it is to be signed. */
  sequence: count('sequence'),
  endedAt: at('ended_at'),
  result: text('result').notNull().default(''),
});

/** The branches `testing/<host>` that are followed, or were: the newest head of each that had its turn. */
export const testingBranches = pgTable(
  'testing_branches',
  {
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
    head: commitSha('head').notNull(),
    seenAt: at('seen_at').notNull(),
    state: text('state', { enum: TESTING_STATES }).notNull(),
    trialId: text('trial_id'),
  },
  (table) => [primaryKey({ columns: [table.repositoryId, table.host] })],
);

/** A person asks that the host take what it was told under this epoch, at once. */
export const deploys = pgTable('deploys', {
  host: hostName('host')
    .primaryKey()
    .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
  epoch: count('epoch').notNull(),
  level: text('level', { enum: URGENCIES }).notNull(),
  reason: text('reason').notNull(),
  by: text('by').notNull(),
  createdAt: at('created_at').notNull(),
  expiresAt: at('expires_at').notNull(),
});

/** What a host rolled back. Without a reference to the host: it is still there when a host of that name is enrolled after it was forgotten (SPEC O35). */
export const quarantines = pgTable(
  'quarantines',
  {
    host: hostName('host').notNull(),
    toplevel: storePath('toplevel').notNull(),
    reason: text('reason').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.toplevel] })],
);

/** A failure of a host with a system that a person saw before resuming a rollout: it counts in no gate. */
export const acknowledgements = pgTable(
  'acknowledgements',
  {
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
    toplevel: storePath('toplevel').notNull(),
    by: text('by').notNull(),
    reason: text('reason').notNull(),
    at: at('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.toplevel] })],
);

/** Append-only: the directives of each agent. */
export const directives = pgTable(
  'directives',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onUpdate: 'cascade' }),
    epoch: count('epoch').notNull(),
    releaseId: text('release_id')
      .notNull()
      .references(() => releases.id),
    mode: text('mode').notNull(),
    issuedAt: at('issued_at').notNull(),
  },
  (table) => [index('directives_host').on(table.host, table.epoch)],
);

/** Append-only: the reports of each agent. */
export const reports = pgTable(
  'reports',
  {
    host: hostName('host').notNull(),
    series: count('series').notNull(),
    seq: count('seq').notNull(),
    epoch: count('epoch').notNull(),
    state: text('state', { enum: AGENT_STATES }).notNull(),
    toplevel: storePath('toplevel'),
    observed: jsonb('observed').notNull(),
    detail: jsonb('detail'),
    timings: jsonb('timings'),
    log: text('log'),
    at: at('at').notNull(),
    receivedAt: at('received_at').notNull(),
  },
  // No foreign key: it would cost a lookup per row, and the insert joins the hosts anyway.
  (table) => [
    primaryKey({ columns: [table.host, table.series, table.seq] }),
    index('reports_received').on(table.receivedAt),
    // Logs are removed long before their reports.
    index('reports_with_log')
      .on(table.host, table.series, table.seq)
      .where(sql`${table.log} is not null`),
  ],
);
