import { CLOSE_CODES, foreign, HostName, ReleaseStatement, RolloutAnswer, seal, type RenameStatement, peekStored } from '@floe/protocol';
import type { StatementLog } from '@floe/pipeline';
import type { HostName as HostNameBrand } from '@floe/model';
import type { Clock, Logger, Signer } from '@floe/runtime';
import type { HostRow, PlainStore, Repository, StorePart } from '@floe/store';
import { shortSha } from '@floe/views';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { AgentHub } from '../agents/hub.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { refusalToOrder } from '../decisions.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { decide } from './decide.ts';
import { ReasonText } from './validation.ts';

const Host = v.object({ host: HostName });
const Renaming = foreign(v.strictObject({ to: HostName, reason: ReasonText }));

export interface RenameDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'get' | 'renamed';
    repositories: 'get';
    revisions: 'newestPublished' | 'nextUnfinished' | 'evaluations';
    releases: 'latest';
  }> &
    Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly statements: Pick<StatementLog, 'appendRename'>;
  readonly hub: Pick<AgentHub, 'disconnect'>;
  readonly serverSigner: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onHostChanged: (host: HostNameBrand) => void;
}

interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** A machine gets another name, and keeps its key and all that is known of it. */
export function renameRoutes(deps: RenameDeps): Hono<AuthEnv> {
  const { store, repository, statements, hub, serverSigner, clock, onHostChanged } = deps;
  const app = new Hono<AuthEnv>();

  /** Why the host cannot have that name; undefined: it can. Only who knows nothing else yet is asked for. */
  async function refusalOf(row: HostRow, to: HostNameBrand): Promise<Refusal | undefined> {
    const { host } = row;
    if (to === host) return { code: 'SAME_NAME', message: `${host} has that name already` };
    const refusal = refusalToOrder(row);
    if (refusal !== undefined) return refusal;
    if (row.capabilities?.includes('rename') !== true) {
      return { code: 'AGENT_TOO_OLD', message: `the agent of ${host} is from before machines could be renamed: have it updated first` };
    }
    const taken = await store.hosts.get(to);
    if (taken?.publicKey !== undefined)
      return {
        code: 'HOST_ENROLLED',
        message: `${to} is another machine, which was enrolled: choose another name, or revoke and forget that one first`,
      };
    // What it says of these names is not known yet, and the rename would move what it is working on.
    const unfinished = await store.revisions.nextUnfinished(repository.id);
    if (unfinished !== undefined)
      return {
        code: 'COMMIT_UNFINISHED',
        message: `commit ${shortSha(unfinished.sha)} is still being evaluated or built: rename when it is released`,
      };
    const published = await store.revisions.newestPublished(repository.id);
    const evaluations = published === undefined ? [] : await store.revisions.evaluations(published.id);
    const inFlake = new Set(evaluations.flatMap((each) => (each.outcome === 'REMOVED' ? [] : [each.host])));
    const option = `services.floe.agent.formerHost = "${host}"`;
    if (!inFlake.has(to))
      return { code: 'HOST_NOT_IN_FLAKE', message: `${to} is not in the flake: push a commit that has it in place of ${host}, with ${option}` };
    if (inFlake.has(host))
      return { code: 'HOST_IN_FLAKE', message: `${host} is still in the flake: push a commit that has ${to} in its place, with ${option}` };
    const release = (await store.releases.latest(repository.id)).find((each) => each.host === to);
    if (peekStored(release?.envelope, ReleaseStatement)?.formerHost !== host)
      return { code: 'NO_RELEASE', message: `${to} has no release that says that it was ${host}: set ${option} in its configuration, and push` };
    return undefined;
  }

  app.post(
    '/hosts/:host/rename',
    deps.auth.requireAction('rename'),
    answers('gives an enrolled machine the name of another host of the flake', RolloutAnswer),
    takes('param', Host),
    takes('json', Renaming),
    async (c) => {
      const { host } = c.req.valid('param');
      const { to, reason } = c.req.valid('json');
      const row = await store.hosts.get(host);
      if (row?.publicKey === undefined) {
        const renamed = await store.hosts.renamed(host);
        if (renamed !== undefined) return refuse(c, 409, 'HOST_RENAMED', `${host} was renamed to ${renamed.host}`);
      }
      if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      const refusal = await refusalOf(row, to);
      if (refusal !== undefined) return refuse(c, 409, refusal.code, refusal.message);
      const { publicKey = '', machineId = '' } = row;
      const { sequence } = await store.repositories.get(repository.id);
      // After it was enrolled: the order of the log is that of its times.
      const renamedAt = Math.max(clock.now(), (row.enrolledAt ?? 0) + 1);
      const statement: RenameStatement = { version: 1, formerHost: host, host: to, machineId, publicKey, sequence, renamedAt, reason };
      const outcome = await decide(
        deps,
        c,
        async ({ hosts }) =>
          await hosts.rename({
            formerHost: host,
            host: to,
            publicKey,
            at: renamedAt,
            beforeMove: async () => await statements.appendRename(seal(serverSigner, 'floe/rename', statement), statement),
          }),
        (moved) => (moved === 'renamed' ? { action: 'rename', subject: host, detail: `to ${to}: ${reason}` } : undefined),
      );
      if (outcome === 'no-release')
        return refuse(c, 409, 'NO_RELEASE', `the release of ${to} is not newer than that of ${host}: change its configuration, and push`);
      if (outcome !== 'renamed') return refuse(c, 409, 'HOST_CHANGED', `${host} or ${to} was enrolled or revoked just now: look at them again`);
      // Its next hello is taken for the new name's.
      hub.disconnect(host, CLOSE_CODES.restarting, 'renamed');
      onHostChanged(host);
      onHostChanged(to);
      const body: RolloutAnswer = {
        outcome: 'done',
        message: `${host} is ${to} from now on. Its machine takes the system of ${to} when its turn comes.`,
      };
      return c.json(body);
    },
  );
  return app;
}
