import type { HostName as HostNameBrand } from '@floe/model';
import { foreign, HostName, Timestamp, RolloutAnswer } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import { sequenceFloor, type FleetHost, type PinKind, type PlainStore, type Repository, type Revision, type StorePart } from '@floe/store';
import { releaseWords, utcTime } from '@floe/views';
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { orderedWords, refusalToOrder } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { releaseNamed } from '../named-commit.ts';
import { notInCache, type KeepInCache } from './in-cache.ts';
import { nameOfRelease } from './kept-back.ts';
import { decide } from './decide.ts';
import { needsApprovals } from './past-approvals.ts';
import { Reason, ReasonText, refuseIfPast, ShaPrefix } from './validation.ts';

const Host = v.object({ host: HostName });
/** `commit`: undefined: what the host was last told. */
const Pinned = foreign(v.strictObject({ reason: ReasonText, until: v.optional(Timestamp), commit: v.optional(ShaPrefix) }));
const Held = foreign(v.strictObject({ reason: ReasonText, until: v.optional(Timestamp) }));

export interface PinDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'fleet';
    rollouts: 'ofRevision' | 'lastComplete' | 'lostComplete';
    revisions: 'byShaPrefix';
    releases: 'ofRevision' | 'commitsOf';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly keepInCache: KeepInCache;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Asked {
  readonly kind: PinKind;
  readonly host: HostNameBrand;
  readonly reason: string;
  readonly until?: number | undefined;
  readonly commit?: string | undefined;
}

/**
 * People keep a host on one release. Only an administrator brings it below what it was told by that: the server makes a permit for its agent.
 * Nor does anybody else bring it past an approval.
 */
export function pinRoutes(deps: PinDeps): Hono<AuthEnv> {
  const { auth, store, repository, clock } = deps;
  const { requireAction } = auth;
  const ofHost = takes('param', Host);
  const app = new Hono<AuthEnv>();

  async function find(host: HostNameBrand): Promise<FleetHost | undefined> {
    return (await store.hosts.fleet(repository.id, [host])).hosts[0];
  }

  function answer(c: Context, message: string) {
    const body: RolloutAnswer = { outcome: 'done', message };
    return c.json(body);
  }

  async function keep(c: Context<AuthEnv>, asked: Asked) {
    const { kind, host, reason, until, commit } = asked;
    const now = clock.now();
    const past = refuseIfPast(c, until, now);
    if (past !== undefined) return past;
    const { hosts, rollout } = await store.hosts.fleet(repository.id, [host]);
    const [each] = hosts;
    if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
    const refusal = refusalToOrder(each.row);
    if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
    let wanted = each.situation.directed;
    let revision: Revision | undefined;
    if (commit === undefined && wanted === undefined)
      return refuse(
        c,
        409,
        'NO_RELEASE',
        `${host} was told nothing yet that it could be kept on: name a commit, or wait for the first one that builds it`,
      );
    if (commit !== undefined) {
      const named = await releaseNamed(deps, commit, host);
      if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
      ({ release: wanted, revision } = named);
    }
    if (wanted === undefined) throw new TypeError('one of both is there');
    const order = each.situation.ordered?.get(wanted.toplevel);
    if (order !== undefined) return refuse(c, 409, 'QUARANTINED', orderedWords(host, order));
    const name = await nameOfRelease(deps, wanted);
    const { directed } = each.situation;
    const told = sequenceFloor(each.row);
    // What it was told last is no step back, also when that was one.
    const isPermitted = wanted.sequence < told && wanted.id !== each.situation.directed?.id;
    const toldName = directed?.sequence === told ? await nameOfRelease(deps, directed) : releaseWords(told, undefined);
    if (isPermitted && c.var.actor.role !== 'administrator')
      return refuse(
        c,
        403,
        'ROLE_TOO_LOW',
        `${host} was told ${toldName} already, and only an administrator may bring it back to ${name} by a pin: ask one, or revert the commit and push`,
      );
    if (c.var.actor.role !== 'administrator' && (await needsApprovals(deps, each, wanted, { followed: rollout, revision })))
      return refuse(
        c,
        403,
        'ROLE_TOO_LOW',
        `${name} needs approvals before it reaches ${host}, and only an administrator may pass over them by a pin: ask one, or wait for its ring`,
      );
    // What it was told it has, or is about to download.
    if (wanted.id !== directed?.id && !(await deps.keepInCache(wanted.toplevel))) return notInCache(c, host, name, wanted.toplevel);
    const pin = { host, kind, releaseId: wanted.id, reason, by: c.var.actor.name, isPermitted, at: now, expiresAt: until };
    const end = until === undefined ? '' : ` until ${utcTime(until)}`;
    const detail = `${kind} ${isPermitted ? 'back ' : ''}to ${name}${end}: ${reason}`;
    const isKept = await decide(
      deps,
      c,
      async ({ hosts: decided }) => await decided.pin(pin),
      (isStored) => (isStored ? { action: 'pin', subject: host, detail } : undefined),
    );
    if (!isKept) return refuse(c, 404, 'HOST_UNKNOWN', `${host} was forgotten just now`);
    const before = kind === 'hold' && each.situation.pin !== undefined ? ' Its pin counts first.' : '';
    const back = isPermitted ? ` It goes back there from ${toldName}, and stays when the pin ends, until something newer is its turn.` : '';
    return answer(c, `${host} is kept on its release of ${name}${end}.${back}${before}`);
  }

  app.post(
    '/hosts/:host/pin',
    requireAction('pin'),
    answers('keeps a host on the release of a commit', RolloutAnswer),
    ofHost,
    takes('json', Pinned),
    async (c) => keep(c, { kind: 'pin', ...c.req.valid('param'), ...c.req.valid('json') }),
  );

  app.post(
    '/hosts/:host/hold',
    requireAction('pin'),
    answers('keeps a host on what it was last told', RolloutAnswer),
    ofHost,
    takes('json', Held),
    async (c) => keep(c, { kind: 'hold', ...c.req.valid('param'), ...c.req.valid('json') }),
  );

  app.delete(
    '/hosts/:host/pin',
    requireAction('pin'),
    answers('ends the pin and the hold of a host', RolloutAnswer),
    ofHost,
    takes('json', Reason),
    async (c) => {
      const { host } = c.req.valid('param');
      const each = await find(host);
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const { pin, hold } = each.situation;
      const { reason } = c.req.valid('json');
      const isEnded = await decide(
        deps,
        c,
        async ({ hosts, submissions }) => {
          const isCancelled = await submissions.cancel(host, `${c.var.actor.name} ended it: ${reason}`, clock.now());
          await hosts.unpin(host, 'pin');
          await hosts.unpin(host, 'hold');
          return pin !== undefined || hold !== undefined || isCancelled;
        },
        (isIt) => (isIt ? { action: 'pin', subject: host, detail: `ended: ${reason}` } : undefined),
      );
      if (!isEnded) return refuse(c, 409, 'NOT_PINNED', `${host} is neither pinned nor held`);
      return answer(c, `${host} follows the fleet again.`);
    },
  );
  return app;
}
