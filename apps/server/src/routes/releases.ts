import { createHash } from 'node:crypto';
import { handoverSha, MAX_WAITING_HANDOVERS_OF_ONE, type CommitSha } from '@floe/model';
import { foreign, ReleaseSubmission, ReleaseSubmitted, SubmittedReleaseView, type RevisionView } from '@floe/protocol';
import { stableJson, type Clock, type Logger } from '@floe/runtime';
import type { PlainStore, Repository, StorePart } from '@floe/store';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import type { FleetReader } from '../fleet-reader.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { decide } from './decide.ts';

const Id = v.object({ id: v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/, 'not the id of anything that was submitted')) });
const Body = foreign(ReleaseSubmission);
/** As many hosts as there may be, with long names. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** So many entries are named in a refusal. */
const NAMED = 20;

export interface ReleaseRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'list';
    handovers: 'get' | 'systems' | 'revisionOf';
    revisions: 'get';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly reader: Pick<FleetReader, 'revision'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A CI submits the systems that it built. The pipeline publishes them and makes them a revision; who asks again is told the result. */
export function releaseRoutes(deps: ReleaseRouteDeps): Hono<AuthEnv> {
  const { auth, store, repository, reader, clock } = deps;
  const app = new Hono<AuthEnv>();

  app.post(
    '/',
    auth.requireAction('submit-release', { maxBodyBytes: MAX_BODY_BYTES }),
    answers('releases systems that were built elsewhere', ReleaseSubmitted),
    takes('json', Body),
    async (c) => {
      const { systems, commit } = c.req.valid('json');
      const paths = new Map(systems.map(({ host, storePath }) => [host, storePath]));
      const problems = [
        ...duplicates(systems.map(({ host }) => host)).map((host) => `${host} is in it twice`),
        ...systems.flatMap(({ host, storePath }) =>
          storePath.endsWith('.drv') ? [`${host}: ${storePath} is a derivation, which says how to build a system: name the path of the system`] : [],
        ),
      ];
      if (problems.length > 0) return refuse(c, 400, 'ENTRIES_INVALID', inLines(problems));
      const known = new Set((await store.hosts.list(repository.id, [...paths.keys()])).map(({ host }) => host));
      const unknown = [...paths.keys()].filter((host) => !known.has(host));
      if (unknown.length > 0) return refuse(c, 404, 'HOST_UNKNOWN', inLines(unknown.map((host) => `there is no host ${host}`)));
      const { name: by, person } = c.var.actor;
      const contentHash = hashOf(paths, commit);
      const count = `${paths.size} ${paths.size === 1 ? 'host' : 'hosts'}`;
      const asked = { repositoryId: repository.id, contentHash, commit, systems: paths, by, person, at: clock.now() };
      const words = { action: 'submit-release', subject: commit ?? handoverSha(contentHash), detail: `systems for ${count}` } as const;
      const requested = await decide(
        deps,
        c,
        async ({ handovers }) => await handovers.request(asked),
        (stored) => (stored.kind === 'requested' && !stored.isRepeat ? words : undefined),
      );
      if (requested.kind === 'too-many')
        return refuse(
          c,
          409,
          'SUBMISSIONS_TOO_MANY',
          requested.whose === 'own'
            ? `${MAX_WAITING_HANDOVERS_OF_ONE} files of ${person} wait to be published, as many as may of one person: try again when they are`
            : 'as many submitted files wait to be published as may: try again when they are',
        );
      const { id, isRepeat } = requested;
      const message = isRepeat
        ? `The same was submitted before, and nothing newer came: systems for ${count}.`
        : `Systems for ${count} are released as soon as the server has published and signed them.`;
      const body: ReleaseSubmitted = { outcome: isRepeat ? 'repeated' : 'done', message, id };
      return c.json(body);
    },
  );

  app.get(
    '/:id',
    auth.requireAction('submit-release'),
    answers('what comes of what was submitted', SubmittedReleaseView),
    takes('param', Id),
    async (c) => {
      const { id } = c.req.valid('param');
      const handover = await store.handovers.get(id);
      if (handover === undefined || handover.repositoryId !== repository.id)
        return refuse(c, 404, 'RELEASE_UNKNOWN', 'nothing was submitted with this id');
      const revisionId = await store.handovers.revisionOf(id);
      const revision = revisionId === undefined ? undefined : await store.revisions.get(revisionId);
      const view = revision === undefined ? undefined : await reader.revision(revision);
      const { state, by, at, commit, result } = handover;
      const body: SubmittedReleaseView = {
        id,
        state,
        by,
        at,
        commit: commit ?? null,
        hosts: (await store.handovers.systems(id)).size,
        result,
        revision: view === undefined ? null : withoutHosts(view),
      };
      return c.json(body);
    },
  );
  return app;
}

function withoutHosts({ hosts: _hosts, ...revision }: RevisionView): NonNullable<SubmittedReleaseView['revision']> {
  return revision;
}

function duplicates<T>(items: readonly T[]): readonly T[] {
  const seen = new Set<T>();
  return [...new Set(items.filter((item) => seen.has(item) || !seen.add(item)))];
}

function inLines(problems: readonly string[]): string {
  return [...problems.slice(0, NAMED), ...(problems.length > NAMED ? [`and ${problems.length - NAMED} more`] : [])].join('\n');
}

/** The same for the same hosts, systems and commit, in whatever order they come. */
function hashOf(paths: ReadonlyMap<string, string>, commit: CommitSha | undefined): string {
  return createHash('sha256')
    .update(stableJson({ systems: Object.fromEntries(paths), commit: commit ?? '' }))
    .digest('hex');
}
