import { isEndedRevision, type HostName as HostNameBrand } from '@floe/model';
import { HostName } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { HostRow, Repository, StorePart } from '@floe/store';
import { sValidator } from '@hono/standard-validator';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { judgeResume, judgeRetry, refusalToForget, type Decision } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { orRefuse, Reason } from './validation.ts';

const Host = v.object({ host: HostName });

export interface DecisionDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'get' | 'fleet' | 'clearCloned' | 'retry' | 'forget';
    revisions: 'newest' | 'newestPublished' | 'evaluations';
    tokens: 'voidEnrolmentTokens';
    audit: 'append';
  }>;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onHostChanged: (host: HostNameBrand) => void;
}

/** What people decide about one host: to try again, to resume, and to forget it. */
export function decisionRoutes(deps: DecisionDeps): Hono<AuthEnv> {
  const { store, repository, clock, logger, onHostChanged } = deps;
  const { requireAction } = deps.auth;
  const app = new Hono<AuthEnv>();

  async function judge(judgement: typeof judgeRetry, row: HostRow): Promise<Decision> {
    const { hosts } = await store.hosts.fleet(repository.id, [row.host]);
    return judgement(row, hosts[0]?.desired ?? { kind: 'nothing' });
  }

  async function note(action: 'retry' | 'resume' | 'forget', actor: string, host: HostNameBrand, reason: string): Promise<void> {
    await store.audit.append({ at: clock.now(), actor, action, subject: host, detail: reason });
    logger.info('a decision about a host', { action, actor, host, reason });
    onHostChanged(host);
  }

  app.delete(
    '/hosts/:host/quarantine',
    requireAction('retry'),
    sValidator('param', Host, orRefuse),
    sValidator('json', Reason, orRefuse),
    async (c) => {
      const { host } = c.req.valid('param');
      const row = await store.hosts.get(host);
      if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const decision = await judge(judgeRetry, row);
      const isCloned = row.clonedAt !== undefined && row.revokedAt === undefined;
      if (decision.kind === 'nothing' && !isCloned) return refuse(c, 409, decision.code, decision.message);
      if (isCloned) await store.hosts.clearCloned(host);
      if (decision.kind === 'retry') await store.hosts.retry(host, decision.toplevel);
      await note('retry', c.var.actor.name, host, c.req.valid('json').reason);
      return c.body(null, 204);
    },
  );

  app.delete(
    '/hosts/:host/override',
    requireAction('resume'),
    sValidator('param', Host, orRefuse),
    sValidator('json', Reason, orRefuse),
    async (c) => {
      const { host } = c.req.valid('param');
      const row = await store.hosts.get(host);
      if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const decision = await judge(judgeResume, row);
      if (decision.kind === 'nothing') return refuse(c, 409, decision.code, decision.message);
      await store.hosts.retry(host, decision.toplevel);
      await note('resume', c.var.actor.name, host, c.req.valid('json').reason);
      return c.body(null, 204);
    },
  );

  /** The newest revision, and the one whose releases are in force, have the last word on who is in the flake. */
  async function isInFlake(host: HostNameBrand): Promise<boolean> {
    const [newest, published] = await Promise.all([store.revisions.newest(repository.id), store.revisions.newestPublished(repository.id)]);
    for (const revision of [newest, published]) {
      if (revision === undefined) continue;
      const evaluations = await store.revisions.evaluations(revision.id);
      const mine = evaluations.find((each) => each.host === host);
      if (mine !== undefined) return mine.outcome !== 'REMOVED';
      // One that is still evaluated does not know all its hosts yet.
      if (isEndedRevision(revision.state) && evaluations.length > 0) return false;
    }
    return false;
  }

  app.delete('/hosts/:host', requireAction('forget'), sValidator('param', Host, orRefuse), sValidator('json', Reason, orRefuse), async (c) => {
    const { host } = c.req.valid('param');
    const row = await store.hosts.get(host);
    if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
    const refusal = refusalToForget(row, await isInFlake(host));
    if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
    await store.tokens.voidEnrolmentTokens(host);
    if (!(await store.hosts.forget(host))) return refuse(c, 409, 'HOST_ENROLLED', `${host} was enrolled just now: look at it again`);
    await note('forget', c.var.actor.name, host, c.req.valid('json').reason);
    return c.body(null, 204);
  });
  return app;
}
