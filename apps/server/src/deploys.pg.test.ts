import { DEFAULT_POLICY, defaultGates, type AgentState, type RolloutPolicy, type StorePath } from '@floe/model';
import { Directive, HostView, peek } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shortSha } from '@floe/views';
import { publishCommit, system } from './test/commits.ts';
import { startTestServer, TestAgent, type TestServer } from './test/test-server.ts';

// What people ask of a host at once, over the real server and store.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

const deploy = async (host: string, body: object = {}) => await server.ask('POST', `hosts/${host}/deploy`, { reason: 'a hole in sshd', ...body });

async function hostView(name: string): Promise<HostView> {
  return v.parse(HostView, JSON.parse((await server.ask('GET', `hosts/${name}`)).text));
}

/** The directive for this system that comes, or has come, after so many others. */
async function directive(agent: TestAgent, is: (each: Directive) => boolean): Promise<Directive> {
  const { envelope } = await agent.next('directive', (message) => is(opened(message.envelope)));
  return opened(envelope);
}
function opened(envelope: Parameters<typeof peek>[0]): Directive {
  const found = peek(envelope, Directive);
  if (found.kind !== 'opened') throw new Error(found.message);
  return found.statement;
}

let seq = 0;
async function say(agent: TestAgent, epoch: number, state: AgentState, toplevel: StorePath, runs: StorePath): Promise<void> {
  seq += 1;
  const sent = seq;
  const observed = { current: runs, booted: runs, profile: { generation: 1, toplevel: runs } };
  agent.send({ type: 'report', seq: sent, epoch, state, toplevel, observed, detail: { code: 'X', message: 'waits for the window' }, at: 1 });
  await agent.next('ack', (message) => message.seq >= sent);
}

const URGENT = { capabilities: ['urgent'] };

test('a host that waits is told at once by whom and why, until it came to a verdict; the next commit comes as usual', async () => {
  const ada = await server.enrol('ada');
  await using agent = await TestAgent.welcome(server.url, ada, URGENT);
  const first = await publishCommit(server, { ada: system('a1') });
  const plain = await directive(agent, () => true);
  expect(plain).not.toHaveProperty('urgent');
  await say(agent, plain.epoch, 'DEFERRED', system('a1'), system('a0'));

  const until = Date.now() + 3600_000;
  expect(await deploy('ada', { until })).toMatchObject({
    status: 200,
    text: expect.stringContaining(`ada takes ${shortSha(first.sha)} now`) as string,
  });
  const urgent = await directive(agent, ({ epoch }) => epoch > plain.epoch);
  expect(urgent.urgent).toEqual({ level: 'soon', by: 'admin', reason: 'a hole in sshd', until });
  expect(urgent.release).toEqual(plain.release);
  expect((await hostView('ada')).orders).toMatchObject([{ kind: 'deploy', by: 'admin', reason: 'a hole in sshd', until }]);
  const { text } = await server.ask('GET', 'audit?action=deploy');
  expect(text).toContain('a hole in sshd');

  // Somebody is more impatient.
  expect((await deploy('ada', { isNow: true })).status).toBe(200);
  const now = await directive(agent, ({ epoch }) => epoch > urgent.epoch);
  expect(now.urgent?.level).toBe('now');
  await say(agent, now.epoch, 'SUCCEEDED', system('a1'), system('a1'));
  expect((await hostView('ada')).orders).toEqual([]);
  expect(await deploy('ada')).toMatchObject({ status: 409, text: expect.stringContaining('ada runs what it should already') as string });

  await publishCommit(server, { ada: system('a2') });
  const next = await directive(agent, ({ epoch }) => epoch > now.epoch);
  expect(next).not.toHaveProperty('urgent');
  // A connection later, too.
  agent.socket.terminate();
  await using back = await TestAgent.welcome(server.url, ada, URGENT);
  expect(await directive(back, () => true)).not.toHaveProperty('urgent');
});

test('a host that is away takes it when it is back, and an agent that is too old is not asked', async () => {
  const bob = await server.enrol('bob');
  await publishCommit(server, { bob: system('b1') });
  await eventually('bob has a directive', async () => ((await hostView('bob')).desired === null ? undefined : true));
  expect((await deploy('bob')).text).toMatch(/bob is away: it takes [0-9a-f]{10} when it is back before \d{4}-\d\d-\d\d \d\d:\d\d UTC,/);
  await using agent = await TestAgent.welcome(server.url, bob, URGENT);
  expect((await directive(agent, () => true)).urgent).toMatchObject({ level: 'soon', reason: 'a hole in sshd' });
  agent.socket.terminate();
  await using old = await TestAgent.welcome(server.url, bob);
  expect(await directive(old, () => true)).not.toHaveProperty('urgent');
  expect(await deploy('bob')).toMatchObject({ status: 409, text: expect.stringContaining('AGENT_TOO_OLD') as string });
});

const [ring] = DEFAULT_POLICY.rings;
if (ring === undefined) throw new Error('the default policy has a ring');
const POLICY: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: [
    { ...ring, ...defaultGates(0, 2), name: 'canary', members: { hosts: ['eve'], labels: [], share: undefined } },
    { ...ring, ...defaultGates(1, 2), name: 'all' },
  ],
};

test('nobody goes ahead of its ring, a pause or a quarantine, and the answer says what holds it', async () => {
  const [eve, dan] = [await server.enrol('eve'), await server.enrol('dan')];
  const before = await publishCommit(server, { eve: system('e1'), dan: system('d1') });
  await using canary = await TestAgent.welcome(server.url, eve, URGENT);
  await using other = await TestAgent.welcome(server.url, dan, URGENT);
  for (const [agent, first] of [
    [canary, system('e1')],
    [other, system('d1')],
  ] as const)
    await say(agent, (await directive(agent, () => true)).epoch, 'SUCCEEDED', first, first);
  await publishCommit(server, { eve: system('e2'), dan: system('d2') }, POLICY);
  await eventually('eve is told', async () => ((await hostView('eve')).desired?.toplevel === system('e2') ? true : undefined));
  const early = await deploy('dan');
  expect(early.status).toBe(409);
  expect(early.text).toContain('ring all waits for canary');
  // Whoever is kept back is in sync with what it should run: that is not all that there is to say.
  for (const [what, code] of [
    ['quarantine', 'NOTHING_TO_RETRY'],
    ['override', 'NOTHING_TO_RESUME'],
  ] as const) {
    const { status, text } = await server.ask('DELETE', `hosts/dan/${what}`, { reason: 'why does it not take it?' });
    expect([status, text]).toEqual([409, expect.stringContaining(code)]);
    expect(text).toContain(`dan is in sync with ${shortSha(before.sha)}, but kept from the newest commit:\\nring all waits for canary`);
  }

  expect((await server.ask('POST', 'rollout/pause', { reason: 'holidays' })).status).toBe(200);
  const paused = await deploy('eve');
  expect(paused).toMatchObject({ status: 409, text: expect.stringContaining('NOT_ITS_TURN') as string });
  expect(paused.text).toContain('holidays');
  expect((await server.ask('POST', 'rollout/resume', { reason: 'back' })).status).toBe(200);

  await say(canary, 99, 'ROLLED_BACK', system('e2'), system('e1'));
  expect(await deploy('eve')).toMatchObject({ status: 409, text: expect.stringContaining('QUARANTINED') as string });
});

test('pins and holds are seen with who, why, since and until', async () => {
  await server.enrol('fay');
  const { sha } = await publishCommit(server, { fay: system('f1') });
  await eventually('fay has a directive', async () => ((await hostView('fay')).desired === null ? undefined : true));
  const until = Date.now() + 3600_000;
  await server.ask('POST', 'hosts/fay/hold', { reason: 'a trip' });
  await server.ask('POST', 'hosts/fay/pin', { reason: 'demo at noon', until });
  expect((await hostView('fay')).orders).toMatchObject([
    { kind: 'pin', commit: sha, by: 'admin', reason: 'demo at noon', until },
    { kind: 'hold', reason: 'a trip', until: null },
  ]);
  // By their commits: nobody knows numbers.
  await publishCommit(server, { fay: system('f2') });
  const { text: why } = await server.ask('GET', 'hosts/fay/why');
  expect(why).toContain(`pinned to ${sha.slice(0, 10)}"`);
  expect(why).toContain(`held on ${sha.slice(0, 10)}"`);
  await server.ask('DELETE', 'hosts/fay/pin', { reason: 'over' });
  expect((await hostView('fay')).orders).toEqual([]);
});

test('whatever is asked, the answer is one of those that are described, and only a good one changes anything', async () => {
  const gil = await server.enrol('gil');
  await publishCommit(server, { gil: system('g1') });
  await using agent = await TestAgent.welcome(server.url, gil, URGENT);
  await directive(agent, () => true);
  const odd = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.double({ noNaN: true }), fc.constant([]), fc.boolean());
  const anyBody = fc.record(
    {
      reason: fc.oneof({ weight: 3, arbitrary: fc.constant('x') }, odd),
      isNow: fc.oneof({ weight: 3, arbitrary: fc.boolean() }, odd),
      until: fc.oneof(fc.integer({ min: 0, max: 9e15 }), odd),
      level: odd,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(anyBody, async (body) => {
      const before = (await hostView('gil')).desired?.epoch;
      const { status } = await server.ask('POST', 'hosts/gil/deploy', body);
      expect([200, 400]).toContain(status);
      expect((await hostView('gil')).desired?.epoch === before).toBe(status !== 200);
    }),
    { numRuns: 25 },
  );
});
