import type { AuditEntryView } from '@floe/protocol';
import { AuditEntryViews, Counter, prose } from '@floe/protocol';
import type { StorePart } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';

const numberOf = (digits: RegExp) => v.pipe(v.string(), v.regex(digits, 'a number'), v.transform(Number), Counter);
const Query = v.object({
  limit: v.optional(v.pipe(numberOf(/^\d{1,4}$/), v.minValue(1), v.maxValue(1_000))),
  /** The id of the last entry of the page before. */
  before: v.optional(numberOf(/^\d{1,15}$/)),
  subject: v.optional(v.pipe(prose(256), v.trim(), v.minLength(1, 'a host, a commit or a token'))),
});
const USUAL_LIMIT = 50;

export interface AuditRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'list' }>;
}

/** Who decided what, and who was refused what. */
export function auditRoutes({ auth, store }: AuditRouteDeps): Hono<AuthEnv> {
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
  return app;
}
