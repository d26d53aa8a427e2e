import { whyNoTrial, type HostName as HostNameBrand, type ReleaseRef } from '@floe/model';
import { MAX_TRIAL_MS, trialFactsOf, type Releaser } from '@floe/pipeline';
import { foreign, HostName, ReleaseStatement, RolloutAnswer, TrialAnswer, peekStored, storedEnvelope, type Envelope } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { FleetHost, PlainStore, Repository, StorePart } from '@floe/store';
import { noTrialWords, shortSha, utcTime } from '@floe/views';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { AgentHub } from '../agents/hub.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { orderedWords, refusalToOrder } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { notInCache, type KeepInCache } from './in-cache.ts';
import { releaseNamed } from '../named-commit.ts';
import { decide } from './decide.ts';
import { Reason, ReasonText, ShaPrefix } from './validation.ts';

const MINUTE_MS = 60_000;
const DEFAULT_TRIAL_MS = 2 * 60 * MINUTE_MS;

const Host = v.object({ host: HostName });
const Tried = foreign(
  v.strictObject({
    reason: ReasonText,
    commit: ShaPrefix,
    forMs: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1_000, 'a trial lasts a second at least'),
        v.maxValue(MAX_TRIAL_MS, 'a trial lasts 24 hours at most'),
      ),
    ),
  }),
);

export interface TrialDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'fleet';
    revisions: 'byShaPrefix';
    releases: 'ofRevision' | 'toOffer' | 'highestAsOf';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly keepInCache: KeepInCache;
  readonly hub: Pick<AgentHub, 'session'>;
  readonly releaser: Pick<Releaser, 'trial'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** People have one host try a system that was built for it, until an end. */
export function trialRoutes(deps: TrialDeps): Hono<AuthEnv> {
  const { auth, store, repository, hub, releaser, clock } = deps;
  const ofHost = takes('param', Host);
  const app = new Hono<AuthEnv>();

  async function find(host: HostNameBrand): Promise<FleetHost | undefined> {
    return (await store.hosts.fleet(repository.id, [host])).hosts[0];
  }

  /** What was signed when the release was published. */
  async function signedOf({ id }: ReleaseRef): Promise<{ readonly release: Envelope; readonly statement: ReleaseStatement } | undefined> {
    const [stored] = (await store.releases.toOffer(repository.id, [id])).releases;
    const release = storedEnvelope(stored?.envelope);
    const statement = peekStored(stored?.envelope, ReleaseStatement);
    return release === undefined || statement === undefined ? undefined : { release, statement };
  }

  app.post(
    '/hosts/:host/trial',
    auth.requireAction('try'),
    answers('has a host try the system of a commit until an end', TrialAnswer),
    ofHost,
    takes('json', Tried),
    async (c) => {
      const { host } = c.req.valid('param');
      const { reason, commit, forMs = DEFAULT_TRIAL_MS } = c.req.valid('json');
      const each = await find(host);
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const refusal = refusalToOrder(each.row);
      if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
      const session = hub.session(host);
      const facts = { ...trialFactsOf(each), knowsTrials: session?.capabilities.has('trial') };
      // Before a commit is looked for, which says less.
      const unable = whyNoTrial(facts, undefined);
      if (unable !== undefined) return refuse(c, 409, unable, noTrialWords(unable, host));
      const named = await releaseNamed(deps, commit, host);
      if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
      const signed = await signedOf(named.release);
      if (signed === undefined)
        return refuse(c, 409, 'RELEASE_UNREADABLE', `what was signed for ${host} with ${commit} cannot be read: push another commit`);
      const { toplevel, sequence, commit: sha } = signed.statement;
      const order = each.situation.ordered?.get(toplevel);
      if (order !== undefined) return refuse(c, 409, 'QUARANTINED', orderedWords(host, order));
      const because = whyNoTrial(facts, toplevel);
      if (because !== undefined) return refuse(c, 409, because, noTrialWords(because, host));
      if (!(await deps.keepInCache(toplevel))) return notInCache(c, host, shortSha(sha), toplevel);
      const now = clock.now();
      const envelope = await releaser.trial(host, signed.release, { now, latest: await store.releases.highestAsOf(repository.id), forMs });
      if (envelope !== undefined && 'refused' in envelope)
        return refuse(c, 409, 'NOT_SIGNED', `the builder does not sign the trial: ${envelope.refused}`);
      if (envelope === undefined)
        return refuse(
          c,
          503,
          'NOT_SIGNED',
          `nobody signed the trial: floe-builder does not answer, or another release key signed what ${host} is to try. See that it runs, and try again, or push another commit`,
        );
      const trial = {
        host,
        toplevel,
        sequence,
        commit: sha,
        envelope: JSON.stringify(envelope),
        by: c.var.actor.name,
        reason,
        at: now,
        endsAt: now + forMs,
      };
      const end = utcTime(trial.endsAt);
      const id = await decide(
        deps,
        c,
        async ({ hosts }) => await hosts.beginTrial(trial),
        () => ({ action: 'try', subject: host, detail: `tries ${shortSha(sha)} (revision #${sequence}) until ${end}: ${reason}` }),
      );
      const message = `${host} is asked to try ${shortSha(sha)} until ${end}. It counts in no gate meanwhile.`;
      const body: TrialAnswer = { outcome: 'done', message, trial: id };
      return c.json(body);
    },
  );

  app.delete(
    '/hosts/:host/trial',
    auth.requireAction('try'),
    answers('ends the trial of a host', RolloutAnswer),
    ofHost,
    takes('json', Reason),
    async (c) => {
      const { host } = c.req.valid('param');
      const { reason } = c.req.valid('json');
      const each = await find(host);
      if (each === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const { trial } = each;
      const by = c.var.actor.name;
      const isStopped =
        trial !== undefined &&
        (await decide(
          deps,
          c,
          async ({ hosts }) => await hosts.stopTrial(trial, `${by} ended it: ${reason}`, clock.now()),
          (isIt) => (isIt ? { action: 'try', subject: host, detail: `ended: ${reason}` } : undefined),
        ));
      if (!isStopped) return refuse(c, 409, 'NOT_ON_TRIAL', `${host} tries nothing`);
      const body: RolloutAnswer = { outcome: 'done', message: `${host} follows the fleet again.` };
      return c.json(body);
    },
  );
  return app;
}
