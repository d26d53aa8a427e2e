import { isEndedRevision, type Desired, type HostAction, type HostName as HostNameBrand } from '@floe/model';
import { HostName } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { DecisionStore, HostRow, PlainStore, Repository, StorePart } from '@floe/store';
import { Hono, type Context } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { isInSync, judgeResume, judgeRetry, refusalToForget, type Decision } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { withWhatKeepsIt, type KeptBackDeps } from './kept-back.ts';
import { decide as decideLogged } from './decide.ts';
import { Reason } from './validation.ts';

const Host = v.object({ host: HostName });

export interface DecisionDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'get' | 'fleet';
    revisions: 'newest' | 'newestPublished' | 'evaluations';
    releases: 'commitsOf';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly reader: KeptBackDeps['reader'];
  readonly repository: Repository;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onHostChanged: (host: HostNameBrand) => void;
}

/** What people decide about one host: to try again, to resume, and to forget it. */
export function decisionRoutes(deps: DecisionDeps): Hono<AuthEnv> {
  const { store, repository, onHostChanged } = deps;
  const { requireAction } = deps.auth;
  const named = takes('param', Host);
  const reasoned = takes('json', Reason);
  const app = new Hono<AuthEnv>();

  /**
   * What all decisions have in common: the host exists, `judge` allows it or says why not, and what it allows is stored with its entry before
   * the host is looked at again.
   */
  async function decide(
    c: Context<AuthEnv>,
    action: HostAction,
    { host, reason }: { readonly host: HostNameBrand; readonly reason: string },
    judge: (row: HostRow) => Promise<Refusal | ((decisions: DecisionStore) => Promise<Refusal | undefined>)>,
  ) {
    const row = await store.hosts.get(host);
    if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
    const judged = await judge(row);
    const refusal =
      typeof judged === 'function'
        ? await decideLogged(deps, c, judged, (refused) => (refused === undefined ? { action, subject: host, detail: reason } : undefined))
        : judged;
    if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
    onHostChanged(host);
    return c.body(null, 204);
  }

  async function desiredOf(row: HostRow): Promise<Desired> {
    const { hosts } = await store.hosts.fleet(repository.id, [row.host]);
    return hosts[0]?.desired ?? { kind: 'nothing' };
  }

  /** "In sync" alone would leave whoever asks alone with a host that is kept back. */
  async function refusalOf(row: HostRow, desired: Desired, { code, message }: Refusal): Promise<Refusal> {
    return isInSync(row, desired) ? { code, message: await withWhatKeepsIt(deps, row.host, message, desired) } : { code, message };
  }

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

  app.delete(
    '/hosts/:host/quarantine',
    requireAction('retry'),
    answers('lets a host try again a system that it rolled back or refused'),
    named,
    reasoned,
    async (c) =>
      decide(c, 'retry', { ...c.req.valid('param'), ...c.req.valid('json') }, async (row) => {
        const desired = await desiredOf(row);
        const decision = judgeRetry(row, desired, deps.clock.now());
        const isCloned = row.clonedAt !== undefined && row.revokedAt === undefined;
        if (decision.kind === 'nothing' && !isCloned) return await refusalOf(row, desired, decision);
        return async ({ hosts }) => {
          if (isCloned) await hosts.clearCloned(row.host);
          if (decision.kind === 'retry') await hosts.retry(row.host, decision.toplevel);
          return undefined;
        };
      }),
  );

  app.delete(
    '/hosts/:host/override',
    requireAction('resume'),
    answers('has a host follow the fleet again that its user keeps on another system'),
    named,
    reasoned,
    async (c) =>
      decide(c, 'resume', { ...c.req.valid('param'), ...c.req.valid('json') }, async (row) => {
        const desired = await desiredOf(row);
        const decision = judgeResume(row, desired);
        if (decision.kind === 'nothing') return await refusalOf(row, desired, decision);
        return async ({ hosts }) => {
          await hosts.retry(row.host, decision.toplevel);
          return undefined;
        };
      }),
  );

  app.delete(
    '/hosts/:host',
    requireAction('forget'),
    answers('removes a host that was revoked and is no longer in the flake'),
    named,
    reasoned,
    async (c) =>
      decide(c, 'forget', { ...c.req.valid('param'), ...c.req.valid('json') }, async (row) => {
        const { host } = row;
        const refusal = refusalToForget(row, await isInFlake(host));
        if (refusal !== undefined) return refusal;
        return async ({ hosts, tokens }) => {
          await tokens.voidEnrolmentTokens(host);
          return (await hosts.forget(host)) ? undefined : { code: 'HOST_ENROLLED', message: `${host} was enrolled just now: look at it again` };
        };
      }),
  );
  return app;
}

type Refusal = Pick<Extract<Decision, { kind: 'nothing' }>, 'code' | 'message'>;
