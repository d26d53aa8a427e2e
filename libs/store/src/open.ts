import type { Clock, Logger } from '@floe/runtime';
import { DrizzleQueryError } from 'drizzle-orm';
import { createAuditStore } from './audit.ts';
import { connect, type Connection } from './database.ts';
import { judge } from './embedded-folder.ts';
import { fenced, refuseLate } from './fence.ts';
import { decideLogged } from './decisions.ts';
import { createDeliveryStore } from './deliveries.ts';
import { translateError, translating } from './errors.ts';
import { createHintChannel, newHintOrigin } from './hints.ts';
import { createHostStatementStore } from './host-statements.ts';
import { createHostStore } from './hosts.ts';
import { LeftOutRows } from './unreadable.ts';
import { migrate } from './migrate.ts';
import { createNotificationStore } from './notifications.ts';
import { createOutboxStore } from './outbox.ts';
import { createReleaseStore } from './releases.ts';
import { createReportStore } from './reports.ts';
import { createRepositoryStore } from './repositories.ts';
import { createRevisionStore } from './revisions.ts';
import { readStories } from './rollout-stories.ts';
import { beginNext } from './begin-next.ts';
import { supersededInARow } from './next-rollouts.ts';
import type { NextOfFleet } from './records.ts';
import { createRolloutStore } from './rollouts.ts';
import { createServerStore } from './server-row.ts';
import { createSigningStore } from './signing.ts';
import { createStableStore } from './stable.ts';
import type { Store, StoreTarget } from './store.ts';
import { createHandoverStore } from './handovers.ts';
import { createSubmissionStore } from './submissions.ts';
import { createTestingStore } from './testing.ts';
import { createTokenStore } from './tokens.ts';

export interface StoreDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The folder `migrations/` of this Floe. */
  readonly migrationsDir: string;
}

/**
 * Opens the database and brings it to this version's tables. Throws `FloeError('STORE_UNREACHABLE')` (retryable: try
 * again), `FloeError('STORE_TOO_NEW')` when a newer Floe migrated it before, and `FloeError('STORE_IN_USE')` when
 * another process has the embedded database's folder.
 */
export async function openStore(target: StoreTarget, deps: StoreDeps): Promise<Store> {
  const connection = await connect(target, deps);
  let newestMigration: number;
  try {
    newestMigration = await migrate(connection.patientDb, deps);
  } catch (error) {
    await connection.close().catch((closing: unknown) => deps.logger.debug('the database was not closed', { error: closing }));
    if (target.kind === 'pglite' && target.dataDir !== undefined && isOfDriver(error)) throw await judge(error, target.dataDir);
    throw translateError(error, false);
  }
  return composeStore(connection, deps, { leftOut: new LeftOutRows(), origin: newHintOrigin(), closed: new AbortController(), newestMigration });
}

/** An error without translation, like a missing folder of migrations: the tables were changed, or a disk failed. */
function isOfDriver(error: unknown): boolean {
  return error instanceof DrizzleQueryError || (error instanceof Error && error.name === 'RuntimeError');
}

/** What stores on one connection have in common. */
interface Shared {
  readonly leftOut: LeftOutRows;
  readonly origin: ReturnType<typeof newHintOrigin>;
  readonly closed: AbortController;
  /** When the newest one that this Floe has was made. */
  readonly newestMigration: number;
}

function composeStore(connection: Connection, deps: StoreDeps, shared: Shared): Store {
  const { clock, logger } = deps;
  const { db } = connection;
  const { leftOut, origin, closed, newestMigration } = shared;
  const isClosed = (): boolean => closed.signal.aborted;
  const server = translating({ ...createServerStore(db), tidy: connection.tidy }, isClosed);
  return {
    ping: async () => await server.probe(),
    forPeople: connection.forPeople,
    leftOut: () => leftOut.list(),
    decide: async (work) => {
      try {
        return await decideLogged(db, async (tx) => await work(composeStore({ ...connection, db: tx }, deps, shared)));
      } catch (error) {
        throw translateError(error, isClosed(), 'decide');
      }
    },
    underLease(lease) {
      const { confirm: confirmLease } = translating({ confirm: async () => await refuseLate(db, lease) }, isClosed);
      return { ...composeStore({ ...connection, db: fenced(db, lease) }, deps, shared), confirmLease };
    },
    confirmLease: async () => await Promise.resolve(),
    server,
    repositories: translating(createRepositoryStore(db, clock, newestMigration), isClosed),
    deliveries: translating(createDeliveryStore(db), isClosed),
    revisions: translating(createRevisionStore(db, leftOut), isClosed),
    releases: translating(createReleaseStore(db, leftOut), isClosed),
    rollouts: translating(
      {
        ...createRolloutStore(db, origin),
        stories: async (ids: readonly string[]) => await readStories(db, ids),
        supersededInARow: async (repositoryId: string) => await supersededInARow(db, repositoryId),
        begin: async (next: Pick<NextOfFleet, 'id' | 'version'>, at: number) => await beginNext(db, origin, next, at),
      },
      isClosed,
    ),
    stable: translating(createStableStore(db), isClosed),
    hosts: translating(createHostStore(db, { clock, leftOut, origin }), isClosed),
    submissions: translating(createSubmissionStore(db), isClosed),
    handovers: translating(createHandoverStore(db), isClosed),
    testing: translating(createTestingStore(db), isClosed),
    signing: translating(createSigningStore(db), isClosed),
    hostStatements: translating(createHostStatementStore(db), isClosed),
    reports: translating(createReportStore(db, origin), isClosed),
    tokens: translating(createTokenStore(db), isClosed),
    outbox: translating(createOutboxStore(db, origin), isClosed),
    notifications: translating(createNotificationStore(db), isClosed),
    audit: translating(createAuditStore(db), isClosed),
    hints: translating(createHintChannel(connection, logger, origin), isClosed),
    async [Symbol.asyncDispose]() {
      if (isClosed()) return;
      closed.abort();
      await connection.close();
    },
  };
}
