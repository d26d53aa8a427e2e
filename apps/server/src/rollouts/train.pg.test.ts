import { DEFAULT_POLICY, defaultGates, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import type { RevisionView, RolloutPlanView, WhyView } from '@floe/protocol';
import type { Revision } from '@floe/store';
import { eventually } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from '../test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../test/test-server.ts';

const RINGS: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: ['canary', 'other'].map((name, index) => ({
    name,
    members: { hosts: [name], labels: [], share: undefined },
    ...defaultGates(index, 2),
    soakMs: 0,
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  })),
};

let server: TestServer;
const hosts = new Map<string, { readonly identity: TestHost; readonly agent: TestAgent; seq: number }>();

beforeAll(async () => {
  server = await startTestServer({
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
  for (const name of ['canary', 'other']) {
    const identity = await server.enrol(name);
    hosts.set(name, { identity, agent: await TestAgent.welcome(server.url, identity), seq: 0 });
  }
});
afterAll(async () => {
  for (const { agent } of hosts.values()) await agent[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const systemOf = (name: string, change: string): StorePath => system(`${change}${name}`.replaceAll(/[eotu]/g, '0'));
const publish = async (change: string): Promise<Revision> =>
  await publishCommit(server, { canary: systemOf('canary', change), other: systemOf('other', change) }, RINGS);

/** The host is told the system, and reports the result. */
async function answer(name: string, change: string, state: 'SUCCEEDED' | 'ROLLED_BACK'): Promise<void> {
  const host = hosts.get(name);
  if (host === undefined) throw new Error(`no host ${name}`);
  const toplevel = systemOf(name, change);
  const epoch = await eventually(`${name} is told ${change}`, async () => {
    const { desired } = (await server.context.store.hosts.get(name as HostName)) ?? {};
    return desired?.toplevel === toplevel ? desired.epoch : undefined;
  });
  host.seq += 1;
  const { seq } = host;
  const current = state === 'SUCCEEDED' ? toplevel : null;
  const observed = { current, booted: current, profile: current === null ? null : { generation: seq, toplevel: current } };
  host.agent.send({ type: 'report', seq, epoch, state, toplevel, observed, at: 1 });
  await host.agent.next('ack', (ack) => ack.seq === seq);
}

async function followed(): Promise<{ readonly revisionId: string; readonly state: string; readonly ring: number } | undefined> {
  const { rollout } = await server.context.store.hosts.fleet(server.repository.id);
  return rollout && { revisionId: rollout.revisionId, state: rollout.state, ring: rollout.course.ring };
}

async function follows({ id }: Revision, state: string, ring: number): Promise<void> {
  await eventually(`hosts follow the rollout, which is ${state}`, async () => {
    const now = await followed();
    return now?.revisionId === id && now.state === state && now.ring === ring ? true : undefined;
  });
}

const get = async <Answer>(path: string): Promise<Answer> => (await (await server.request(path)).json()) as Answer;
const post = async (path: string, body: unknown): Promise<Response> =>
  await server.request(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

/** Four commits, of which three were superseded: the fourth is at its second ring. */
async function train(name: string): Promise<Revision> {
  for (const before of ['a', 'b', 'c']) await publish(`${name}${before}`);
  const revision = await publish(`${name}d`);
  await answer('canary', `${name}d`, 'SUCCEEDED');
  await follows(revision, 'ROLLING', 1);
  return revision;
}

test('a rollout after three that were superseded is finished first; the newest commit waits, says so, and begins by itself', async () => {
  const running = await train('1');
  await publish('1x');
  const waiting = await publish('1y');
  expect(await followed()).toMatchObject({ revisionId: running.id });
  const [view] = await get<RevisionView[]>('/api/revisions?limit=2');
  expect(view?.rollout).toMatchObject({ state: 'NEXT', waits: { for: 'train', after: running.sha } });
  expect(view?.rollout?.description).toMatch(/^waits for the train of c+\w*, until 20\d\d-\d\d-\d\d \d\d:\d\d UTC at the latest$/);
  const [rule] = await get<WhyView>('/api/hosts/canary/why');
  expect(rule).toMatchObject({ rule: 'train', text: expect.stringContaining('waits for the train of') as string });
  expect(await (await post('/api/rollout/abort', { commit: waiting.sha, reason: 'no' })).json()).toMatchObject({ error: { code: 'ROLLOUT_WAITS' } });
  const underWay = await get<RolloutPlanView>('/api/rollout/plan');
  expect(underWay).toMatchObject({ sha: running.sha, state: 'ROLLING', waits: null, rings: [{ name: 'other', hosts: ['other'], connected: 1 }] });
  expect(underWay.rings[0]?.beginsAt).toBeLessThanOrEqual(underWay.rings[0]?.passesAt ?? 0);
  expect(await get(`/api/rollout/plan?commit=${waiting.sha}`)).toMatchObject({
    sha: waiting.sha,
    waits: { for: 'train', after: running.sha },
    rings: [
      { name: 'canary', hosts: ['canary'], beginsAt: null, held: 'train' },
      { name: 'other', hosts: ['other'], beginsAt: null, held: 'train' },
    ],
  });
  await answer('other', '1d', 'SUCCEEDED');
  await follows(waiting, 'ROLLING', 0);
  expect(await get<RevisionView>(`/api/revisions/${running.sha}`)).toMatchObject({ rollout: { state: 'COMPLETE' }, supersededBy: waiting.sha });
  await answer('canary', '1y', 'SUCCEEDED');
  await answer('other', '1y', 'SUCCEEDED');
  await follows(waiting, 'COMPLETE', 1);
});

test('a hotfix does not wait for it', async () => {
  await train('2');
  const urgent = await publish('2x');
  expect(await followed()).not.toMatchObject({ revisionId: urgent.id });
  const response = await post('/api/rollout/hotfix', { commit: urgent.sha, reason: 'the last one leaks' });
  expect(await response.json()).toMatchObject({ outcome: 'done', message: expect.stringContaining('it begins now') as string });
  await follows(urgent, 'ROLLING', 0);
  await answer('canary', '2x', 'SUCCEEDED');
  await answer('other', '2x', 'SUCCEEDED');
  await follows(urgent, 'COMPLETE', 1);
});

test('a hotfix --now of a commit that waits begins it at once, in all rings', async () => {
  await train('4');
  const urgent = await publish('4x');
  const response = await post('/api/rollout/hotfix', { commit: urgent.sha, reason: 'the hole is used', now: true });
  expect(await response.json()).toMatchObject({
    outcome: 'done',
    message: expect.stringMatching(/it begins now.*does not wait for verified hosts/) as string,
  });
  await follows(urgent, 'ROLLING', 1);
  expect(await get<RevisionView>(`/api/revisions/${urgent.sha}`)).toMatchObject({
    rollout: { rings: [{ counts: { verified: 0 } }, {}], orders: [{ kind: 'hotfix', now: 'counts' }] },
  });
  await answer('canary', '4x', 'SUCCEEDED');
  await answer('other', '4x', 'SUCCEEDED');
  await follows(urgent, 'COMPLETE', 1);
});

test('a failure ends its protection at once', async () => {
  await train('3');
  const fix = await publish('3x');
  await answer('other', '3d', 'ROLLED_BACK');
  await follows(fix, 'ROLLING', 0);
  await answer('canary', '3x', 'SUCCEEDED');
  await answer('other', '3x', 'SUCCEEDED');
  await follows(fix, 'COMPLETE', 1);
});

test('a commit that brings approvals is pinned by an administrator alone, while it waits as when it has begun', async () => {
  const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
  const guarded: RolloutPolicy = { ...RINGS, rings: RINGS.rings.map((ring) => ({ ...ring, approvals })) };
  const running = await train('5');
  const systems = { canary: systemOf('canary', '5x'), other: systemOf('other', '5x') };
  const waiting = await publishCommit(server, systems, guarded);
  const token = { name: 'oda', role: 'operator', person: 'oda' } as const;
  const { token: operator } = JSON.parse((await server.ask('POST', 'tokens', token)).text) as { token: string };
  const pin = async (as: string): Promise<number> => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${as}` };
    const body = JSON.stringify({ reason: 'a look at it', commit: waiting.sha });
    return (await fetch(`${server.url}/api/hosts/other/pin`, { method: 'POST', headers, body })).status;
  };
  expect(await followed()).toMatchObject({ revisionId: running.id });
  expect(await pin(operator)).toBe(403);
  await answer('other', '5d', 'SUCCEEDED');
  await follows(waiting, 'WAITING_APPROVAL', 0);
  expect(await pin(operator)).toBe(403);
  expect(await pin(server.token)).toBe(200);
});
