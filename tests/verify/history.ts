import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentState, CommitSha, HostName, StorePath } from '@floe/model';
import { dataPaths, openStatementLog } from '@floe/pipeline';
import {
  seal,
  signedBytes,
  SIGNED_REPORTS,
  type EnrolmentStatement,
  type HostReport,
  type PermitStatement,
  type ReleaseStatement,
  type StableStatement,
} from '@floe/protocol';
import { loadOrCreateSigner, silentLogger, type Signer } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../../apps/server/src/test/test-server.ts';

const DAY_MS = 24 * 3600_000;

/** A fleet with a past: a real server with its store, log and keys, hosts that signed reports, a permit, and an audit log. */
export interface History extends AsyncDisposable {
  readonly server: TestServer;
  readonly releaseSigner: Signer;
  readonly serverSigner: Signer;
  readonly hosts: readonly TestHost[];
  readonly commits: readonly CommitSha[];
  /** Pinned keys, as an administrator has them. */
  readonly keysText: string;
}

export function pathOf(host: string, sequence: number): StorePath {
  const letter = String.fromCharCode(97 + sequence);
  return `/nix/store/${letter.repeat(31)}${host.charCodeAt(0) % 10}-nixos-${host}-${sequence}` as StorePath;
}

function reportOf({ host, machineId }: TestHost, nonce: string, seq: number, sequence: number, floor: number, release: ReleaseStatement): HostReport {
  const { repository, ref, commit, toplevel } = release;
  return {
    version: 1,
    host,
    machineId,
    bootId: 'boot-1',
    seq,
    epoch: seq,
    state: 'SUCCEEDED' satisfies AgentState,
    toplevel,
    release: { repository, ref, commit, sequence, toplevel },
    floor,
    isTrial: false,
    isOverridden: false,
    observed: { current: toplevel, booted: toplevel, profile: { generation: seq, toplevel } },
    code: null,
    at: 1_700_000_000_000 + seq,
    nonce,
  };
}

/** Three commits and three hosts: one on its newest release, one that went back by a permit, one that is behind. */
export async function makeHistory(dataDir: string, commits: readonly CommitSha[]): Promise<History> {
  // Nothing is signed but what is signed here: the builder's loop would add what is stable, sooner or later.
  const server = await startTestServer({ dataDir, runPipeline: async (signal) => void (await once(signal, 'abort')) });
  const { store } = server.context;
  const { repository, releaseSigner } = server;
  const paths = dataPaths(dataDir);
  const serverSigner = await loadOrCreateSigner(paths.serverKey, 'server-1');
  const log = openStatementLog(paths.statements, silentLogger);
  const hosts: TestHost[] = [];
  for (const name of ['ada', 'bob', 'cyd']) {
    const identity = await server.enrol(name);
    const enrolment: EnrolmentStatement = {
      version: 1,
      host: identity.host,
      machineId: identity.machineId,
      publicKey: identity.signer.publicKey,
      enrolledAt: 1_000 + hosts.length,
    };
    await log.appendEnrolment(seal(serverSigner, 'floe/enrolment', enrolment), enrolment);
    hosts.push(identity);
  }
  const releases = new Map<string, ReleaseStatement>();
  for (const sha of commits) {
    const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
    const revision = await store.revisions.receive(repository.id, { sha, ...about, receivedAt: 1, fetchedAt: 1 });
    for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
    const { sequence } = revision;
    const rows = [];
    for (const { host } of hosts) {
      const toplevel = pathOf(host, sequence);
      await store.revisions.saveEvaluations(revision.id, [{ host, outcome: 'CHANGED', toplevel, system: 'x86_64-linux' }]);
      const statement: ReleaseStatement = {
        version: 1,
        repository: repository.url,
        ref: 'refs/heads/main',
        commit: sha,
        sequence,
        host,
        toplevel,
        narHash: 'sha256:0',
        closureSizeBytes: 1,
        system: 'x86_64-linux',
        issuedAt: 1_000,
        expiresAt: 1_000 + 365 * DAY_MS,
      };
      const envelope = seal(releaseSigner, 'floe/release', statement);
      await log.writeRelease(envelope, statement);
      releases.set(`${host} ${sequence}`, statement);
      rows.push({ host, sequence, toplevel, commit: sha, issuedAt: 1_000, envelope: JSON.stringify(envelope) });
    }
    await store.releases.publish(revision.id, rows, 1);
  }
  const release = (host: HostName, sequence: number): ReleaseStatement => releases.get(`${host} ${sequence}`)!;
  for (const [index, sequence] of [1, 2].entries()) {
    const stable: StableStatement = {
      version: 1,
      repository: repository.url,
      ref: 'refs/heads/main',
      number: index + 1,
      hosts: hosts.map(({ host }) => ({ host, sequence, toplevel: pathOf(host, sequence) })),
      issuedAt: 2_000,
    };
    await log.appendStable(seal(releaseSigner, 'floe/stable', stable), stable);
  }
  for (const [identity, sequences] of [
    [hosts[0]!, [1, 2, 3]],
    [hosts[1]!, [1, 3, 2]],
    [hosts[2]!, [1, 2]],
  ] as const) {
    await using agent = await TestAgent.welcome(server.url, identity, { capabilities: [SIGNED_REPORTS] });
    const { nonce } = await agent.next('challenge');
    for (const [index, sequence] of sequences.entries()) {
      const floor = Math.max(...sequences.slice(0, index + 1));
      const report = reportOf(identity, nonce, index + 1, sequence, floor, release(identity.host, sequence));
      agent.send({ type: 'signed-report', envelope: seal(identity.signer, 'floe/report', report) });
    }
    await eventually('they are stored', async () => {
      const all = await store.hostStatements.page(1_000);
      return all.filter(({ host }) => host === identity.host).length === sequences.length + 1 ? true : undefined;
    });
  }
  const [, bob] = hosts;
  const permit: PermitStatement = {
    version: 1,
    repository: repository.url,
    ref: 'refs/heads/main',
    host: bob!.host,
    machineId: bob!.machineId,
    sequence: 2,
    toplevel: pathOf('bob', 2),
    floor: 3,
    actor: 'ada',
    reason: 'the screen stays dark',
    issuedAt: 3_000,
    expiresAt: 3_000 + DAY_MS,
    nonce: 'nonce',
  };
  const saved = { kind: 'permit', epoch: 3, seq: 1, publicKey: releaseSigner.keyId, at: 1 } as const;
  await store.hostStatements.save([{ ...saved, host: bob!.host, envelope: JSON.stringify(seal(releaseSigner, 'floe/permit', permit)) }]);
  for (let n = 0; n < 6; n += 1)
    await store.audit.append({ at: Date.now(), actor: 'ada', action: 'retry', subject: 'bob', detail: `because of ${n}` });
  await store.audit.countRefusals({ at: Date.now(), actor: 'eve', action: 'accept', subject: 'bob', detail: 'may not' }, 3);
  const head = await store.audit.head();
  const signed = JSON.stringify(head);
  await mkdir(join(paths.statements, 'audit'), { recursive: true });
  const signature = serverSigner.sign(signedBytes('floe/audit-head', Buffer.from(signed)));
  await writeFile(join(paths.statements, 'audit', '000001.json'), JSON.stringify({ keyId: serverSigner.keyId, signature, signed }));
  await store.audit.append({ at: Date.now(), actor: 'ada', action: 'retry', subject: 'bob', detail: 'and again' });
  return {
    server,
    releaseSigner,
    serverSigner,
    hosts,
    commits,
    keysText: `# mine\nrelease release-1:${releaseSigner.publicKey}\nserver server-1:${serverSigner.publicKey}\n`,
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  };
}
