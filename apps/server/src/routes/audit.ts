import { boundedTime, MAX_COUNTER, type BrokenChain } from '@floe/model';
import type { AuditEntryView } from '@floe/protocol';
import { AuditEntryViews, AuditVerificationView, prose } from '@floe/protocol';
import type { StorePart } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { AuditHeads } from '../audit-heads.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { numberText } from './validation.ts';

const Query = v.object({
  limit: v.optional(numberText(1, 1_000)),
  /** The id of the last entry of the page before. */
  before: v.optional(numberText(0, MAX_COUNTER)),
  subject: v.optional(v.pipe(prose(256), v.trim(), v.minLength(1, 'is empty: name a host, a commit or a token'))),
});
const USUAL_LIMIT = 50;

const BROKEN_WORDS: Readonly<Record<BrokenChain['why'], string>> = {
  changed: 'it, or what was before it, was changed, removed, moved or put in',
  'not-chained': 'it was put in beside Floe, or its hash was removed',
  'beginning-missing': 'entries before it are missing that are not old enough to be removed',
  'end-missing': 'it was signed as the end of the log, and is missing',
  'not-as-signed': 'it is another one than was signed',
};

export interface AuditRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'list' }>;
  readonly auditHeads: Pick<AuditHeads, 'verify'>;
}

/** Who decided what, and who was refused what. */
export function auditRoutes({ auth, store, auditHeads }: AuditRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  app.get(
    '/',
    auth.requireAction('read'),
    answers('who decided what, and who was refused what, newest first', AuditEntryViews),
    takes('query', Query),
    async (c) => {
      const { limit = USUAL_LIMIT, before, subject } = c.req.valid('query');
      const entries = await store.audit.list({ limit, before, subject });
      const body = entries.map(({ refused, ...entry }): AuditEntryView => ({ ...entry, refused: refused ?? null }));
      return c.json(body);
    },
  );
  app.get(
    '/verification',
    auth.requireAction('read'),
    answers('whether the chain of the log holds, and the first entry that does not fit', AuditVerificationView),
    async (c) => {
      const { entries, heads, head, broken, unsigned } = await auditHeads.verify();
      const body: AuditVerificationView = {
        entries,
        heads,
        head: head === undefined ? null : { ...head, at: boundedTime(head.at) },
        broken: broken === undefined ? null : { id: broken.id, at: boundedTime(broken.at), description: BROKEN_WORDS[broken.why] },
        unsigned: [...unsigned],
      };
      return c.json(body);
    },
  );
  return app;
}
