import { systemClock, type Clock } from '@floe/runtime';
import { createAuditStore } from '../audit.ts';
import type { Database } from '../database.ts';
import { createDeliveryStore } from '../deliveries.ts';
import { createHandoverStore } from '../handovers.ts';
import { createHostStatementStore } from '../host-statements.ts';
import { createHostStore } from '../hosts.ts';
import { createNotificationStore } from '../notifications.ts';
import { createOutboxStore } from '../outbox.ts';
import { createReleaseStore } from '../releases.ts';
import { createReportStore } from '../reports.ts';
import { createRepositoryStore } from '../repositories.ts';
import { createRevisionStore } from '../revisions.ts';
import { createRolloutStore } from '../rollouts.ts';
import { LeftOutRows } from '../unreadable.ts';

/** Parts of the store on a connection or a transaction of the test. */
export function storesOn(db: Database, clock: Clock = systemClock) {
  const leftOut = new LeftOutRows();
  return {
    repositories: createRepositoryStore(db, clock, Number.MAX_SAFE_INTEGER),
    deliveries: createDeliveryStore(db),
    revisions: createRevisionStore(db, leftOut),
    releases: createReleaseStore(db, leftOut),
    rollouts: createRolloutStore(db, 'test'),
    hosts: createHostStore(db, { clock, leftOut, origin: 'test' }),
    hostStatements: createHostStatementStore(db),
    handovers: createHandoverStore(db),
    reports: createReportStore(db, 'test'),
    outbox: createOutboxStore(db, 'test'),
    notifications: createNotificationStore(db),
    audit: createAuditStore(db),
  };
}

export type StoresOn = ReturnType<typeof storesOn>;
