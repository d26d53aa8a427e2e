import { DEFAULT_POLICY, defaultGates, type Role, type RolloutPolicy } from '@floe/model';
import { HostView, RevisionView, RolloutAnswer, WhyView } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, receiveCommit, system } from './test/commits.ts';
import { noBuilder, startTestServer, type TestServer } from './test/test-server.ts';

// What people ask of a rollout reaches the engine, over the real server and store.

let server: TestServer;
const tokens = new Map<Role, string>();
beforeAll(async () => {
  server = await startTestServer({ runPipeline: noBuilder });
  for (const role of ['viewer', 'operator', 'approver', 'administrator'] as const) {
    const response = await server.request('/api/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: `the-${role}`, role }),
    });
    tokens.set(role, v.parse(v.object({ token: v.string() }), await response.json()).token);
  }
});
afterAll(async () => await server[Symbol.asyncDispose]());

async function ask(role: Role, method: string, path: string, body?: object): Promise<{ readonly status: number; readonly json: unknown }> {
  const response = await fetch(`${server.url}/api/${path}`, {
    method,
    headers: { authorization: `Bearer ${tokens.get(role)}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify({ reason: 'because', ...body }) }),
  });
  return { status: response.status, json: await response.json() };
}

async function rollout(): Promise<NonNullable<RevisionView['rollout']>> {
  const { rollout: seen } = v.parse(RevisionView, (await ask('viewer', 'GET', 'rollout')).json);
  if (seen === null) throw new Error('there is no rollout');
  return seen;
}

async function becomes(state: string, ring: string): Promise<NonNullable<RevisionView['rollout']>> {
  return await eventually(`${state} at ${ring}`, async () => {
    const seen = await rollout();
    const current = seen.rings.find((each) => each.state === 'current');
    // Hosts get their rings with the first decision.
    return seen.state === state && current?.name === ring && current.counts.eligible > 0 ? seen : undefined;
  });
}

const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
const POLICY: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: [
    { ...first, ...defaultGates(0, 2), name: 'canary', members: { hosts: ['ada'], labels: [], share: undefined }, approvals },
    { ...first, ...defaultGates(1, 2), name: 'all' },
  ],
};

test('a rollout is paused, resumed, approved and aborted by those who may', async () => {
  await server.enrol('ada');
  await server.enrol('bob');
  const { sha: commit } = await publishCommit(server, { ada: system('a'), bob: system('b') }, POLICY);
  const waiting = await becomes('WAITING_APPROVAL', 'canary');
  expect(waiting.rings.map(({ name, counts, missingApprovals }) => [name, counts.eligible, missingApprovals?.count])).toEqual([
    ['canary', 1, 1],
    ['all', 1, undefined],
  ]);

  const { json: why } = await ask('viewer', 'GET', 'hosts/bob/why');
  expect(v.parse(WhyView, why)).toMatchObject([
    { rule: 'ring', text: 'ring all waits for canary: 0 of 1 verified' },
    { rule: 'approval', text: 'ring canary waits for approval: 1 more approval (approver or higher)' },
    { rule: 'away', end: 'when it comes back' },
  ]);
  expect((await ask('viewer', 'GET', 'hosts/nobody/why')).status).toBe(404);

  // A pin is no way past the approvals, also in a later ring.
  for (const host of ['ada', 'bob']) expect(await ask('operator', 'POST', `hosts/${host}/pin`, { commit })).toMatchObject({ status: 403 });

  for (const what of ['pause', 'resume', 'abort', 'approve', 'hotfix'])
    expect((await ask('viewer', 'POST', `rollout/${what}`, { commit, ring: 'canary' })).status, what).toBe(403);

  const both = await Promise.all((['operator', 'approver'] as const).map(async (role) => await ask(role, 'POST', 'rollout/pause', {})));
  expect(both.map(({ status }) => status)).toEqual([200, 200]);
  const paused = await becomes('PAUSED', 'canary');
  expect(paused).toMatchObject({ pause: { cause: 'freeze' }, freeze: { reason: 'because' } });
  // Of two who resume at once, one does, and the other is told what is so.
  const resumed = await Promise.all((['operator', 'approver'] as const).map(async (role) => await ask(role, 'POST', 'rollout/resume', {})));
  expect(resumed.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
  expect((await becomes('WAITING_APPROVAL', 'canary')).freeze).toBeNull();

  expect((await ask('operator', 'POST', 'rollout/approve', { commit, ring: 'canary' })).status).toBe(403);
  expect(await ask('approver', 'POST', 'rollout/approve', { commit, ring: 'all' })).toMatchObject({
    status: 409,
    json: { error: { code: 'RING_NOT_CURRENT' } },
  });
  const approved = await ask('approver', 'POST', 'rollout/approve', { commit, ring: 'canary' });
  expect(v.parse(RolloutAnswer, approved.json)).toMatchObject({ outcome: 'done' });
  const rolling = await becomes('ROLLING', 'canary');
  expect(rolling.orders).toMatchObject([{ kind: 'approve', by: 'the-approver', role: 'approver', ring: 'canary', reason: 'because' }]);
  expect(rolling.rings[0]?.deadlineAt).toBeGreaterThan(Date.now());

  expect((await ask('operator', 'POST', 'rollout/abort', { commit })).status).toBe(200);
  const aborted = await becomes('ABORTED', 'canary');
  expect(aborted.orders.map(({ kind }) => kind)).toEqual(['abort', 'approve']);
  expect(await ask('operator', 'POST', 'rollout/abort', { commit })).toMatchObject({ status: 409, json: { error: { code: 'ROLLOUT_ENDED' } } });

  const { json: log } = await ask('viewer', 'GET', `audit?subject=${commit}`);
  const entries = v.parse(v.array(v.object({ actor: v.string(), action: v.string() })), log).map(({ actor, action }) => `${actor} ${action}`);
  expect(entries).toEqual(expect.arrayContaining(['the-operator abort-rollout', 'the-approver approve-rollout', 'floe rollout-aborted']));
  // It is superseded by the next commit all the same, and what was decided about it stays in its story.
  const next = await publishCommit(server, { ada: system('c'), bob: system('b') }, POLICY);
  await becomes('WAITING_APPROVAL', 'canary');
  expect(await ask('approver', 'POST', 'rollout/approve', { commit, ring: 'canary' })).toMatchObject({
    status: 409,
    json: { error: { code: 'ROLLOUT_SUPERSEDED' } },
  });
  const { json: older } = await ask('viewer', 'GET', `revisions/${commit}`);
  expect(v.parse(RevisionView, older).rollout).toMatchObject({ state: 'ABORTED', pause: null });

  // A pin goes past the ring that waits; back down only an administrator brings a host.
  expect((await ask('administrator', 'POST', 'hosts/ada/pin', { commit: next.sha })).status).toBe(200);
  await eventually('ada is told what it is pinned to', async () => {
    const { json } = await ask('viewer', 'GET', 'hosts/ada');
    return v.parse(HostView, json).desired?.sequence === next.sequence ? true : undefined;
  });
  expect(await ask('operator', 'POST', 'hosts/ada/pin', { commit })).toMatchObject({ status: 403, json: { error: { code: 'ROLE_TOO_LOW' } } });
  expect((await ask('operator', 'DELETE', 'hosts/ada/pin', {})).status).toBe(200);
  expect(await ask('operator', 'DELETE', 'hosts/ada/pin', {})).toMatchObject({ status: 409, json: { error: { code: 'NOT_PINNED' } } });
});

test('the glass is broken by two administrators, for the newest commit alone, which was refused for the floor', async () => {
  const { revisions } = server.context.store;
  const revision = await receiveCommit(server);
  const asked = { commit: revision.sha };
  expect(await ask('operator', 'POST', 'rollout/break-glass', asked)).toMatchObject({ status: 403, json: { error: { code: 'ROLE_TOO_LOW' } } });
  expect(await ask('administrator', 'POST', 'rollout/break-glass', asked)).toMatchObject({
    status: 409,
    json: { error: { code: 'NOT_BELOW_FLOOR' } },
  });
  await revisions.noteBelowFloor(revision.id, 'floor');
  await revisions.advance(revision.id, 'refused', Date.now(), 'below the floor');
  // The token of the first start belongs to another administrator.
  const one = await ask('administrator', 'POST', 'rollout/break-glass', asked);
  expect(one).toMatchObject({ status: 200, json: { outcome: 'done', message: expect.stringContaining('when a second administrator') as string } });
  expect(await ask('administrator', 'POST', 'rollout/break-glass', asked)).toMatchObject({ json: { outcome: 'repeated' } });
  const seen = v.parse(RevisionView, (await ask('viewer', 'GET', `revisions/${revision.sha}`)).json);
  expect(seen).toMatchObject({ state: 'REJECTED', isBelowFloor: true, warnings: [expect.stringContaining('the-administrator asks to let it pass')] });
  const response = await server.request('/api/rollout/break-glass', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...asked, reason: 'so do I' }),
  });
  expect(await response.json()).toMatchObject({ outcome: 'done', message: expect.stringContaining('looked at again from the start') as string });
  expect(await revisions.get(revision.id)).toMatchObject({ state: 'VERIFYING', error: undefined });
  expect(JSON.stringify((await ask('viewer', 'GET', `audit?subject=${revision.sha}`)).json)).toContain('a second person is needed: because');
  const passed = v.parse(RevisionView, (await ask('viewer', 'GET', `revisions/${revision.sha}`)).json);
  expect(passed).toMatchObject({ isBelowFloor: false });
  await revisions.noteBelowFloor(revision.id, 'another floor');
  await revisions.advance(revision.id, 'refused', Date.now(), 'below another floor');
  const again = v.parse(RevisionView, (await ask('viewer', 'GET', `revisions/${revision.sha}`)).json);
  expect(again).toMatchObject({ isBelowFloor: true });
  await receiveCommit(server);
  expect(await ask('administrator', 'POST', 'rollout/break-glass', asked)).toMatchObject({
    status: 409,
    json: { error: { code: 'REVISION_NOT_NEWEST' } },
  });
});

test('a hotfix --now takes two administrators where the policy has approvals, and is refused to an operator', async () => {
  const again = await server.request('/api/tokens', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'second', role: 'administrator' }),
  });
  const { token } = v.parse(v.object({ token: v.string() }), await again.json());
  const late: RolloutPolicy = {
    ...POLICY,
    rings: POLICY.rings.map((ring, index) => ({ ...ring, approvals: index === 0 ? undefined : approvals })),
  };
  const { sha: commit } = await publishCommit(server, { ada: system('d'), bob: system('e') }, late);
  const asked = { commit, now: true };
  expect(await ask('operator', 'POST', 'rollout/hotfix', asked)).toMatchObject({ status: 403, json: { error: { code: 'ROLE_TOO_LOW' } } });
  const one = await ask('administrator', 'POST', 'rollout/hotfix', asked);
  expect(one).toMatchObject({ status: 200, json: { outcome: 'done', message: expect.stringContaining('until a second administrator') as string } });
  expect(await ask('administrator', 'POST', 'rollout/hotfix', asked)).toMatchObject({ status: 200, json: { outcome: 'repeated' } });
  expect((await rollout()).orders).toMatchObject([{ kind: 'hotfix', by: 'the-administrator', now: 'waits' }]);
  tokens.set('administrator', token);
  const two = await ask('administrator', 'POST', 'rollout/hotfix', asked);
  expect(two).toMatchObject({ status: 200, json: { outcome: 'done', message: expect.stringContaining('does not wait for verified') as string } });
  // Nobody has verified it, and the next ring is asked for its approvals.
  const waiting = await becomes('WAITING_APPROVAL', 'all');
  expect(waiting.orders.map(({ by, now }) => [by, now])).toEqual(
    expect.arrayContaining([
      ['second', 'counts'],
      ['the-administrator', 'counts'],
    ]),
  );
  const { json: log } = await ask('viewer', 'GET', `audit?subject=${commit}`);
  expect(JSON.stringify(log)).toContain('now: because');
});
