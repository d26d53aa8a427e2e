import type { HostName as HostNameBrand } from '@floe/model';
import { foreign, HostName, RolloutAnswer, Timestamp } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { FleetHost, Repository, PlainStore, StorePart } from '@floe/store';
import { heldWords, utcTime } from '@floe/views';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { AgentHub } from '../agents/hub.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { judgeDeploy } from '../decisions.ts';
import type { FleetReader } from '../fleet-reader.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { admittedAtOnce } from '../rollouts/admission.ts';
import { nameOfRelease, whyLines, withWhatKeepsIt } from './kept-back.ts';
import { decide } from './decide.ts';
import { ReasonText, refuseIfPast } from './validation.ts';

/** A host that is away for longer takes it by its own policy. */
const DEFAULT_LIFETIME_MS = 24 * 3600_000;

const Host = v.object({ host: HostName });
/** `isNow`: without the notice to its users. */
const Deployed = foreign(v.strictObject({ reason: ReasonText, isNow: v.optional(v.boolean(), false), until: v.optional(Timestamp) }));

export interface DeployDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ hosts: 'fleet'; releases: 'commitsOf' }> & Pick<PlainStore, 'decide'>;
  readonly reader: Pick<FleetReader, 'why'>;
  /** The connected agents. */
  readonly hub: Pick<AgentHub, 'session'>;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onHostChanged: (host: HostNameBrand) => void;
}

/** A person asks that a host take what it should run at once: over windows and its users' "later", and over nothing else. */
export function deployRoutes(deps: DeployDeps): Hono<AuthEnv> {
  const { auth, store, hub, repository, clock, onHostChanged } = deps;
  const app = new Hono<AuthEnv>();

  app.post(
    '/hosts/:host/deploy',
    auth.requireAction('deploy'),
    answers('has a host take what it should run at once, over windows and deferrals', RolloutAnswer),
    takes('param', Host),
    takes('json', Deployed),
    async (c) => {
      const { host } = c.req.valid('param');
      const { reason, isNow, until } = c.req.valid('json');
      const now = clock.now();
      const past = refuseIfPast(c, until, now);
      if (past !== undefined) return past;
      const fleet = await store.hosts.fleet(repository.id, [host]);
      const each = fleet.hosts[0];
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const decision = judgeDeploy(each.row, each.desired);
      if (decision.kind === 'nothing') {
        const { code, message } = decision;
        return refuse(c, 409, code, code === 'NOTHING_TO_DEPLOY' ? await withWhatKeepsIt(deps, host, message, each.desired) : message);
      }
      const { release } = decision;
      const held = admittedAtOnce(each, fleet.rollout, now);
      if (held !== undefined) {
        const lines = await whyLines(deps, host);
        const rest = lines.length === 0 ? [heldWords(held)] : lines;
        return refuse(c, 409, 'NOT_ITS_TURN', [`${host} does not go ahead of its ring, a pause or a gate:`, ...rest].join('\n'));
      }
      if (each.row.desired?.releaseId !== release.id) return refuse(c, 409, 'TRY_AGAIN', `what ${host} should run changes just now: try again`);
      const session = hub.session(host);
      if (session?.capabilities.has('urgent') === false)
        return refuse(c, 409, 'AGENT_TOO_OLD', `the agent of ${host} is too old to be asked for that: it goes by its machine's policy`);
      const expiresAt = until ?? now + DEFAULT_LIFETIME_MS;
      const by = c.var.actor.name;
      const end = utcTime(expiresAt);
      const name = await nameOfRelease(deps, release);
      const detail = `${name}${isNow ? ' without a notice' : ''}, until ${end}: ${reason}`;
      const epoch = await decide(
        deps,
        c,
        async ({ hosts }) => await hosts.deploy({ host, level: isNow ? 'now' : 'soon', reason, by, at: now, expiresAt }, release),
        (told) => (told === undefined ? undefined : { action: 'deploy', subject: host, detail }),
      );
      if (epoch === undefined) return refuse(c, 409, 'TRY_AGAIN', `what ${host} should run changed just now: try again`);
      onHostChanged(host);
      const body: RolloutAnswer = { outcome: 'done', message: whatComes(each, { isNow, name, end }) };
      return c.json(body);
    },
  );
  return app;
}

function whatComes({ row }: FleetHost, { isNow, name, end }: { readonly isNow: boolean; readonly name: string; readonly end: string }): string {
  const { host } = row;
  const notice = isNow ? '' : ', 5 minutes after its users are told';
  if (!row.isConnected) return `${host} is away: it takes ${name} when it is back before ${end}${notice}.`;
  return `${host} takes ${name} now${notice}: over windows and "later", not over limits, a low battery or another switch.`;
}
