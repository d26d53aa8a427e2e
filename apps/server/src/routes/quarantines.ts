import { isOn, type HostName as HostNameBrand } from '@floe/model';
import { foreign, HostName, QuarantineAnswer, RolloutAnswer, Timestamp } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { Evaluation, PlainStore, Repository, Revision, StorePart } from '@floe/store';
import { count, nameMany, shortSha, utcTime } from '@floe/views';
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { refusalToOrder } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { commitNamed } from '../named-commit.ts';
import { decide } from './decide.ts';
import { ReasonText, refuseIfPast, ShaPrefix } from './validation.ts';

const Host = v.object({ host: HostName });
const Named = foreign(v.strictObject({ reason: ReasonText, commit: ShaPrefix }));
const Ordered = foreign(v.strictObject({ reason: ReasonText, commit: ShaPrefix, until: v.optional(Timestamp) }));

function untilWords(until: number | undefined): string {
  return until === undefined ? '' : ` until ${utcTime(until)}`;
}

function endWords(until: number | undefined): string {
  return until === undefined ? 'that is lifted' : `${utcTime(until)}, or until that is lifted before`;
}

export interface QuarantineDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'fleet';
    revisions: 'byShaPrefix' | 'evaluations';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * People say that the system of a commit does not run on a host, or on none that the commit changed. What counts is the system, from
 * whichever commit. One that a host put into quarantine by itself is another matter, which `floe retry` ends.
 */
export function quarantineRoutes(deps: QuarantineDeps): Hono<AuthEnv> {
  const { auth, store, repository, clock } = deps;
  const app = new Hono<AuthEnv>();
  const guard = auth.requireAction('quarantine');

  function answer(c: Context, message: string) {
    const body: RolloutAnswer = { outcome: 'done', message };
    return c.json(body);
  }

  /** What the commit came to; it may have been taken in several times. */
  async function systemsOf(revisions: readonly Revision[]): Promise<readonly Evaluation[]> {
    return (await Promise.all(revisions.map(async ({ id }) => await store.revisions.evaluations(id)))).flat();
  }

  /** Whose system the commit changed. What was evaluated again says no more what it changed, but the order is about it as before. */
  async function changedBy(sha: string, revisions: readonly Revision[]): Promise<HostNameBrand[]> {
    const { hosts } = await store.hosts.fleet(repository.id);
    const ordered = new Map(hosts.map(({ row, situation }) => [row.host, situation.ordered]));
    const changed = (await systemsOf(revisions)).filter(({ host, outcome, toplevel }) => {
      const order = toplevel === undefined ? undefined : ordered.get(host)?.get(toplevel);
      return outcome === 'CHANGED' || outcome === 'NEW' || (order?.isOfAll === true && order.commit === sha);
    });
    return [...new Set(changed.map(({ host }) => host))].toSorted();
  }

  async function lift(c: Context<AuthEnv>, host: HostNameBrand | undefined, prefix: string, reason: string) {
    const named = await commitNamed(deps, prefix);
    if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
    const { sha } = named.newest;
    const short = shortSha(sha);
    const isLifted = await decide(
      deps,
      c,
      async ({ hosts }) => await hosts.liftQuarantine({ repositoryId: repository.id, host, commit: sha }),
      (isIt) => (isIt ? { action: 'quarantine', subject: host ?? sha, detail: `lifted, of ${short}: ${reason}` } : undefined),
    );
    if (!isLifted) {
      const other =
        host === undefined
          ? 'see what is ordered of a host with: floe hosts NAME'
          : `see what is ordered of it with: floe hosts ${host}. What it rolled back by itself it tries again with: floe retry ${host} --reason "…"`;
      return refuse(c, 409, 'NOT_QUARANTINED', `nobody quarantined ${short} on ${host ?? 'all hosts'}: ${other}`);
    }
    return answer(c, `${short} may run on ${host ?? 'all hosts'} again, through the rings.`);
  }

  app.post(
    '/hosts/:host/ordered-quarantine',
    guard,
    answers('says that the system of a commit does not run on a host', RolloutAnswer),
    takes('param', Host),
    takes('json', Ordered),
    async (c) => {
      const { host } = c.req.valid('param');
      const { commit, reason, until } = c.req.valid('json');
      const past = refuseIfPast(c, until, clock.now());
      if (past !== undefined) return past;
      const each = (await store.hosts.fleet(repository.id, [host])).hosts[0];
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const refusal = refusalToOrder(each.row);
      if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
      const named = await commitNamed(deps, commit);
      if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
      const { sha, sequence } = named.newest;
      const short = shortSha(sha);
      const mine = (await systemsOf(named.revisions)).filter((evaluation) => evaluation.host === host);
      const toplevels = mine.flatMap(({ toplevel }) => toplevel ?? []);
      if (toplevels.length === 0) return refuse(c, 409, 'NO_RELEASE', `${short} has no system for ${host}: see why with: floe revisions ${short}`);
      const by = c.var.actor.name;
      const isTaken = await decide(
        deps,
        c,
        async ({ hosts }) => await hosts.orderQuarantine({ repositoryId: repository.id, host, commit: sha, reason, by, at: clock.now(), until }),
        (isIt) =>
          isIt ? { action: 'quarantine', subject: host, detail: `of ${short} (revision #${sequence})${untilWords(until)}: ${reason}` } : undefined,
      );
      if (!isTaken) return refuse(c, 404, 'HOST_UNKNOWN', `${host} was forgotten just now`);
      const runs = toplevels.some((toplevel) => isOn(each.row.observed, toplevel))
        ? ' It runs it now, and keeps it until another commit is its turn.'
        : '';
      return answer(c, `${host} does not get the system of ${short}, from whichever commit, until ${endWords(until)}.${runs}`);
    },
  );

  app.delete(
    '/hosts/:host/ordered-quarantine',
    guard,
    answers('lifts what a person said about the system of a commit on a host', RolloutAnswer),
    takes('param', Host),
    takes('json', Named),
    async (c) => {
      const { commit, reason } = c.req.valid('json');
      return await lift(c, c.req.valid('param').host, commit, reason);
    },
  );

  app.post(
    '/ordered-quarantine',
    guard,
    answers('says that what a commit changed runs on no host', QuarantineAnswer),
    takes('json', Ordered),
    async (c) => {
      const { commit, reason, until } = c.req.valid('json');
      const past = refuseIfPast(c, until, clock.now());
      if (past !== undefined) return past;
      const named = await commitNamed(deps, commit);
      if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
      const { sha, sequence } = named.newest;
      const short = shortSha(sha);
      const by = c.var.actor.name;
      await decide(
        deps,
        c,
        async ({ hosts: decided }) =>
          await decided.orderQuarantine({ repositoryId: repository.id, host: undefined, commit: sha, reason, by, at: clock.now(), until }),
        () => ({ action: 'quarantine', subject: sha, detail: `on all hosts (revision #${sequence})${untilWords(until)}: ${reason}` }),
      );
      const hosts = await changedBy(sha, named.revisions);
      const which = hosts.length === 0 ? 'no host so far' : `${count(hosts.length, 'host')}: ${nameMany(hosts)}`;
      const message = `no host gets what ${short} changed (${which}), until ${endWords(until)}. Those that run it keep it until another commit is their turn.`;
      return c.json({ outcome: 'done', message, hosts } satisfies QuarantineAnswer);
    },
  );

  app.delete(
    '/ordered-quarantine',
    guard,
    answers('lifts what a person said about a commit on all hosts', RolloutAnswer),
    takes('json', Named),
    async (c) => {
      const { commit, reason } = c.req.valid('json');
      return await lift(c, undefined, commit, reason);
    },
  );
  return app;
}
