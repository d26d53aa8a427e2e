import { DEFAULT_POLICY, defaultGates, VERDICT_MS, type AgentState, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import { systemClock } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { approveRing, publishCommit, system } from '../test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../test/test-server.ts';

// A host that got its go, and was silent until its watchdog must have acted.

let server: TestServer;
let laterMs = 0;
let seq = 0;
const ada = 'ada' as HostName;
const bad = system('bad');

beforeEach(async () => {
  laterMs = 0;
  seq = 0;
  server = await startTestServer({
    clock: { ...systemClock, now: () => systemClock.now() + laterMs },
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
});
afterEach(async () => await server[Symbol.asyncDispose]());

const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const ring = (index: number, hosts: readonly string[]) => ({
  ...first,
  ...defaultGates(index, 2),
  name: `ring-${index}`,
  soakMs: 0,
  members: { hosts, labels: [], share: undefined },
});
const POLICY: RolloutPolicy = { ...DEFAULT_POLICY, rings: [ring(0, ['ada']), ring(1, [])] };

async function told(toplevel: StorePath, above = 0): Promise<number> {
  return await eventually(`ada is told ${toplevel}`, async () => {
    const row = await server.context.store.hosts.get(ada);
    const epoch = row?.desired?.toplevel === toplevel ? row.epoch : 0;
    return epoch > above ? epoch : undefined;
  });
}

async function report(agent: TestAgent, epoch: number, state: AgentState, current: StorePath | null = null): Promise<void> {
  seq += 1;
  const own = seq;
  const observed = { current, booted: current, profile: current === null ? null : { generation: own, toplevel: current } };
  agent.send({ type: 'report', seq: own, epoch, state, toplevel: bad, observed, at: 1 });
  await agent.next('ack', (ack) => ack.seq === own);
}

const gos = (agent: TestAgent, epoch: number): number => agent.messages.filter((each) => each.type === 'go' && each.epoch === epoch).length;

async function getsItsGo(agent: TestAgent, epoch: number): Promise<void> {
  await eventually('it has its go', () => {
    agent.send({ type: 'ready', epoch });
    return gos(agent, epoch) > 0 ? true : undefined;
  });
}

async function reaches(state: string): Promise<void> {
  await eventually(`the rollout is ${state}`, async () => {
    const { rollout } = await server.context.store.hosts.fleet(server.repository.id);
    return rollout?.course.state === state ? true : undefined;
  });
}

async function retry(): Promise<Response> {
  return await server.request('/api/hosts/ada/quarantine', {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'the cable is in again' }),
  });
}

/** Ada had its go, was lost with it, which paused the rollout, and is back. */
async function isLostAndBack(identity: TestHost): Promise<readonly [agent: TestAgent, epoch: number]> {
  await publishCommit(server, { ada: bad }, POLICY);
  await approveRing(server, 0, 'administrator');
  let epoch = 0;
  {
    await using agent = await TestAgent.welcome(server.url, identity);
    epoch = await told(bad);
    await report(agent, epoch, 'STAGED');
    await getsItsGo(agent, epoch);
  }
  await eventually('it is away', async () => ((await server.context.store.hosts.get(ada))?.isConnected === false ? true : undefined));
  laterMs += VERDICT_MS + 60_000;
  // Who enrols is a reason to look at the rollout, which would also be done after half a minute.
  await server.enrol('bob');
  await reaches('PAUSED');
  return [await TestAgent.welcome(server.url, identity), epoch];
}

test('is asked again in the pause when a person has it try again, and the rollout goes on when it works', async () => {
  const identity = await server.enrol('ada');
  const [back, epoch] = await isLostAndBack(identity);
  await using agent = back;
  // By itself it gets none.
  await report(agent, epoch, 'STAGED');
  agent.send({ type: 'ready', epoch });
  await report(agent, epoch, 'STAGED');
  expect(gos(agent, epoch)).toBe(0);

  expect((await retry()).status).toBe(204);
  const again = await told(bad, epoch);
  await report(agent, again, 'OFFERED');
  await report(agent, again, 'STAGED');
  await getsItsGo(agent, again);
  await report(agent, again, 'SUCCEEDED', bad);
  await reaches('COMPLETE');
});
