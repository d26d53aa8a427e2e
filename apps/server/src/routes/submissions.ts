import { foreign, HostName, StorePath, SubmissionAnswer, Timestamp } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { FleetHost, PlainStore, Repository, StorePart } from '@floe/store';
import { utcTime } from '@floe/views';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { orderedWords, refusalToOrder } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { decide } from './decide.ts';
import { ReasonText, refuseIfPast } from './validation.ts';

const Host = v.object({ host: HostName });
const Submitted = foreign(v.strictObject({ reason: ReasonText, storePath: StorePath, until: v.optional(Timestamp) }));

export interface SubmissionDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ hosts: 'fleet' }> & Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Administrators pin a host to a system that no commit has. The pipeline publishes and signs it, which may take minutes: the host's view tells. */
export function submissionRoutes(deps: SubmissionDeps): Hono<AuthEnv> {
  const { auth, store, repository, clock } = deps;
  const app = new Hono<AuthEnv>();

  app.post(
    '/hosts/:host/submission',
    auth.requireAction('submit'),
    answers('publishes a store path, and pins a host to it', SubmissionAnswer),
    takes('param', Host),
    takes('json', Submitted),
    async (c) => {
      const { host } = c.req.valid('param');
      const { reason, storePath: toplevel, until } = c.req.valid('json');
      const now = clock.now();
      const past = refuseIfPast(c, until, now);
      if (past !== undefined) return past;
      if (toplevel.endsWith('.drv'))
        return refuse(
          c,
          400,
          'STORE_PATH_IS_DERIVATION',
          'that is a derivation, which says how to build a system: name the path of the system itself',
        );
      const each = (await store.hosts.fleet(repository.id, [host])).hosts[0];
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const refusal = refusalToOrder(each.row) ?? refusalToSubmit(each, toplevel);
      if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
      const by = c.var.actor.name;
      const end = until === undefined ? '' : ` until ${utcTime(until)}`;
      const submission = await decide(
        deps,
        c,
        async ({ submissions }) => await submissions.request({ repositoryId: repository.id, host, toplevel, by, reason, at: now, expiresAt: until }),
        () => ({ action: 'submit', subject: host, detail: `pin to ${toplevel}${end}: ${reason}` }),
      );
      const message = `${host} is pinned to ${toplevel}${end} as soon as the server has published and signed it.`;
      const body: SubmissionAnswer = { outcome: 'done', message, submission };
      return c.json(body);
    },
  );
  return app;
}

function refusalToSubmit({ row, situation }: FleetHost, toplevel: StorePath) {
  const { host, capabilities } = row;
  if (capabilities?.includes('submitted') !== true)
    return { code: 'AGENT_TOO_OLD', message: `the agent of ${host} takes no system by its store path yet: it gets a newer agent with the fleet` };
  const order = situation.ordered?.get(toplevel);
  if (order !== undefined) return { code: 'QUARANTINED', message: orderedWords(host, order) };
  if (situation.quarantined.has(toplevel))
    return { code: 'QUARANTINED', message: `${host} rolled this system back before: to have it judged again, run: floe retry ${host} --reason "…"` };
  return undefined;
}
