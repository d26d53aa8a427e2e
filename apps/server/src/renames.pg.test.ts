import { CLOSE_CODES, Directive, HostName, HostView, peek, ReleaseStatement, seal, type SealedDirective } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { todoOf } from '@floe/views';
import type { CommitSha, StorePath } from '@floe/model';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, TestAgent, TOPLEVEL, type TestHost, type TestServer } from './test/test-server.ts';

const CAPABILITIES = ['permit', 'rename'];
const release = signerFromPem('release-test', generateKeyPem());
const name = (text: string): HostName => v.parse(HostName, text);

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

let commits = 0;
/** A commit whose flake has these hosts, in the place of `removed`. */
async function push(hosts: Readonly<Record<string, { readonly formerHost?: string }>>, removed: readonly string[] = []): Promise<void> {
  const { store } = server.context;
  commits += 1;
  const sha = String(commits).padStart(40, '0') as CommitSha;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const revision = await store.revisions.receive(server.repository.id, { sha, ...about, receivedAt: 1, fetchedAt: 1 });
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, 1);
  const names = Object.keys(hosts).map(name);
  const toplevel = (host: string) => `/nix/store/${'b'.repeat(32)}-${host}-${commits}` as StorePath;
  await store.hosts.ensure(server.repository.id, names);
  await store.revisions.saveEvaluations(revision.id, [
    ...names.map((host) => {
      const former = hosts[host]?.formerHost;
      const formerHost = former === undefined ? undefined : name(former);
      return { host, outcome: 'CHANGED' as const, toplevel: toplevel(host), drvPath: 'd', system: 'x86_64-linux', formerHost };
    }),
    ...removed.map((host) => ({ host: name(host), outcome: 'REMOVED' as const })),
  ]);
  await store.revisions.advance(revision.id, 'evaluated', 1);
  const releases = Object.entries(hosts).map(([host, { formerHost }]) => {
    const statement: ReleaseStatement = {
      version: 1,
      repository: server.repository.url,
      ref: server.repository.ref,
      commit: sha,
      sequence: revision.sequence,
      host: name(host),
      toplevel: toplevel(host),
      narHash: 'sha256:0',
      closureSizeBytes: 1,
      system: 'x86_64-linux',
      ...(formerHost === undefined ? {} : { formerHost: name(formerHost) }),
      issuedAt: 1,
      expiresAt: Date.now() + 24 * 3600_000,
    };
    const envelope = JSON.stringify(seal(release, 'floe/release', statement));
    return { host: name(host), sequence: revision.sequence, toplevel: toplevel(host), commit: sha, issuedAt: 1, envelope };
  });
  await store.releases.publish(revision.id, releases, 1);
}

async function rename(from: string, to: string): Promise<{ readonly status: number; readonly text: string }> {
  return await server.ask('POST', `hosts/${from}/rename`, { to, reason: 'moved to the front desk' });
}

/** Who the machine says it is, with the same key. */
function calling(identity: TestHost, as: string): TestHost {
  return { ...identity, host: name(as) };
}

function directiveIn(envelope: SealedDirective): { readonly directive: Directive; readonly release: ReleaseStatement } {
  const opened = peek(envelope, Directive);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  const inner = peek(opened.statement.release, ReleaseStatement);
  if (inner.kind !== 'opened') throw new Error(inner.message);
  return { directive: opened.statement, release: inner.statement };
}

test('a machine that is renamed goes on under both names as one host, with its history, and is told the release of the new name', async () => {
  const ada = await server.enrol('ada', TOPLEVEL);
  await using before = await TestAgent.welcome(server.url, ada, { capabilities: CAPABILITIES });
  await push({ reception: { formerHost: 'ada' } }, ['ada']);
  expect(await rename('ada', 'reception')).toEqual({ status: 200, text: expect.stringContaining('ada is reception from now on') as string });
  expect((await before.closed).code).toBe(CLOSE_CODES.restarting);

  // It still runs the system of the old name.
  await using old = await TestAgent.welcome(server.url, ada, { capabilities: CAPABILITIES, sequence: 1 });
  const told = await old.next('directive', ({ envelope }) => directiveIn(envelope).release.host === 'reception');
  expect(directiveIn(told.envelope)).toMatchObject({ directive: { host: 'ada' }, release: { host: 'reception', formerHost: 'ada' } });
  const { store } = server.context;
  expect(await store.hosts.get(name('reception'))).toMatchObject({ isConnected: true, publicKey: ada.signer.publicKey });

  // Then the system of the new one: the connection under the old name ends.
  await using current = await TestAgent.welcome(server.url, calling(ada, 'reception'), { capabilities: CAPABILITIES, sequence: 1 });
  expect((await old.closed).code).toBe(CLOSE_CODES.replaced);
  const again = await current.next('directive');
  expect(directiveIn(again.envelope).directive.host).toBe('reception');

  for (const path of ['/api/hosts/ada', '/api/hosts/ada/why', '/api/hosts/ada/reports']) {
    const response = await server.request(path);
    expect([response.status, await response.json()]).toEqual([404, { error: { code: 'HOST_RENAMED', message: 'ada was renamed to reception' } }]);
  }
  expect(await rename('ada', 'other')).toMatchObject({ status: 409, text: expect.stringContaining('ada was renamed to reception') as string });
  expect(await (await server.request('/api/audit?subject=ada')).json()).toMatchObject(
    expect.arrayContaining([expect.objectContaining({ action: 'rename', detail: 'to reception: moved to the front desk' })]),
  );
});

test('until it is renamed, a machine is not missed for its old name: whoever looks is told which rename it waits for', async () => {
  const old = await server.enrol('kiosk', TOPLEVEL);
  await using _agent = await TestAgent.welcome(server.url, old, { capabilities: CAPABILITIES });
  await push({ lobby: { formerHost: 'kiosk' } }, ['kiosk']);
  const get = async (path: string): Promise<unknown> => await (await server.request(path)).json();
  const kiosk = v.parse(HostView, await get('/api/hosts/kiosk'));
  expect(kiosk).toMatchObject({ standing: 'removed', renameTo: 'lobby', problem: expect.stringContaining('is called lobby in the flake') as string });
  expect(todoOf(kiosk)).toBe('run: floe rename kiosk lobby --reason "…"');
  const command = 'floe rename kiosk lobby --reason "…"';
  expect(await get('/api/hosts/kiosk/why')).toMatchObject([{ rule: 'removed', end: command }]);
  expect(await get('/api/hosts/lobby/why')).toMatchObject([
    { rule: 'not-enrolled', text: expect.stringContaining('enrolled as kiosk') as string, end: command },
  ]);
  expect(await rename('kiosk', 'lobby')).toMatchObject({ status: 200 });
  expect(v.parse(HostView, await get('/api/hosts/lobby')).renameTo).toBeUndefined();
});

test('the old name with another key is nobody, and can be enrolled for another machine, which is a host of its own', async () => {
  const eve = await server.enrol('eve', TOPLEVEL);
  await using _agent = await TestAgent.welcome(server.url, eve, { capabilities: CAPABILITIES });
  await push({ desk: { formerHost: 'eve' } }, ['eve']);
  expect(await rename('eve', 'desk')).toMatchObject({ status: 200 });
  const stranger = { ...eve, signer: signerFromPem('host', generateKeyPem()) };
  await using refused = new TestAgent(server.url);
  await refused.hello(stranger);
  expect((await refused.closed).code).toBe(CLOSE_CODES.unauthorized);

  const second = await server.enrol('eve');
  await using asEve = await TestAgent.welcome(server.url, second, { capabilities: CAPABILITIES });
  await using asDesk = await TestAgent.welcome(server.url, eve, { capabilities: CAPABILITIES, sequence: 1 });
  await eventually('both are there', async () => {
    const rows = await Promise.all(['eve', 'desk'].map(async (host) => await server.context.store.hosts.get(name(host))));
    return rows.every((row) => row?.isConnected === true) ? true : undefined;
  });
  expect([asEve, asDesk].map((agent) => agent.socket.readyState)).toEqual([1, 1]);
});

test('a rename that is not prepared is refused with a sentence that says what to do, and changes nothing', async () => {
  const zoe = await server.enrol('zoe', TOPLEVEL);
  expect(await rename('nobody', 'x')).toMatchObject({ status: 404 });
  expect(await rename('zoe', 'zoe')).toMatchObject({ status: 409, text: expect.stringContaining('has that name already') as string });
  expect(await rename('zoe', 'next')).toMatchObject({ status: 409, text: expect.stringContaining('have it updated first') as string });
  await using _agent = await TestAgent.welcome(server.url, zoe, { capabilities: CAPABILITIES });
  await server.enrol('taken');
  const refused = async (why: string, to = 'next') =>
    expect(await rename('zoe', to)).toMatchObject({ status: 409, text: expect.stringContaining(why) as string });
  await refused('taken is another machine', 'taken');
  await refused('next is not in the flake');
  await push({ zoe: {}, next: { formerHost: 'zoe' } });
  await refused('zoe is still in the flake');
  await push({ next: {} }, ['zoe']);
  await refused('has no release that says that it was zoe');
  await push({ next: { formerHost: 'someone' } }, ['zoe']);
  await refused('has no release that says that it was zoe');
  const { store } = server.context;
  await push({ next: { formerHost: 'zoe' } }, ['zoe']);
  // Its evaluations may name both hosts.
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
  const unfinished = await store.revisions.receive(server.repository.id, { sha: 'e'.repeat(40) as CommitSha, ...about });
  await refused('is still being evaluated or built');
  await store.revisions.advance(unfinished.id, 'refused', 1);
  await store.hosts.revoke(zoe.host, Date.now());
  await refused('was revoked');
  expect(await store.hosts.get(name('zoe'))).toMatchObject({ publicKey: zoe.signer.publicKey });
  expect(await store.hosts.renamed(name('zoe'))).toBeUndefined();
});

test('an agent from before machines could be renamed is told no release that names an earlier name, and its host says why', async () => {
  const old = await server.enrol('kiosk', TOPLEVEL);
  await push({ kiosk: { formerHost: 'counter' } });
  await using before = await TestAgent.welcome(server.url, old, { capabilities: ['permit', 'stage'] });
  await eventually('its host says why', async () => {
    const view = (await (await server.request('/api/hosts/kiosk')).json()) as { readonly problem: string | null };
    return view.problem?.includes('too old for a configuration with services.floe.agent.formerHost') === true ? true : undefined;
  });
  expect(before.messages.filter(({ type }) => type === 'directive' || type === 'stage')).toEqual([]);
  await using after = await TestAgent.welcome(server.url, old, { capabilities: CAPABILITIES });
  const told = await after.next('directive');
  expect(directiveIn(told.envelope).release).toMatchObject({ host: 'kiosk', formerHost: 'counter' });
});
