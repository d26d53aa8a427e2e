import { isEndedRollout, type CommitSha, type EvaluationOutcome, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import { seal, type ReleaseStatement } from '@floe/protocol';
import type { Signer } from '@floe/runtime';
import type { StatementLog } from '@floe/pipeline';
import type { Evaluation, EvaluationRow, Revision } from '@floe/store';
import { eventually } from '@floe/testkit';
import type { TestServer } from './test-server.ts';

/** What a commit has for one host: a system, or the way in which it has none. */
export type Content = StorePath | Exclude<EvaluationOutcome, 'CHANGED' | 'NEW' | 'UNCHANGED'>;

/** A store path whose hash starts with `name`. */
export function system(name: string): StorePath {
  return `/nix/store/${name.padEnd(32, '0')}-system` as StorePath;
}

let pushed = 0;

/** A commit as the pipeline would take it in: received, evaluated to `hosts`, built and published. */
export async function publishCommit(
  server: TestServer,
  hosts: Readonly<Record<string, Content>>,
  policy?: RolloutPolicy,
  timeZones: Readonly<Record<string, string>> = {},
  signer: Signer = server.releaseSigner,
  statements?: Pick<StatementLog, 'writeRelease'>,
): Promise<Revision> {
  const commit = await evaluateCommit(server, hosts, policy, timeZones, signer, statements);
  await commit.publish();
  return commit.revision;
}

/** A commit that is being built. */
export interface BuiltCommit {
  readonly revision: Revision;
  /** What a host that was still evaluated comes to. */
  evaluate(name: string, content: Content, own?: Partial<Evaluation>): Promise<void>;
  /** These hosts are built. */
  handOut(...names: readonly string[]): Promise<void>;
  /** And all that are left. */
  publish(): Promise<void>;
}

/** A commit that was received and evaluated to `hosts`. */
export async function evaluateCommit(
  server: TestServer,
  hosts: Readonly<Record<string, Content>>,
  policy?: RolloutPolicy,
  timeZones: Readonly<Record<string, string>> = {},
  signer: Signer = server.releaseSigner,
  statements?: Pick<StatementLog, 'writeRelease'>,
): Promise<BuiltCommit> {
  const { store } = server.context;
  const revision = await receiveCommit(server);
  await store.revisions.savePolicy(revision.id, policy);
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, Date.now());
  await store.hosts.ensure(server.repository.id, Object.keys(hosts) as HostName[]);
  const known = new Map(Object.entries(hosts));
  const toRows = (of: Readonly<Record<string, Content>>): EvaluationRow[] =>
    Object.entries(of).map(([host, content]) =>
      content.startsWith('/')
        ? {
            host: host as HostName,
            outcome: 'CHANGED' as const,
            toplevel: content as StorePath,
            drvPath: `${content}.drv`,
            system: 'x86_64-linux',
            timeZone: timeZones[host],
          }
        : {
            host: host as HostName,
            outcome: content as EvaluationOutcome,
            ...(content === 'REMOVED' || content === 'NOT_EVALUATED' ? {} : { error: `${host} is broken` }),
          },
    );
  await store.revisions.saveEvaluations(revision.id, toRows(hosts));
  await store.revisions.advance(revision.id, 'evaluated', Date.now());
  const releaseOf = async (name: string) => {
    const [host, toplevel] = [name as HostName, known.get(name) as StorePath];
    const [sequence, commit, issuedAt] = [revision.sequence, revision.sha, Date.now()];
    const about = { repository: server.repository.url, ref: server.repository.ref, commit, sequence, host, toplevel };
    const rest = { narHash: 'sha256:0', closureSizeBytes: 1, system: 'x86_64-linux', issuedAt, expiresAt: issuedAt + 365 * 24 * 3600_000 };
    const statement: ReleaseStatement = { version: 1, ...about, ...rest };
    const envelope = seal(signer, 'floe/release', statement);
    await statements?.writeRelease(envelope, statement);
    return { host, sequence, toplevel, commit, issuedAt, envelope: JSON.stringify(envelope) };
  };
  const releasesOf = async (names: Iterable<string>) => await Promise.all([...names].map(releaseOf));
  const left = new Set(Object.keys(hosts).filter((name) => hosts[name]?.startsWith('/') === true));
  return {
    revision,
    async evaluate(name, content, own = {}) {
      known.set(name, content);
      if (content.startsWith('/')) left.add(name);
      await store.revisions.saveEvaluations(
        revision.id,
        toRows({ [name]: content }).map((row) => ({ ...row, ...own })),
      );
    },
    async handOut(...names) {
      await store.releases.handOut(revision.id, await releasesOf(names), Date.now());
      for (const name of names) left.delete(name);
    },
    publish: async () => void (await store.releases.publish(revision.id, await releasesOf(left), Date.now())),
  };
}

/** A person approves a ring of the rollout, as it is when it is compared: an administrator with all that it loosens. */
export async function approveRing(server: TestServer, ring: number, role: 'approver' | 'administrator' = 'administrator'): Promise<void> {
  const { store } = server.context;
  const compared = await eventually('it is compared', async () => {
    const { rollout } = await store.hosts.fleet(server.repository.id);
    return rollout?.weaker === undefined ? undefined : { rolloutId: rollout.id, loosens: rollout.weaker.map(({ id }) => id) };
  });
  const order = { kind: 'approve', subject: ring, by: `ada-${role}`, role, reason: 'seen', at: Date.now() } as const;
  await store.rollouts.order({ ...compared, ...order });
}

/** A host of a commit is built late: it is evaluated again, and that is published. */
export async function publishLate(server: TestServer, revision: Revision, host: HostName, evaluation: Partial<Evaluation>): Promise<void> {
  const { store } = server.context;
  const { id, sequence, sha: commit } = revision;
  const toplevel = evaluation.toplevel ?? system('late');
  await store.revisions.saveEvaluations(id, [{ host, outcome: 'CHANGED', drvPath: 'x.drv', system: 'x86_64-linux', ...evaluation, toplevel }]);
  await store.releases.publish(id, [{ host, sequence, toplevel, commit, issuedAt: 1, envelope: '{}' }], 1);
}

/** The rollout that a test left is over, so that no later one waits for it. */
export async function endRollout({ context: { store }, repository }: TestServer): Promise<void> {
  for (;;) {
    const { rollout } = await store.hosts.fleet(repository.id);
    if (rollout === undefined || isEndedRollout(rollout.state)) return;
    if (await store.rollouts.save({ ...rollout, course: { ...rollout.course, state: 'ABORTED', pause: undefined } }, Date.now(), [])) return;
  }
}

/** A commit that was only taken in. */
export async function receiveCommit(server: TestServer): Promise<Revision> {
  pushed += 1;
  const sha = pushed.toString(16).padStart(40, 'c') as CommitSha;
  const about = { subject: `Change ${pushed}`, authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  return await server.context.store.revisions.receive(server.repository.id, { sha, ...about, receivedAt: Date.now(), fetchedAt: Date.now() });
}
