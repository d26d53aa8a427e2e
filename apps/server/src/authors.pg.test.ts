import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_POLICY, defaultGates, type CommitSha, type HostName, type RolloutPolicy } from '@floe/model';
import { AuditEntryViews, RevisionView, TokenViews } from '@floe/protocol';
import { eventually, forgeDelivery, pushPayload, type DeliveringForge } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { noBuilder, startTestServer, type TestServer } from './test/test-server.ts';

// Who pushed a commit approves nothing that the policy wants somebody else for: from the webhook of a forge (GitLab) to the decision, over
// the real server and store.

const SECRET = 'a-long-enough-webhook-secret';
let server: TestServer;
let dir: string;
const tokens = new Map<string, string>();

async function call(name: string | undefined, method: string, path: string, body: object) {
  const response = await fetch(`${server.url}/api/${path}`, {
    method,
    headers: { authorization: `Bearer ${name === undefined ? server.token : tokens.get(name)}`, 'content-type': 'application/json' },
    ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, json: text === '' ? undefined : (JSON.parse(text) as unknown) };
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-authors-'));
  const secretFile = join(dir, 'secret');
  await writeFile(secretFile, SECRET);
  server = await startTestServer({
    runPipeline: noBuilder,
    env: { FLOE_WEBHOOK_SECRET_FILE: secretFile, FLOE_FORGE: 'gitlab' },
  });
  const people = [
    { name: 'ada', role: 'administrator', forgeLogin: 'AdaL' },
    { name: 'ada-phone', role: 'approver', person: 'ada' },
    { name: 'bob', role: 'approver' },
    { name: 'cyd', role: 'administrator', forgeLogin: 'cyd' },
  ];
  for (const each of people) {
    const { json } = await call(undefined, 'POST', 'tokens', each);
    tokens.set(each.name, v.parse(v.object({ token: v.string() }), json).token);
  }
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function push(by: string, before: CommitSha, after: CommitSha, forge: DeliveringForge = 'gitlab'): Promise<number> {
  const payload = pushPayload(forge, { before, after, login: by, cloneUrl: server.repository.url });
  const { path, headers, body } = forgeDelivery(forge, payload, SECRET, `push-${after}`);
  return (await fetch(`${server.url}${path}`, { method: 'POST', headers, body })).status;
}

const approve = async (name: string, commit: string) => {
  const { status, json } = await call(name, 'POST', 'rollout/approve', { reason: 'seen', commit, ring: 'canary' });
  return { status, message: JSON.stringify(json) };
};

async function becomes(state: string, missing?: number): Promise<void> {
  await eventually(`${state} ${missing}`, async () => {
    const { rollout } = v.parse(RevisionView, (await call('bob', 'GET', 'rollout', {})).json);
    const [canary] = rollout?.rings ?? [];
    return rollout?.state === state && (missing === undefined || canary?.missingApprovals?.count === missing) && canary?.counts.eligible === 1
      ? true
      : undefined;
  });
}

const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const canary = { ...first, ...defaultGates(0, 2), name: 'canary', members: { hosts: ['ws1'], labels: [], share: undefined } };
const all = { ...first, ...defaultGates(1, 2), name: 'all' };
const policyWith = (count: number): RolloutPolicy => ({
  ...DEFAULT_POLICY,
  rings: [{ ...canary, approvals: { count, role: 'approver', notAuthor: true } }, all],
});

test('an author does not approve, by whatever token; others do, once each; and a policy is not loosened by who wrote that', async () => {
  await server.enrol('ws1');
  await server.enrol('ws2');
  const { store } = server.context;
  const stable = await publishCommit(server, { ws1: system('a'), ws2: system('a') }, policyWith(2));
  const { rollout } = await store.hosts.fleet(server.repository.id);
  if (rollout === undefined) throw new Error('there is a rollout');
  await eventually('its first decision', async () => ((await store.hosts.fleet(server.repository.id)).rollout?.version ?? 0) > 0 || undefined);
  const begun = (await store.hosts.fleet(server.repository.id)).rollout ?? rollout;
  expect(await store.rollouts.save({ id: begun.id, version: begun.version, course: { ...begun.course, state: 'COMPLETE' } }, 5, [])).toBe(true);

  const next = await publishCommit(server, { ws1: system('b'), ws2: system('b') }, policyWith(2));
  await becomes('WAITING_APPROVAL', 2);
  // No webhook told of the push: it may have been anybody.
  expect(await approve('bob', next.sha)).toMatchObject({ status: 409, message: expect.stringContaining('did not tell of each push') as string });
  // A login of another forge is somebody else's.
  expect(await push('cyd', stable.sha, next.sha, 'github')).toBe(404);
  expect(await push('cyd', stable.sha, next.sha, 'forgejo')).toBe(404);
  expect(await push('Bobby', stable.sha, next.sha)).toBe(202);
  await eventually('a login that is nobody’s', async () =>
    (await approve('bob', next.sha)).message.includes('--forge-login bobby') ? true : undefined,
  );
  const set = { reason: 'his account', forgeLogin: 'BOBBY' };
  expect((await call('bob', 'POST', 'tokens/bob', set)).status).toBe(403);
  expect((await call('ada', 'POST', 'tokens/bob', set)).status).toBe(204);
  expect(await approve('bob', next.sha)).toMatchObject({ status: 409, message: expect.stringContaining('bob is an author') as string });
  expect(await approve('ada', next.sha)).toMatchObject({ status: 200, message: expect.stringContaining('still needs 1 more') as string });
  expect(await approve('ada-phone', next.sha)).toMatchObject({ status: 200, message: expect.stringContaining('counts once') as string });
  await becomes('WAITING_APPROVAL', 1);
  expect(await approve('cyd', next.sha)).toMatchObject({ status: 200 });
  await becomes('ROLLING');

  // Ada loosens the policy, and cyd has to see that.
  const loose = await publishCommit(server, { ws1: system('c'), ws2: system('c') }, { ...DEFAULT_POLICY, rings: [canary, all] });
  expect(await push('adal', next.sha, loose.sha)).toBe(202);
  await becomes('WAITING_APPROVAL', 0);
  await eventually('the authors are known', async () =>
    (await store.hosts.fleet(server.repository.id)).rollout?.people?.authors.includes('ada') === true ? true : undefined,
  );
  expect(await approve('ada', loose.sha)).toMatchObject({ status: 409, message: expect.stringContaining('another administrator') as string });
  expect(await approve('cyd', loose.sha)).toMatchObject({ status: 200 });
  await becomes('ROLLING');

  const entries = v.parse(AuditEntryViews, (await call('bob', 'GET', 'audit?limit=100', {})).json);
  expect(entries).toContainEqual(
    expect.objectContaining({ actor: 'ada', action: 'set-token', subject: 'bob', detail: 'his account; login at the forge: bobby' }),
  );
  expect(entries).toContainEqual(
    expect.objectContaining({ actor: 'bob', action: 'manage-tokens', refused: expect.objectContaining({ count: 1 }) as object }),
  );
  const listed = v.parse(TokenViews, (await call('ada', 'GET', 'tokens', {})).json).map(({ name, person, forgeLogin }) => [name, person, forgeLogin]);
  expect(listed).toEqual(
    expect.arrayContaining([
      ['ada-phone', 'ada', null],
      ['bob', 'bob', 'bobby'],
    ]),
  );
});

test('what was approved is what is rolled out: a host that is built late waits until it is approved, too', async () => {
  const { store } = server.context;
  const strict = { ...DEFAULT_POLICY, rings: [{ ...canary, approvals: { count: 1, role: 'approver' as const, notAuthor: false } }, all] };
  const commit = await publishCommit(server, { ws1: system('d'), ws2: system('d') }, strict);
  await becomes('WAITING_APPROVAL', 1);
  expect(await approve('cyd', commit.sha)).toMatchObject({ status: 200 });
  await becomes('ROLLING');

  const ws3 = 'ws3' as HostName;
  await server.enrol(ws3);
  const late = { host: ws3, sequence: commit.sequence, toplevel: system('d'), commit: commit.sha, issuedAt: 1, envelope: '{}' };
  await store.releases.publish(commit.id, [late], Date.now());
  await becomes('WAITING_APPROVAL', 1);
  expect((await store.hosts.get(ws3))?.desired).toBeUndefined();
  expect(await approve('cyd', commit.sha)).toMatchObject({ status: 200, message: expect.stringContaining('has all the approvals') as string });
  await becomes('ROLLING');
  expect(await approve('cyd', commit.sha)).toMatchObject({ status: 200, message: expect.stringContaining('counts once') as string });
});

test('whoever signed a commit is its author, beside who pushed it; a signer who is nobody makes nobody known', async () => {
  const { store } = server.context;
  const { rollout } = await store.hosts.fleet(server.repository.id);
  if (rollout === undefined) throw new Error('there is a rollout');
  expect(await store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'COMPLETE' } }, 5, [])).toBe(true);
  const before = (await store.revisions.newest(server.repository.id))?.sha;
  if (before === undefined) throw new Error('there is a commit');
  const commit = await publishCommit(server, { ws1: system('e'), ws2: system('e') }, policyWith(1));
  await store.revisions.noteSigners(commit.id, ['bob@example.org']);
  expect(await push('cyd', before, commit.sha)).toBe(202);
  await becomes('WAITING_APPROVAL', 1);
  await eventually('a signer who is nobody', async () => {
    const { status, message } = await approve('ada', commit.sha);
    return status === 409 && message.includes('run: floe token set NAME --signer bob@example.org') ? true : undefined;
  });
  const set = { reason: 'his key', signer: 'bob@example.org' };
  expect((await call('bob', 'POST', 'tokens/bob', set)).status).toBe(403);
  expect((await call('ada', 'POST', 'tokens/bob', { ...set, signer: 'two words' })).status).toBe(400);
  expect((await call('ada', 'POST', 'tokens/bob', set)).status).toBe(204);
  expect(await approve('bob', commit.sha)).toMatchObject({ status: 409, message: expect.stringContaining('bob is an author') as string });
  await eventually('it is known who pushed it', async () => {
    const { status, message } = await approve('cyd', commit.sha);
    return status === 409 && message.includes('cyd is an author') ? true : undefined;
  });
  expect(await approve('ada', commit.sha)).toMatchObject({ status: 200 });
  await becomes('ROLLING');
});
