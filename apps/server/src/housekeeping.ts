import { isAboutSubject, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { PlainStore, TableName } from '@floe/store';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;

/** What limits the growth of a table. */
export type Growth =
  /** The maximum number of rows. */
  | { readonly bound: string }
  /** Older rows are removed; `prune` resolves to their number. `isHistory`: the operator configures the age. */
  | {
      readonly bound: string;
      readonly keepMs: number;
      readonly isHistory?: true;
      readonly prune: (store: PlainStore, before: number) => Promise<number>;
    };

/** How long decisions are kept. */
export const KEEP_AUDIT_MS = 2 * 365 * DAY_MS;

/** Every table, with what keeps hosts, pushers and clients from filling it. A new table does not compile without an entry. */
export const GROWTH: Readonly<Record<TableName, Growth>> = {
  api_tokens: {
    bound: 'a row per name that an administrator gave',
    // So long after their end: until then they are listed, and their names are not given again.
    keepMs: 90 * DAY_MS,
    prune: async (store, before) => await store.tokens.pruneApiTokens(before),
  },
  sessions: {
    bound: '50 of each token',
    // The store has their own ages: idle, and since the sign-in.
    keepMs: 0,
    prune: async (store, now) => await store.tokens.pruneSessions(now),
  },
  enrolment_tokens: {
    bound: 'one unused of each host, made by an administrator',
    keepMs: 30 * DAY_MS,
    prune: async (store, before) => await store.tokens.pruneEnrolmentTokens(before),
  },
  audit_log: {
    bound: 'a row per decision, per enrolment that an administrator allowed, and per day, token and action that was refused',
    keepMs: KEEP_AUDIT_MS,
    prune: async (store, before) => await store.audit.prune(before),
  },
  hosts: {
    bound: 'a row per host of the newest commit, 10,000 at most, and per host that was enrolled until it is forgotten',
    // Removes only notes on rows: reports that were set aside are shown for this long.
    keepMs: 14 * DAY_MS,
    prune: async (store, before) => await store.hosts.forgetRefusals(before),
  },
  server_leases: { bound: 'a row per server that runs: each beat of a server removes those that ended' },
  deploys: { bound: 'one of each host, by whoever asked last' },
  pins: { bound: 'two of each host, by an administrator' },
  stepping_stones: { bound: 'one of each host and name in the policy, 20 at most' },
  former_hosts: { bound: 'one of each rename, by an administrator; it goes with its host' },
  trials: { bound: 'one of each host, by an operator; it goes with its host' },
  submissions: { bound: 'one of each host, by an administrator; it goes with its host' },
  handovers: {
    bound: '20 that wait of each repository, by whoever may submit; others go with the age of their revisions',
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.handovers.prune(before),
  },
  signing_requests: {
    bound: 'one of each directive that goes back or is for a trial, on one connection, of a server whose builder is a process of its own',
    // An answer is for one connection, and a directive lasts as long.
    keepMs: DAY_MS,
    prune: async (store, before) => await store.signing.prune(before),
  },
  builder_notices: { bound: 'one of each builder that told any within a day, 20 notices in each' },
  builds_under_way: { bound: 'one of each repository, which a builder replaces' },
  testing_branches: { bound: 'one of each host with a branch testing/HOST; it goes with its host, or the branch' },
  quarantines: {
    bound: 'one of each release of a host, also of one that was forgotten',
    keepMs: 365 * DAY_MS,
    prune: async (store, before) => await store.hosts.pruneQuarantines(before),
  },
  quarantine_orders: { bound: 'one of each host and commit, by whoever ordered it last, until somebody lifts it' },
  acknowledgements: { bound: 'one of each system that failed on a host, by whoever resumed; they go with their host' },
  rollout_orders: { bound: 'a row per decision of a person about a rollout; they go with it' },
  probe_answers: { bound: 'one of each ring and probe of a rollout; they go with it' },
  freezes: { bound: 'one of each repository' },
  label_stops: { bound: '16 of each repository, by label' },
  directives: {
    bound: '200 of each host',
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.hosts.pruneDirectives(before),
  },
  reports: {
    bound: '1,000 of each of the last 4 series of a host, 200 of them with a log',
    // What the page and `floe hosts NAME` show of the past; each host's newest report stays.
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.reports.prune(before),
  },
  host_statements: { bound: 'one of each host, and 16 of its directives and permits; they go with their host' },
  status_outbox: {
    bound: 'three of each commit',
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.outbox.prune(before),
  },
  notification_targets: {
    bound: '16 of each server, by its settings',
    // What a server has is looked at every minute.
    keepMs: 90 * DAY_MS,
    prune: async (store, before) => await store.notifications.pruneTargets(before),
  },
  notification_outbox: {
    bound: 'one of each target, and failure, pause, end or hold: each takes a commit, or a host that tries a release',
    // Much longer than something is told: one that is forgotten sooner would be told again.
    keepMs: 30 * DAY_MS,
    prune: async (store, before) => await store.notifications.prune(before),
  },
  repository_leases: { bound: 'one of each repository' },
  repositories: { bound: 'a row per repository and branch in the settings' },
  webhook_deliveries: {
    bound: 'one of each body that the forge signed',
    // Much longer than a forge repeats a delivery. Pushes to the branch stay a year longer: they say who the authors are.
    keepMs: 30 * DAY_MS,
    prune: async (store, before) => await store.deliveries.prune(before),
  },
  releases: {
    bound: 'one of each host and commit; of old ones those that a host may still be told',
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.releases.prune(before),
  },
  revisions: {
    bound: 'one of each commit; of old ones the newest 200, and those that releases are of',
    keepMs: 90 * DAY_MS,
    isHistory: true,
    prune: async (store, before) => await store.revisions.prune(before),
  },
  evaluations: { bound: 'a row per host of a revision: they go with the age of revisions' },
  rollouts: { bound: 'one of each revision: they go with it' },
  rollout_stories: { bound: 'one of each rollout, with 200 hosts at most: they go with it' },
  freshness: { bound: 'one of each repository' },
  server: { bound: 'one row' },
};

export interface HousekeepingDeps {
  readonly store: PlainStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  /** How long history is kept, if the operator configured it. */
  readonly historyMs?: number;
}

/** Removes outdated rows every hour, until `signal` aborts. */
export async function keepHouse({ store, clock, logger, troubles, historyMs }: HousekeepingDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const now = clock.now();
    try {
      await troubles.each(
        'removing old rows',
        Object.entries(GROWTH),
        ([table]) => `table ${table}`,
        async ([table, growth]) => {
          const keepMs = 'prune' in growth ? ((growth.isHistory === true ? historyMs : undefined) ?? growth.keepMs) : 0;
          const removed = 'prune' in growth ? await growth.prune(store, now - keepMs) : 0;
          if (removed > 0) logger.info('old rows were removed', { table, removed });
        },
      );
      await troubles.each(
        'vacuuming the database',
        ['server: database'],
        (subject) => subject,
        async () => await store.server.tidy(),
      );
    } catch (error) {
      if (isAboutSubject(error)) throw error;
      logger.debug('housekeeping waits for the database', { error });
    }
    await clock.sleep(HOUR_MS, signal);
  }
}
