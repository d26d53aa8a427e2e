import { DEFAULT_POLICY, defaultGates, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import type { RevisionView, WhyView } from '@floe/protocol';
import type { Revision } from '@floe/store';
import { eventually } from '@floe/testkit';
import { rolloutWords } from '@floe/views';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { endRollout, evaluateCommit, publishCommit, system } from '../test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../test/test-server.ts';

// SPEC O27: a rollout begins with the first host that is built, and its gates know who is still to come.

const NAMES = ['canary', 'second', 'other'] as const;
type Name = (typeof NAMES)[number];

function policyOf(approvals?: RolloutPolicy['rings'][number]['approvals']): RolloutPolicy {
  const members = [
    { hosts: ['canary', 'second'], labels: [], share: undefined },
    { hosts: [], labels: [], share: undefined },
  ];
  return {
    ...DEFAULT_POLICY,
    rings: ['canaries', 'all'].map((name, index) => ({
      name,
      members: members[index] ?? { hosts: [], labels: [], share: undefined },
      ...defaultGates(index, 2),
      soakMs: 0,
      deadlineMs: undefined,
      maxInFlight: undefined,
      windows: [],
      approvals: index === 0 ? approvals : undefined,
      probes: [],
      pauseAfter: false,
    })),
  };
}

let server: TestServer;
const hosts = new Map<string, { readonly identity: TestHost; agent: TestAgent; seq: number }>();

beforeAll(async () => {
  server = await startTestServer({
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
  for (const name of NAMES) {
    const identity = await server.enrol(name);
    hosts.set(name, { identity, agent: await TestAgent.welcome(server.url, identity), seq: 0 });
  }
});
afterAll(async () => {
  for (const { agent } of hosts.values()) await agent[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => await endRollout(server));

const systemOf = (name: string, change: string): StorePath => system(`${change}${name}`.replaceAll(/[eotu]/g, '0'));
const contents = (change: string, names: readonly Name[] = NAMES) => Object.fromEntries(names.map((name) => [name, systemOf(name, change)]));
const get = async <Answer>(path: string): Promise<Answer> => (await (await server.request(path)).json()) as Answer;
const desiredOf = async (name: string) => (await server.context.store.hosts.get(name as HostName))?.desired?.toplevel;
const view = async ({ sha }: Revision): Promise<RevisionView> => await get(`/api/revisions/${sha}`);

/** The host is told the system, and reports that it runs it. */
async function runs(name: string, change: string): Promise<void> {
  const host = hosts.get(name);
  if (host === undefined) throw new Error(`no host ${name}`);
  const toplevel = systemOf(name, change);
  const epoch = await eventually(`${name} is told ${change}`, async () => {
    const { desired } = (await server.context.store.hosts.get(name as HostName)) ?? {};
    return desired?.toplevel === toplevel ? desired.epoch : undefined;
  });
  host.seq += 1;
  const { seq } = host;
  const observed = { current: toplevel, booted: toplevel, profile: { generation: seq, toplevel } };
  host.agent.send({ type: 'report', seq, epoch, state: 'SUCCEEDED', toplevel, observed, at: 1 });
  await host.agent.next('ack', (ack) => ack.seq === seq);
}

async function isAt(revision: Revision, state: string, ring: number): Promise<void> {
  await eventually(`the rollout is ${state} at ring ${ring}`, async () => {
    const { rollout } = await server.context.store.hosts.fleet(server.repository.id);
    return rollout?.revisionId === revision.id && rollout.state === state && rollout.course.ring === ring ? true : undefined;
  });
}

async function approve({ sha }: Revision): Promise<void> {
  const body = JSON.stringify({ commit: sha, ring: 'canaries', reason: 'looked at it' });
  const answer = await server.request('/api/rollout/approve', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  expect(answer.status, await answer.text()).toBe(200);
}

function missing(): never {
  throw new Error('it has no rollout');
}

const unknown = (change: string, names: readonly Name[]) => ({
  ...contents(change),
  ...Object.fromEntries(names.map((name) => [name, 'NOT_EVALUATED' as const])),
});
const rollout = async () => (await server.context.store.hosts.fleet(server.repository.id)).rollout;

describe('a rollout of a commit that is still evaluated (SPEC O30)', () => {
  test('begins with the first host that is there, and asks no ring before all hosts of the commit are evaluated', async () => {
    const commit = await evaluateCommit(server, unknown('p', ['second', 'other']), policyOf());
    await commit.handOut('canary');
    await runs('canary', 'p');
    await isAt(commit.revision, 'ROLLING', 0);
    const during = await view(commit.revision);
    expect(during.rollout).toMatchObject({ state: 'ROLLING', description: 'ring canaries: the only host runs it, 2 being evaluated' });
    expect(during.rollout?.rings.map(({ building, evaluating }) => [building, evaluating])).toEqual([
      [0, 2],
      [0, 2],
    ]);
    expect(await get<WhyView>('/api/hosts/second/why')).toMatchObject([{ rule: 'unfinished' }]);
    // One whose configuration is broken, and one that is in the second ring, are no reason to wait any more.
    await commit.evaluate('second', 'EVAL_ERROR');
    expect((await rollout())?.course).toMatchObject({ state: 'ROLLING', ring: 0 });
    await commit.evaluate('other', systemOf('other', 'p'));
    await isAt(commit.revision, 'WAITING_APPROVAL', 1);
    expect((await view(commit.revision)).rollout?.rings[1]).toMatchObject({ building: 1, evaluating: 0 });
    await commit.publish();
    await runs('other', 'p');
    await isAt(commit.revision, 'COMPLETE', 1);
  });

  test('is overtaken as far as it is', async () => {
    const commit = await evaluateCommit(server, unknown('v', ['second', 'other']), policyOf());
    await commit.handOut('canary');
    await runs('canary', 'v');
    const newer = await evaluateCommit(server, contents('w'), policyOf());
    await isAt(commit.revision, 'COMPLETE', 1);
    expect(await view(commit.revision)).toMatchObject({ state: 'PUBLISHED' });
    expect((await rollout())?.weaker).toEqual([]);
    await newer.publish();
    for (const name of NAMES) await runs(name, 'w');
    await isAt(newer.revision, 'COMPLETE', 1);
  });
});

describe('a rollout of a commit that is still built', () => {
  test('begins with the first host that is built, and no ring is asked before those of it that are there', async () => {
    const commit = await evaluateCommit(server, contents('a'), policyOf());
    await commit.handOut('canary');
    await runs('canary', 'a');
    await isAt(commit.revision, 'ROLLING', 0);
    const during = await view(commit.revision);
    expect(during).toMatchObject({
      state: 'BUILDING',
      rollout: { state: 'ROLLING', description: 'ring canaries: 1 of 3 hosts runs it, 2 being built' },
    });
    expect(during.rollout?.rings.map(({ building }) => building)).toEqual([1, 1]);
    expect(await get<WhyView>('/api/hosts/second/why')).toMatchObject([{ rule: 'unfinished' }]);
    await commit.handOut('other');
    await eventually('other has its release', async () => ((await view(commit.revision)).rollout?.rings[1]?.building === 0 ? true : undefined));
    expect((await server.context.store.hosts.fleet(server.repository.id)).rollout?.course).toMatchObject({ state: 'ROLLING', ring: 0 });
    expect(await desiredOf('other')).not.toBe(systemOf('other', 'a'));
    await commit.handOut('second');
    await commit.publish();
    await runs('second', 'a');
    await runs('other', 'a');
    await isAt(commit.revision, 'COMPLETE', 1);
    expect(await view(commit.revision)).toMatchObject({ state: 'PUBLISHED', rollout: { description: 'all 3 hosts run it' } });
  });

  test('is not complete while the last ring has a host that is built, also one that is away', async () => {
    await publishCommit(server, contents('b'), policyOf());
    for (const name of NAMES) await runs(name, 'b');
    const commit = await evaluateCommit(server, contents('c', ['canary', 'other']), policyOf());
    const other = hosts.get('other');
    await other?.agent[Symbol.asyncDispose]();
    await eventually('other is away', async () =>
      (await server.context.store.hosts.get('other' as HostName))?.isConnected === false ? true : undefined,
    );
    await commit.handOut('canary');
    await runs('canary', 'c');
    await isAt(commit.revision, 'WAITING_APPROVAL', 1);
    await commit.publish();
    if (other !== undefined) other.agent = await TestAgent.welcome(server.url, other.identity, { reportSeq: other.seq });
    await runs('other', 'c');
    await isAt(commit.revision, 'COMPLETE', 1);
  });

  test('passes over no ring whose host is built and only briefly away, as all are after a restart of the server', async () => {
    const commit = await evaluateCommit(server, contents('m', ['canary', 'other']), policyOf());
    const canary = hosts.get('canary');
    await canary?.agent[Symbol.asyncDispose]();
    await eventually('the canary is away', async () =>
      (await server.context.store.hosts.get('canary' as HostName))?.isConnected === false ? true : undefined,
    );
    await commit.handOut('other');
    await eventually('other has its release', async () => ((await view(commit.revision)).rollout?.rings[1]?.building === 0 ? true : undefined));
    if (canary !== undefined) canary.agent = await TestAgent.welcome(server.url, canary.identity, { reportSeq: canary.seq });
    await eventually('the canary is back', async () =>
      (await server.context.store.hosts.get('canary' as HostName))?.isConnected === true ? true : undefined,
    );
    expect((await server.context.store.hosts.fleet(server.repository.id)).rollout?.course).toMatchObject({ state: 'WAITING_APPROVAL', ring: 0 });
    expect(await desiredOf('other')).not.toBe(systemOf('other', 'm'));
    await commit.handOut('canary');
    await commit.publish();
    await runs('canary', 'm');
    await runs('other', 'm');
    await isAt(commit.revision, 'COMPLETE', 1);
  });

  test('goes on when the build of the others fails, and when a newer commit overtakes it', async () => {
    const commit = await evaluateCommit(server, contents('d'), policyOf());
    await commit.handOut('canary');
    await runs('canary', 'd');
    const failed = [{ host: 'second' as HostName, outcome: 'BUILD_ERROR' as const, error: 'does not build' }];
    await server.context.store.revisions.saveBuilds(commit.revision.id, failed);
    await isAt(commit.revision, 'WAITING_APPROVAL', 1);
    const newer = await evaluateCommit(server, contents('e'), policyOf());
    expect(await view(commit.revision)).toMatchObject({ state: 'PUBLISHED' });
    await isAt(commit.revision, 'COMPLETE', 1);
    expect(await desiredOf('other')).not.toBe(systemOf('other', 'd'));
    await newer.publish();
    for (const name of NAMES) await runs(name, 'e');
    await isAt(newer.revision, 'COMPLETE', 1);
  });

  test('is approved for all that it will bring: that a host of it is built changes nothing', async () => {
    const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
    const commit = await evaluateCommit(server, contents('g'), policyOf(approvals));
    await commit.handOut('canary');
    await isAt(commit.revision, 'WAITING_APPROVAL', 0);
    await approve(commit.revision);
    await runs('canary', 'g');
    await commit.handOut('second');
    await commit.publish();
    await runs('second', 'g');
    await runs('other', 'g');
    await isAt(commit.revision, 'COMPLETE', 1);
    const audit = await server.context.store.audit.list({ limit: 50 });
    expect(audit.filter(({ action, subject }) => action === 'rollout-changed' && subject === commit.revision.sha)).toEqual([]);
  });
});

// Last: a policy without approvals is weaker from here on.
describe('what a commit that is still evaluated has approved (SPEC O30)', () => {
  const approvals = { count: 1, role: 'approver', notAuthor: false } as const;

  test('is approved when people can see all of it, and not before', async () => {
    const commit = await evaluateCommit(server, unknown('q', ['other']), policyOf(approvals));
    await commit.handOut('canary');
    await isAt(commit.revision, 'WAITING_APPROVAL', 0);
    await eventually('its rings are known', async () => ((await rollout())?.rings === undefined ? undefined : true));
    const body = JSON.stringify({ commit: commit.revision.sha, ring: 'canaries', reason: 'looked at it' });
    const asked = await server.request('/api/rollout/approve', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    expect([asked.status, await asked.json()]).toMatchObject([409, { error: { code: 'STILL_EVALUATED' } }]);
    expect(rolloutWords((await view(commit.revision)).rollout ?? missing())).toBe('waits for hosts that are being built');
    await commit.handOut('second');
    expect(rolloutWords((await view(commit.revision)).rollout ?? missing())).toBe('waits for hosts that are being evaluated');
    await commit.evaluate('other', systemOf('other', 'q'));
    await approve(commit.revision);
    await commit.publish();
    for (const name of NAMES) await runs(name, 'q');
    await isAt(commit.revision, 'COMPLETE', 1);
  });

  test('loosens nothing by hosts that are not evaluated yet, and asks for an administrator when one has moved', async () => {
    const before = await publishCommit(server, contents('r'), policyOf(approvals));
    await isAt(before, 'WAITING_APPROVAL', 0);
    await approve(before);
    for (const name of NAMES) await runs(name, 'r');
    await isAt(before, 'COMPLETE', 1);
    // All hosts of the last ring, and one of the first.
    const commit = await evaluateCommit(server, unknown('s', ['second', 'other']), policyOf(approvals));
    await commit.handOut('canary');
    await eventually('it is compared', async () => ((await rollout())?.rings?.has('canary' as HostName) === true ? true : undefined));
    expect((await rollout())?.weaker).toEqual([]);
    await commit.evaluate('other', systemOf('other', 's'));
    await eventually('it joined', async () => ((await rollout())?.rings?.has('other' as HostName) === true ? true : undefined));
    expect((await rollout())?.weaker).toEqual([]);
    await commit.evaluate('second', systemOf('second', 's'), { ring: 'all' });
    await eventually('it joined', async () => ((await rollout())?.rings?.has('second' as HostName) === true ? true : undefined));
    expect((await rollout())?.course).toMatchObject({ state: 'WAITING_APPROVAL', ring: 0 });
    expect((await rollout())?.weaker?.map(({ text }) => text)).toEqual([expect.stringContaining('second')]);
    await commit.publish();
    expect(await desiredOf('second')).not.toBe(systemOf('second', 's'));
    await approve(commit.revision);
    for (const name of NAMES) await runs(name, 's');
    await isAt(commit.revision, 'COMPLETE', 1);
  });
});
