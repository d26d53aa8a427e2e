import { isEndedRevision, MAX_COUNTER, type HostName as HostNameBrand, type RevisionState } from '@floe/model';
import {
  CommitSha,
  EvaluateAccepted,
  FleetEvent,
  FleetView,
  foreign,
  HostName,
  HostView,
  ReportLogView,
  ReportView,
  RevisionView,
  WhyView,
  SeenId,
} from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { PlainStore, Repository, StorePart } from '@floe/store';
import { Hono, type Context } from 'hono';
import { acceptCommand } from '@floe/views';
import { answers, takes } from '../openapi/described.ts';
import { streamSSE } from 'hono/streaming';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { commitName } from '../commit-names.ts';
import type { FleetFeed } from '../feed.ts';
import type { FleetReader } from '../fleet-reader.ts';
import { cutAnswer } from '../http/cut-answer.ts';
import { refuse } from '../http-error.ts';
import { sharedRead } from '../shared-read.ts';
import { StreamCount } from '../streams.ts';
import { sendFleetEvents } from './fleet-events.ts';
import { decide } from './decide.ts';
import { commitNamed } from '../named-commit.ts';
import { numberText, Reason, ReasonText } from './validation.ts';

/** How often the credential of an event stream is looked at again. */
const RECHECK_MS = 15_000;

const Host = v.object({ host: HostName });
const ReportName = v.object({ host: HostName, series: numberText(0, MAX_COUNTER), seq: numberText(0, MAX_COUNTER) });
const ReportLimit = v.object({ limit: v.optional(numberText(1, 1000)) });
/** Of each revision all hosts are read. */
const RevisionLimit = v.object({ limit: v.optional(numberText(1, 100)), before: v.optional(numberText(0, MAX_COUNTER)) });
const ShaPrefix = v.object({ sha: v.pipe(v.string(), v.regex(/^[0-9a-f]{7,40}$/, 'give at least 7 digits of the commit')) });
const Accept = foreign(v.strictObject({ commit: CommitSha, reason: ReasonText, seen: v.optional(SeenId) }));

export interface FleetRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'get' | 'renamed';
    reports: 'list' | 'log';
    releases: 'commitsOf';
    revisions: 'byShaPrefix' | 'newest';
    repositories: 'get';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly reader: Pick<FleetReader, 'fleet' | 'host' | 'why' | 'revisions' | 'revision'>;
  readonly feed: Pick<FleetFeed, 'subscribe'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What people and programs read: the fleet, its revisions, and the changes as they happen. */
export function fleetRoutes(deps: FleetRouteDeps): Hono<AuthEnv> {
  const { auth, store, repository, reader, feed, clock } = deps;
  const streams = new StreamCount();
  const fleetText = sharedRead(async () => JSON.stringify(await reader.fleet()));
  const hostsText = sharedRead(async () => JSON.stringify((await reader.fleet()).hosts));
  const app = new Hono<AuthEnv>();
  const { requireAction } = auth;

  async function unknown(c: Context<AuthEnv>, host: HostNameBrand) {
    const renamed = await store.hosts.renamed(host);
    if (renamed !== undefined) return refuse(c, 404, 'HOST_RENAMED', `${host} was renamed to ${renamed.host}`);
    return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
  }

  app.get('/fleet', requireAction('read'), answers('the whole fleet: repository, newest revision, hosts', FleetView), async (c) =>
    json(c, await fleetText()),
  );
  app.get('/hosts', requireAction('read'), answers('all hosts', v.array(HostView)), async (c) => json(c, await hostsText()));
  app.get('/hosts/:host', requireAction('read'), answers('one host', HostView), takes('param', Host), async (c) => {
    const { host } = c.req.valid('param');
    const view = await reader.host(host);
    return view === undefined ? await unknown(c, host) : c.json(view);
  });
  app.get(
    '/hosts/:host/why',
    requireAction('read'),
    answers('what stands between a host and the newest commit', WhyView),
    takes('param', Host),
    async (c) => {
      const { host } = c.req.valid('param');
      const why = await reader.why(host);
      return why === undefined ? await unknown(c, host) : c.json(why);
    },
  );
  app.get(
    '/hosts/:host/reports',
    requireAction('read'),
    answers('what a host reported, newest first', v.array(ReportView)),
    takes('param', Host),
    takes('query', ReportLimit),
    async (c) => {
      const { host } = c.req.valid('param');
      if ((await store.hosts.get(host)) === undefined) return await unknown(c, host);
      const rows = await store.reports.list(host, c.req.valid('query').limit ?? 50);
      // Each as of its time: the commit of a switch stays the one that it was, when a later commit has the same system.
      const systems = rows.flatMap(({ toplevel, receivedAt }) => (toplevel == null ? [] : [{ host, toplevel, asOf: receivedAt }]));
      const keyOf = (toplevel: string | null | undefined, asOf: number | undefined): string => `${toplevel} ${asOf}`;
      const commits = new Map((await store.releases.commitsOf(systems)).map((each) => [keyOf(each.toplevel, each.asOf), commitName(each)]));
      const reports: ReportView[] = rows.map((report) => ({
        ...report,
        toplevel: report.toplevel ?? null,
        commit: commits.get(keyOf(report.toplevel, report.receivedAt)) ?? null,
        detail: report.detail ?? null,
        timings: report.timings ?? null,
      }));
      return c.json(reports);
    },
  );
  app.get(
    '/hosts/:host/reports/:series/:seq/log',
    requireAction('read'),
    answers('the end of the log of a step that failed', ReportLogView),
    takes('param', ReportName),
    async (c) => {
      const named = c.req.valid('param');
      const log = await store.reports.log(named);
      if (log === undefined) return refuse(c, 404, 'LOG_UNKNOWN', `there is no log of this report of ${named.host} any more`);
      const body: ReportLogView = { log };
      return c.json(body);
    },
  );
  app.get('/revisions', requireAction('read'), answers('revisions, newest first', v.array(RevisionView)), takes('query', RevisionLimit), async (c) =>
    c.json(await reader.revisions({ limit: c.req.valid('query').limit ?? 20, before: c.req.valid('query').before })),
  );
  app.get(
    '/revisions/:sha',
    requireAction('read'),
    answers('one revision, by the beginning of its commit', RevisionView),
    takes('param', ShaPrefix),
    async (c) => {
      const { sha } = c.req.valid('param');
      const named = await commitNamed({ store, repository }, sha);
      if (named.kind === 'refused') return refuse(c, named.status, named.code, named.message);
      const view = await reader.revision(named.newest);
      return view === undefined ? refuse(c, 404, 'REVISION_UNKNOWN', `revision ${sha} is not kept any more`) : c.json(view);
    },
  );

  app.post(
    '/revisions/:sha/evaluate',
    requireAction('evaluate'),
    answers('evaluates the newest commit again', EvaluateAccepted),
    takes('param', ShaPrefix),
    takes('json', Reason),
    async (c) => {
      const { sha } = c.req.valid('param');
      const newest = await store.revisions.newest(repository.id);
      if (newest?.sha.startsWith(sha) !== true) {
        return refuse(
          c,
          409,
          'REVISION_NOT_NEWEST',
          `only the newest commit can be evaluated again, which is ${newest === undefined ? 'none yet' : newest.sha.slice(0, 10)}`,
        );
      }
      const { held } = await store.repositories.get(repository.id);
      if (held?.commit === newest.sha) {
        return refuse(c, 409, 'REVISION_HELD', `the commit is held: ${held.reason}; to accept it, run: ${acceptCommand(held)}`);
      }
      const isEnded = isEndedRevision(newest.state);
      if (!isEnded && newest.error === undefined)
        return refuse(c, 409, 'REVISION_UNDER_WAY', `the commit is under way (${inWords(newest.state)}): there is nothing to try again`);
      const { reason: detail } = c.req.valid('json');
      const stale = await decide(
        deps,
        c,
        async ({ repositories, revisions }) => {
          const reopened = isEnded ? await revisions.reopen(newest.id, clock.now()) : undefined;
          if (reopened?.kind === 'stale') return reopened;
          await repositories.wake(repository.id);
          return undefined;
        },
        (isStale) => (isStale === undefined ? { action: 'evaluate', subject: newest.sha, detail } : undefined),
      );
      if (stale !== undefined)
        return refuse(c, 409, 'REVISION_ENDED', `a commit that is ${inWords(stale.state)} is not evaluated again: push another one`);
      const outcome: EvaluateAccepted['outcome'] = isEnded ? 'reopened' : 'retried';
      const body: EvaluateAccepted = { sha: newest.sha, outcome };
      return c.json(body);
    },
  );

  app.post('/repository/accept', requireAction('accept'), answers('accepts a commit that is held'), takes('json', Accept), async (c) => {
    const { commit, reason, seen } = c.req.valid('json');
    const { held } = await store.repositories.get(repository.id);
    if (held?.commit !== commit)
      return refuse(c, 409, 'NOTHING_HELD', held === undefined ? 'nothing is held' : `the held commit is ${held.commit}, not ${commit}`);
    const isAllowed = await decide(
      deps,
      c,
      async ({ repositories }) => await repositories.allow(repository.id, commit, seen),
      (isDone) => (isDone ? { action: 'accept-held', subject: commit, detail: reason } : undefined),
    );
    if (isAllowed) return c.body(null, 204);
    const { held: now } = await store.repositories.get(repository.id);
    return refuse(
      c,
      409,
      'HELD_CHANGED',
      `the commit is not held for the reason that you saw${now === undefined ? '' : `: ${now.reason}`}; look at it again`,
    );
  });

  app.get(
    '/events',
    requireAction('read', { isStream: true }),
    answers('the fleet as it is, as the event `snapshot` (a FleetView), then each change as the event `change`', FleetEvent, {
      mediaType: 'text/event-stream',
    }),
    (c) => {
      const { credential, actor } = c.var;
      const counted = streams.open(actor.name);
      if (typeof counted === 'string') {
        c.header('retry-after', '30');
        return refuse(c, 429, 'STREAMS_TOO_MANY', counted);
      }
      let lookedAt = clock.monotonic();
      // Who signed out, or whose token was revoked, is told no more.
      async function isAllowed(): Promise<boolean> {
        if (clock.monotonic() - lookedAt < RECHECK_MS) return true;
        lookedAt = clock.monotonic();
        return await auth.isGood(credential, actor);
      }
      return streamSSE(c, async (stream) => {
        using _counted = counted;
        await sendFleetEvents(stream, { feed, snapshot: fleetText, isAllowed, cut: () => cutAnswer(c) });
      });
    },
  );
  return app;
}

/** An answer whose text is there already. */
function json(c: Context, text: string) {
  return c.body(text, 200, { 'content-type': 'application/json' });
}

/** A state in words. */
function inWords(state: RevisionState): string {
  return state.toLowerCase().replaceAll('_', ' ');
}
