import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitSha, HostName } from '@floe/model';
import { dataPaths, openStatementLog } from '@floe/pipeline';
import { seal, signedBytes, SIGNED_REPORTS, type EnrolmentStatement, type ReleaseStatement } from '@floe/protocol';
import { loadOrCreateSigner, silentLogger, type Signer } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { pathOf, permitOf, releaseOf, reportOf, stableOf } from '../../apps/cli/src/test/past-fleet.ts';
import { noBuilder, startTestServer, TestAgent, type TestServer } from '../../apps/server/src/test/test-server.ts';

/** A fleet with a past: a real server with its store, log and keys, hosts that signed reports, a permit, and an audit log. */
export interface History extends AsyncDisposable {
  readonly server: TestServer;
  readonly serverSigner: Signer;
  /** Pinned keys, as an administrator has them. */
  readonly keysText: string;
}

/** Three commits and three hosts: one on its newest release, one that went back by a permit, one that is behind. */
export async function makeHistory(dataDir: string, commits: readonly CommitSha[]): Promise<History> {
  // Nothing is signed but what is signed here: the builder's loop would add what is stable, sooner or later.
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestServer({ dataDir, runPipeline: noBuilder }));
  const { store } = server.context;
  const { repository, releaseSigner } = server;
  const ofRepository = { repository: repository.url };
  const paths = dataPaths(dataDir);
  const serverSigner = await loadOrCreateSigner(paths.serverKey, 'server-1');
  const log = openStatementLog(paths.statements, silentLogger);
  const hosts = await Promise.all(['ada', 'bob', 'cyd'].map(async (name) => await server.enrol(name)));
  for (const [index, { host, machineId, signer }] of hosts.entries()) {
    const enrolment: EnrolmentStatement = { version: 1, host, machineId, publicKey: signer.publicKey, enrolledAt: 1_000 + index };
    await log.appendEnrolment(seal(serverSigner, 'floe/enrolment', enrolment), enrolment);
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
      const statement = releaseOf(host, sequence, sha, ofRepository);
      const envelope = seal(releaseSigner, 'floe/release', statement);
      await log.writeRelease(envelope, statement);
      releases.set(`${host} ${sequence}`, statement);
      rows.push({ host, sequence, toplevel, commit: sha, issuedAt: 1_000, envelope: JSON.stringify(envelope) });
    }
    await store.releases.publish(revision.id, rows, 1);
  }
  const release = (host: HostName, sequence: number): ReleaseStatement => releases.get(`${host} ${sequence}`)!;
  for (const [index, sequence] of [1, 2].entries()) {
    const names = hosts.map(({ host }) => host);
    const stable = stableOf(index + 1, names, sequence, ofRepository);
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
      const report = reportOf(identity, index + 1, release(identity.host, sequence), { floor, nonce });
      agent.send({ type: 'signed-report', envelope: seal(identity.signer, 'floe/report', report) });
    }
    await eventually('they are stored', async () => {
      const all = await store.hostStatements.page(1_000);
      return all.filter(({ host }) => host === identity.host).length === sequences.length + 1 ? true : undefined;
    });
  }
  const bob = hosts[1]!;
  const permit = permitOf(bob, ofRepository);
  const saved = { kind: 'permit', epoch: 3, seq: 1, publicKey: releaseSigner.keyId, at: 1 } as const;
  await store.hostStatements.save([{ ...saved, host: bob.host, envelope: JSON.stringify(seal(releaseSigner, 'floe/permit', permit)) }]);
  for (let n = 0; n < 6; n += 1)
    await store.audit.append({ at: Date.now(), actor: 'ada', action: 'retry', subject: 'bob', detail: `because of ${n}` });
  await store.audit.countRefusals({ at: Date.now(), actor: 'eve', action: 'accept', subject: 'bob', detail: 'may not' }, 3);
  const head = await store.audit.head();
  const signed = JSON.stringify(head);
  await mkdir(join(paths.statements, 'audit'), { recursive: true });
  const signature = serverSigner.sign(signedBytes('floe/audit-head', Buffer.from(signed)));
  await writeFile(join(paths.statements, 'audit', '000001.json'), JSON.stringify({ keyId: serverSigner.keyId, signature, signed }));
  await store.audit.append({ at: Date.now(), actor: 'ada', action: 'retry', subject: 'bob', detail: 'and again' });
  const owned = stack.move();
  return {
    server,
    serverSigner,
    keysText: `# mine\nrelease release-1:${releaseSigner.publicKey}\nserver server-1:${serverSigner.publicKey}\n`,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}
