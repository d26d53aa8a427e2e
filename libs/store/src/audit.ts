import { desc } from 'drizzle-orm';
import type { Database } from './database.ts';
import { cleanText } from './rows.ts';
import type { AuditStore } from './store.ts';
import { auditLog } from './tables/index.ts';

export function createAuditStore(db: Database): AuditStore {
  return {
    async append({ at, actor, action, subject, detail }) {
      await db.insert(auditLog).values({ at, actor: cleanText(actor), action, subject: cleanText(subject), detail: cleanText(detail) });
    },
    async list(limit) {
      const { at, actor, action, subject, detail } = auditLog;
      return await db.select({ at, actor, action, subject, detail }).from(auditLog).orderBy(desc(auditLog.id)).limit(limit);
    },
  };
}
