import { storableText } from '@floe/model';
import { desc, lt } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import type { AuditStore } from './store.ts';
import { auditLog } from './tables/index.ts';

export function createAuditStore(db: Database): AuditStore {
  return {
    async append({ at, actor, action, subject, detail }) {
      await db.insert(auditLog).values({ at, actor: storableText(actor), action, subject: storableText(subject), detail: storableText(detail) });
    },
    async list(limit) {
      const { at, actor, action, subject, detail } = auditLog;
      return await db.select({ at, actor, action, subject, detail }).from(auditLog).orderBy(desc(auditLog.id)).limit(limit);
    },
    prune: async (before) => await deleteInBatches(db, auditLog, lt(auditLog.at, before)),
  };
}
