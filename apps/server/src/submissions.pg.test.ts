import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_COMMIT, type HostName, type StorePath } from '@floe/model';
import { Directive, HostView, peek, ReleaseStatement, seal, SubmissionAnswer } from '@floe/protocol';
import { loadOrCreateSigner, type Signer } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dataPaths } from '@floe/pipeline';
import { system } from './test/commits.ts';
import { noBuilder, publishRelease, startTestServer, TestAgent, type TestHost, type TestServer } from './test/test-server.ts';

// What the pipeline does with a store path: libs/pipeline/src/submissions.nix.test.ts. Here its end is played.

let dataDir: string;
let server: TestServer;
let releaseSigner: Signer;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'floe-submissions-'));
  server = await startTestServer({
    dataDir,
    runPipeline: noBuilder,
  });
  releaseSigner = await loadOrCreateSigner(dataPaths(dataDir).releaseKey, 'release-1');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

async function ask(method: string, path: string, body: object): Promise<{ readonly status: number; readonly json: unknown }> {
  const { status, text } = await server.ask(method, `hosts/${path}`, body);
  return { status, json: JSON.parse(text) };
}

async function shown(host: string): Promise<HostView> {
  return v.parse(HostView, await (await server.request(`/api/hosts/${host}`)).json());
}

/** As the pipeline signs it. */
async function published(host: string, toplevel: StorePath, id: string): Promise<number> {
  const { store } = server.context;
  const sequence = await store.submissions.number(id);
  if (sequence === undefined) throw new Error('it does not wait');
  const { url: repository, ref } = server.repository;
  const statement: ReleaseStatement = {
    version: 1,
    repository,
    ref,
    commit: NO_COMMIT,
    sequence,
    host: host as HostName,
    toplevel,
    narHash: 'sha256:x',
    closureSizeBytes: 10,
    system: 'x86_64-linux',
    purpose: 'submitted',
    issuedAt: Date.now(),
    expiresAt: Date.now() + 3600_000,
  };
  const envelope = JSON.stringify(seal(releaseSigner, 'floe/release', statement));
  const release = { host: host as HostName, sequence, toplevel, commit: NO_COMMIT, issuedAt: 1, envelope };
  const entry = { at: 1, actor: 'floe', action: 'submit', subject: host, detail: 'published' };
  expect(await store.submissions.finish(id, release, Date.now(), entry)).toBe(true);
  return sequence;
}

/** What an agent is told of a system, newest last. */
function toldOf(agent: TestAgent, toplevel: StorePath): ReleaseStatement[] {
  return agent.messages.flatMap((message) => {
    const directive = message.type === 'directive' ? peek(message.envelope, Directive) : undefined;
    const release = directive?.kind === 'opened' ? peek(directive.statement.release, ReleaseStatement) : undefined;
    return release?.kind === 'opened' && release.statement.toplevel === toplevel ? [release.statement] : [];
  });
}

async function on(name: string, capabilities: readonly string[]): Promise<{ readonly identity: TestHost; readonly agent: TestAgent }> {
  const identity = await server.enrol(name, system('a1'));
  return { identity, agent: await TestAgent.welcome(server.url, identity, { capabilities: [...capabilities] }) };
}

test('a store path is published, pinned and signed for one directive; when its pin ends, nothing falls back', async () => {
  const { identity, agent } = await on('ada', ['once', 'submitted']);
  await using _agent = agent;
  const toplevel = system('5b');
  const { status, json } = await ask('POST', 'ada/submission', { storePath: toplevel, reason: 'the forge is down' });
  expect(status).toBe(200);
  const { submission } = v.parse(SubmissionAnswer, json);
  expect(await shown('ada')).toMatchObject({
    submission: { id: submission, toplevel, state: 'WAITING', by: 'admin', reason: 'the forge is down' },
    orders: [],
  });

  const sequence = await published('ada', toplevel, submission);
  const told = await eventually('ada is told', () => toldOf(agent, toplevel).at(-1));
  expect(told).toMatchObject({ purpose: 'submitted', sequence, commit: NO_COMMIT, onlyFor: { machineId: identity.machineId } });
  expect(await shown('ada')).toMatchObject({
    submission: { state: 'PUBLISHED' },
    orders: [{ kind: 'pin', by: 'admin', sequence }],
    desired: { toplevel, sequence, commit: null },
  });
  expect((await ask('DELETE', 'ada/pin', { reason: 'it is back' })).status).toBe(200);
  expect(await shown('ada')).toMatchObject({ desired: { toplevel }, orders: [] });
  // The next commit is its turn.
  await publishRelease(server.context.store, server.repository, 'ada' as HostName, system('c2'));
  await eventually('ada is to run the commit', async () => ((await shown('ada')).desired?.toplevel === system('c2') ? true : undefined));
  const log = (await server.context.store.audit.list({ limit: 100 })).filter(({ subject, action }) => subject === 'ada' && action === 'submit');
  expect(log.map(({ actor, detail }) => `${actor}: ${detail}`).toReversed()).toEqual([
    `admin: pin to ${toplevel}: the forge is down`,
    'floe: published',
  ]);
});

test('an agent from before is asked for nothing, and is sent none when it comes back as one', async () => {
  const toplevel = system('5c');
  const { identity, agent } = await on('ben', ['once']);
  expect(await ask('POST', 'ben/submission', { storePath: toplevel, reason: 'x' })).toMatchObject({
    status: 409,
    json: { error: { code: 'AGENT_TOO_OLD' } },
  });
  await agent[Symbol.asyncDispose]();
  const newer = await TestAgent.welcome(server.url, identity, { capabilities: ['once', 'submitted'] });
  const { json } = await ask('POST', 'ben/submission', { storePath: toplevel, reason: 'x' });
  await newer[Symbol.asyncDispose]();
  await using older = await TestAgent.welcome(server.url, identity, { capabilities: ['once'] });
  await published('ben', toplevel, v.parse(SubmissionAnswer, json).submission);
  await eventually('ben is to have it', async () => ((await shown('ben')).desired?.toplevel === toplevel ? true : undefined));
  await ask('DELETE', 'ben/pin', { reason: 'no' });
  await publishRelease(server.context.store, server.repository, 'ben' as HostName, system('c3'));
  await eventually('ben is told the commit', () => toldOf(older, system('c3')).at(-1) ?? older.messages.find(({ type }) => type === 'directive'));
  expect(toldOf(older, toplevel)).toEqual([]);
});

test('why says that the pin to a store path stands before the newest commit', async () => {
  const { agent } = await on('gus', ['once', 'submitted']);
  await using _agent = agent;
  const { json } = await ask('POST', 'gus/submission', { storePath: system('5f'), reason: 'x' });
  await published('gus', system('5f'), v.parse(SubmissionAnswer, json).submission);
  await publishRelease(server.context.store, server.repository, 'gus' as HostName, system('c4'));
  const why = async (): Promise<string> => await (await server.request('/api/hosts/gus/why')).text();
  await eventually('why names the pin', async () => ((await why()).includes('pinned to a store path') ? true : undefined));
});

test('unpin ends one that still waits', async () => {
  const { agent } = await on('cleo', ['once', 'submitted']);
  await using _agent = agent;
  const { json } = await ask('POST', 'cleo/submission', { storePath: system('5d'), reason: 'x' });
  expect((await ask('DELETE', 'cleo/pin', { reason: 'a mistake' })).status).toBe(200);
  expect(await shown('cleo')).toMatchObject({ submission: { state: 'FAILED', result: 'admin ended it: a mistake' } });
  expect(await server.context.store.submissions.number(v.parse(SubmissionAnswer, json).submission)).toBeUndefined();
  expect(await ask('DELETE', 'cleo/pin', { reason: 'x' })).toMatchObject({ status: 409, json: { error: { code: 'NOT_PINNED' } } });
});

describe('is refused', () => {
  test.each([
    ['a path that is none', 'dan', { storePath: '/nix/store/x' }, 400, 'REQUEST_INVALID'],
    ['a file in a path', 'dan', { storePath: `${system('5e')}/bin/sh` }, 400, 'REQUEST_INVALID'],
    ['a derivation', 'dan', { storePath: `${system('5e')}.drv` }, 400, 'STORE_PATH_IS_DERIVATION'],
    ['an end in the past', 'dan', { storePath: system('5e'), until: 1 }, 400, 'UNTIL_PAST'],
    ['a host that nobody knows', 'nobody', { storePath: system('5e') }, 404, 'HOST_UNKNOWN'],
    ['a host that is not enrolled', 'eve', { storePath: system('5e') }, 409, 'HOST_NOT_ENROLLED'],
    ['a host that was revoked', 'fay', { storePath: system('5e') }, 409, 'HOST_REVOKED'],
  ])('%s', async (_what, host, body, status, code) => {
    const { store } = server.context;
    if ((await store.hosts.get('fay' as HostName)) === undefined) {
      await using _dan = (await on('dan', ['once', 'submitted'])).agent;
      await store.hosts.ensure(server.repository.id, ['eve' as HostName]);
      await server.enrol('fay');
      await store.hosts.revoke('fay' as HostName, Date.now());
    }
    expect(await ask('POST', `${host}/submission`, { reason: 'x', ...body })).toMatchObject({ status, json: { error: { code } } });
    expect(await store.submissions.waiting(server.repository.id)).toEqual([]);
  });
});
