import type { HostName as HostNameBrand, ReleaseRef } from '@floe/model';
import { foreign, HostName, Timestamp, RolloutAnswer, SignedWord, WayBack } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import {
  sequenceFloor,
  type CurrentRollout,
  type FleetHost,
  type PinKind,
  type PlainStore,
  type Repository,
  type Revision,
  type StorePart,
} from '@floe/store';
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
import { wayBackOf, whyNotFor, type Operators } from './way-back.ts';
import { Reason, ReasonText, refuseIfPast, ShaPrefix } from './validation.ts';

const Host = v.object({ host: HostName });
/** `commit`: undefined: what the host was last told. */
const Pinned = foreign(
  v.strictObject({ reason: ReasonText, until: v.optional(Timestamp), commit: v.optional(ShaPrefix), word: v.optional(SignedWord) }),
);
const NamedCommit = foreign(v.strictObject({ commit: v.optional(ShaPrefix) }));
const Held = foreign(v.strictObject({ reason: ReasonText, until: v.optional(Timestamp) }));

export interface PinDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'fleet';
    rollouts: 'ofRevision' | 'completeBefore';
    revisions: 'byShaPrefix';
    releases: 'ofRevision' | 'commitsOf' | 'toOffer';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly keepInCache: KeepInCache;
  readonly operators: Operators | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Asked {
  readonly kind: PinKind;
  readonly host: HostNameBrand;
  readonly reason: string;
  readonly until?: number | undefined;
  readonly commit?: string | undefined;
  /** What an operator signed about it. */
  readonly word?: SignedWord | undefined;
}

/** A host, and what it is to be kept on. */
interface Named {
  readonly each: FleetHost;
  readonly rollout: CurrentRollout | undefined;
  readonly wanted: ReleaseRef;
  /** Of the commit, where one was named. */
  readonly revision: Revision | undefined;
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

  /** What the request is about, or the refusal. */
  async function named(c: Context<AuthEnv>, host: HostNameBrand, commit: string | undefined): Promise<Named | Response> {
    const { hosts, rollout } = await store.hosts.fleet(repository.id, [host]);
    const [each] = hosts;
    if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
    const refusal = refusalToOrder(each.row);
    if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
    if (commit !== undefined) {
      const found = await releaseNamed(deps, commit, host);
      if (found.kind === 'refused') return refuse(c, found.status, found.code, found.message);
      return { each, rollout, wanted: found.release, revision: found.revision };
    }
    const { directed } = each.situation;
    if (directed !== undefined) return { each, rollout, wanted: directed, revision: undefined };
    return refuse(
      c,
      409,
      'NO_RELEASE',
      `${host} was told nothing yet that it could be kept on: name a commit, or wait for the first one that builds it`,
    );
  }

  /** The builder signs a permit alone only to what is stable on the host; it has signed one already for what the host was told last. */
  function needsWord({ situation: { directed, stable } }: FleetHost, { id, sequence }: ReleaseRef, told: number): boolean {
    return deps.operators !== undefined && sequence < told && id !== directed?.id && id !== stable?.id;
  }

  async function keep(c: Context<AuthEnv>, asked: Asked) {
    const { kind, host, reason, until, commit, word } = asked;
    const now = clock.now();
    const past = refuseIfPast(c, until, now);
    if (past !== undefined) return past;
    const found = await named(c, host, commit);
    if (found instanceof Response) return found;
    const { each, rollout, wanted, revision } = found;
    const order = each.situation.ordered?.get(wanted.toplevel);
    if (order !== undefined) return refuse(c, 409, 'QUARANTINED', orderedWords(host, order));
    const name = await nameOfRelease(deps, wanted);
    const { directed } = each.situation;
    const told = sequenceFloor(each.row);
    // What it was told last is no step back, also when that was one; a word that is given may be another one for that.
    const isPermitted = wanted.sequence < told && (wanted.id !== directed?.id || word !== undefined);
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
    if (isPermitted && word === undefined && needsWord(each, wanted, told)) {
      const command = `floe pin ${host} ${commit ?? 'COMMIT'} --reason "…" --sign-with KEY`;
      return refuse(
        c,
        403,
        'OPERATOR_WORD_NEEDED',
        `${host} was told ${toldName} already, and ${name} is not what is stable there: only an operator brings it back, by a key that the builder knows (FLOE_OPERATOR_KEYS_FILE). Sign it: ${command}`,
      );
    }
    if (isPermitted && word !== undefined) {
      const about = await wayBackOf(deps, host, { release: wanted, floor: told, actor: c.var.actor.name });
      const why = about === undefined ? 'the release cannot be read' : await whyNotFor(deps, word, about, { reason, now });
      if (why !== undefined) return refuse(c, 403, 'OPERATOR_WORD_WRONG', `what was signed does not bring ${host} back to ${name}: ${why}`);
    }
    // What it was told it has, or is about to download.
    if (wanted.id !== directed?.id && !(await deps.keepInCache(wanted.toplevel))) return notInCache(c, host, name, wanted.toplevel);
    const pin = {
      host,
      kind,
      releaseId: wanted.id,
      reason,
      by: c.var.actor.name,
      isPermitted,
      word: isPermitted ? word : undefined,
      at: now,
      expiresAt: until,
    };
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

  app.get(
    '/hosts/:host/way-back',
    requireAction('pin'),
    answers('what an operator signs who has a host pinned to the release of a commit', WayBack),
    ofHost,
    takes('query', NamedCommit),
    async (c) => {
      const { host } = c.req.valid('param');
      const found = await named(c, host, c.req.valid('query').commit);
      if (found instanceof Response) return found;
      const { each, wanted } = found;
      const floor = sequenceFloor(each.row);
      const about = await wayBackOf(deps, host, { release: wanted, floor, actor: c.var.actor.name });
      if (about === undefined) return refuse(c, 409, 'NO_RELEASE', `the release of ${host} cannot be read from the database`);
      const body: WayBack = { ...about, needsWord: needsWord(each, wanted, floor) };
      return c.json(body);
    },
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
