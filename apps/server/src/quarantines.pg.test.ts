import { DEFAULT_POLICY, type AgentState, type HostName, type StorePath } from '@floe/model';
import { Directive, HostView, peek, WhyView } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { startTestServer, TestAgent, type TestServer } from './test/test-server.ts';

// What people quarantine, over the real server and store.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

const hostView = async (name: string): Promise<HostView> => v.parse(HostView, JSON.parse((await server.ask('GET', `hosts/${name}`)).text));
const why = async (name: string): Promise<WhyView> => v.parse(WhyView, JSON.parse((await server.ask('GET', `hosts/${name}/why`)).text));
const stableOf = async (name: string): Promise<StorePath | undefined> => {
  const { hosts } = await server.context.store.hosts.fleet(server.repository.id);
  return hosts.find(({ row }) => row.host === name)?.situation.stable?.toplevel;
};
const isComplete = async (): Promise<true | undefined> => {
  const { rollout } = await server.context.store.hosts.fleet(server.repository.id, []);
  return rollout?.state === 'COMPLETE' || undefined;
};

function opened(envelope: Parameters<typeof peek>[0]): Directive {
  const found = peek(envelope, Directive);
  if (found.kind !== 'opened') throw new Error(found.message);
  return found.statement;
}
async function directive(agent: TestAgent, is: (each: Directive) => boolean): Promise<Directive> {
  return opened((await agent.next('directive', (message) => is(opened(message.envelope)))).envelope);
}
const told = (agent: TestAgent): readonly Directive[] =>
  agent.messages.flatMap((message) => (message.type === 'directive' ? [opened(message.envelope)] : []));

let seq = 0;
async function say(agent: TestAgent, epoch: number, state: AgentState, toplevel: StorePath, runs: StorePath): Promise<void> {
  seq += 1;
  const sent = seq;
  const observed = { current: runs, booted: runs, profile: { generation: 1, toplevel: runs } };
  agent.send({ type: 'report', seq: sent, epoch, state, toplevel, observed, at: 1 });
  await agent.next('ack', (message) => message.seq >= sent);
}

const QUARANTINE = 'hosts/ada/ordered-quarantine';

test('a system that a person quarantined on a host is taken back, is not told from another commit either, and is told again when that is lifted', async () => {
  const ada = await server.enrol('ada');
  await using agent = await TestAgent.welcome(server.url, ada, { capabilities: ['stage', 'trial'] });
  await publishCommit(server, { ada: system('a1') });
  const first = await directive(agent, () => true);
  await say(agent, first.epoch, 'SUCCEEDED', system('a1'), system('a1'));
  await eventually('a1 is stable', async () => ((await stableOf('ada')) === system('a1') ? true : undefined));

  const { sha: commit } = await publishCommit(server, { ada: system('a2') });
  const second = await directive(agent, ({ epoch }) => epoch > first.epoch);
  await say(agent, second.epoch, 'BOOT_STAGED', system('a2'), system('a1'));
  const ordered = await server.ask('POST', QUARANTINE, { reason: 'its card hangs', commit });
  expect(ordered).toMatchObject({ status: 200, text: expect.stringContaining('from whichever commit') as string });
  const back = await directive(agent, ({ epoch }) => epoch > second.epoch);
  expect(back).toMatchObject({ mode: 'stage', release: second.release });
  await say(agent, back.epoch, 'STAGED', system('a2'), system('a1'));

  expect(await hostView('ada')).toMatchObject({
    standing: 'kept-back',
    orders: [{ kind: 'quarantine', commit, by: 'admin', reason: 'its card hangs', until: null }],
  });
  expect(await why('ada')).toContainEqual({
    rule: 'ordered-quarantine',
    text: `admin quarantined the system of ${commit.slice(0, 10)} on it: its card hangs`,
    end: `push another commit, or: floe quarantine ada ${commit.slice(0, 10)} --lift --reason "…"`,
  });
  expect((await server.ask('GET', 'audit?action=quarantine')).text).toContain('its card hangs');
  // Nobody is left to ask, and nothing that nobody ran becomes stable.
  await eventually('the rollout is over', isComplete);
  expect(await stableOf('ada')).toBe(system('a1'));

  for (const [path, body] of [
    ['hosts/ada/pin', { commit }],
    ['hosts/ada/trial', { commit }],
    ['hosts/ada/deploy', {}],
  ] as const)
    expect(await server.ask('POST', path, { reason: 'x', ...body })).toMatchObject({
      status: 409,
      text: expect.stringContaining('QUARANTINED') as string,
    });
  expect(await server.ask('DELETE', 'hosts/ada/quarantine', { reason: 'x' })).toMatchObject({
    status: 409,
    text: expect.stringContaining('floe quarantine ada') as string,
  });

  // The same system from another commit; the host hears of the one after that.
  await publishCommit(server, { ada: system('a2') });
  await eventually('that rollout is over, too', isComplete);
  await publishCommit(server, { ada: system('a3') });
  const third = await directive(agent, ({ epoch }) => epoch > back.epoch);
  expect(told(agent).slice(-2)).toEqual([back, third]);
  await say(agent, third.epoch, 'SUCCEEDED', system('a3'), system('a3'));
  await eventually('a3 is stable', async () => ((await stableOf('ada')) === system('a3') ? true : undefined));

  expect((await server.ask('DELETE', QUARANTINE, { reason: 'a new card', commit })).status).toBe(200);
  expect(await server.ask('DELETE', QUARANTINE, { reason: 'x', commit })).toMatchObject({
    status: 409,
    text: expect.stringContaining('floe retry ada') as string,
  });
  expect((await hostView('ada')).orders).toEqual([]);
  await publishCommit(server, { ada: system('a2') });
  const again = await directive(agent, ({ epoch }) => epoch > third.epoch);
  expect(again.mode).not.toBe('stage');
});

test('what a commit changed runs on no host, also on one that comes later, until that is lifted; a host that runs it keeps it', async () => {
  const [bob, cyd] = [await server.enrol('bob'), await server.enrol('cyd')];
  await using agent = await TestAgent.welcome(server.url, bob, { capabilities: ['stage'] });
  const { sha: commit } = await publishCommit(server, { bob: system('b1'), cyd: system('c1') });
  const first = await directive(agent, () => true);
  await say(agent, first.epoch, 'SUCCEEDED', system('b1'), system('b1'));

  const ordered = await server.ask('POST', 'ordered-quarantine', { reason: 'eats the mail', commit });
  expect(ordered).toMatchObject({ status: 200, text: expect.stringContaining('2 hosts: bob, cyd') as string });
  expect(JSON.parse(ordered.text)).toMatchObject({ hosts: ['bob', 'cyd'] });
  expect(await hostView('bob')).toMatchObject({ standing: 'in-sync', orders: [{ kind: 'quarantine-all', commit }] });
  await using late = await TestAgent.welcome(server.url, cyd, { capabilities: ['stage'] });
  await eventually('cyd is here', async () => (await hostView('cyd')).isConnected || undefined);
  expect(await hostView('cyd')).toMatchObject({ standing: 'kept-back' });
  expect(told(late)).toEqual([]);

  // As the pipeline does when the commit is evaluated again: its own releases are the last ones by then.
  const { store } = server.context;
  const { id } = (await store.revisions.newestPublished(server.repository.id))!;
  const again = (await store.revisions.evaluations(id)).map((row) => ({ ...row, outcome: 'UNCHANGED' as const }));
  await store.revisions.saveEvaluations(id, again);
  expect(await hostView('cyd')).toMatchObject({ standing: 'kept-back', orders: [{ kind: 'quarantine-all', commit }] });
  // It is about the same hosts, whatever the rows say of what it changed.
  const repeated = await server.ask('POST', 'ordered-quarantine', { reason: 'eats the mail', commit });
  expect(JSON.parse(repeated.text)).toMatchObject({ hosts: ['bob', 'cyd'] });
  const submitted = { storePath: system('c1'), reason: 'x' };
  await using newer = await TestAgent.welcome(server.url, cyd, { capabilities: ['stage', 'submitted', 'once'] });
  await eventually('its agent takes store paths', async () =>
    (await server.ask('POST', 'hosts/cyd/submission', submitted)).text.includes('AGENT_TOO_OLD') ? undefined : true,
  );
  expect(await server.ask('POST', 'hosts/cyd/submission', submitted)).toMatchObject({
    status: 409,
    text: expect.stringContaining('--lift') as string,
  });

  expect((await server.ask('DELETE', 'ordered-quarantine', { reason: 'it was the disk', commit })).status).toBe(200);
  expect((await directive(newer, () => true)).epoch).toBeGreaterThan(0);
});

test('a system that waits for a restart is taken back while a label of its host is paused; a pin passes over that, and a deploy does not', async () => {
  await using agent = await TestAgent.welcome(server.url, await server.enrol('eve'), { capabilities: ['stage', 'urgent'] });
  const policy = { ...DEFAULT_POLICY, labels: { eve: ['role=dns'] } };
  const { sha: commit } = await publishCommit(server, { eve: system('e1') }, policy);
  const first = await directive(agent, () => true);
  await say(agent, first.epoch, 'BOOT_STAGED', system('e1'), system('e0'));
  expect((await server.ask('POST', 'rollout/pause', { reason: 'moved', label: 'role=dns' })).status).toBe(200);
  const back = await directive(agent, ({ epoch }) => epoch > first.epoch);
  expect(back.mode).toBe('stage');
  await say(agent, back.epoch, 'STAGED', system('e1'), system('e0'));
  expect(await hostView('eve')).toMatchObject({ stops: [{ label: 'role=dns', by: 'admin', reason: 'moved', until: null }] });
  expect(await why('eve')).toMatchObject([{ rule: 'label-stop', end: 'floe rollout resume --label role=dns --reason "…"' }]);
  expect(await server.ask('POST', 'hosts/eve/deploy', { reason: 'x' })).toMatchObject({
    status: 409,
    text: expect.stringContaining('role=dns') as string,
  });
  expect((await server.ask('POST', 'hosts/eve/pin', { reason: 'x', commit })).status).toBe(200);
  const pinned = await directive(agent, ({ epoch }) => epoch > back.epoch);
  expect(pinned.mode).not.toBe('stage');
  expect((await server.ask('DELETE', 'hosts/eve/pin', { reason: 'x' })).status).toBe(200);
  expect((await server.ask('POST', 'rollout/resume', { reason: 'there', label: 'role=dns' })).status).toBe(200);
  expect((await hostView('eve')).stops).toEqual([]);
});

test('a commit that has no system for the host, or that nobody knows, is refused and changes nothing', async () => {
  await server.enrol('dan');
  const { sha: commit } = await publishCommit(server, { ada: system('a9') });
  const order = async (body: object) => await server.ask('POST', 'hosts/dan/ordered-quarantine', { reason: 'x', ...body });
  expect(await order({ commit })).toMatchObject({ status: 409, text: expect.stringContaining('NO_RELEASE') as string });
  expect(await order({ commit: '0'.repeat(40) })).toMatchObject({ status: 404, text: expect.stringContaining('REVISION_UNKNOWN') as string });
  expect((await order({})).status).toBe(400);
  expect((await hostView('dan')).orders).toEqual([]);
});

test('a quarantine with an end is lifted by itself then, with an entry in the log; one that was ordered again stays', async () => {
  await server.enrol('gil');
  const { sha: commit } = await publishCommit(server, { gil: system('g1') });
  const path = 'hosts/gil/ordered-quarantine';
  const until = Date.now() + 3_600_000;
  expect(await server.ask('POST', path, { reason: 'until its card is replaced', commit, until: 5 })).toMatchObject({ status: 400 });
  expect(await server.ask('POST', path, { reason: 'until its card is replaced', commit, until })).toMatchObject({ status: 200 });
  expect(await hostView('gil')).toMatchObject({ orders: [{ kind: 'quarantine', commit, reason: 'until its card is replaced', until }] });
  const { hosts } = server.context.store;
  const order = { repositoryId: server.repository.id, host: 'gil' as HostName, commit, by: 'ada', reason: 'briefly', at: 1 };
  expect(await hosts.liftQuarantine({ ...order, endedBy: until - 1 })).toBe(false);
  // Its end has come.
  await hosts.orderQuarantine({ ...order, until: 5 });
  await eventually('it is lifted', async () => ((await hostView('gil')).orders.length === 0 ? true : undefined));
  const entries = await server.context.store.audit.list({ limit: 20 });
  expect(entries.find(({ actor, subject }) => actor === 'floe' && subject === 'gil')).toMatchObject({
    action: 'quarantine',
    detail: expect.stringMatching(/^lifted, of .*its end has come, which ada set$/) as string,
  });
  for (const host of [undefined, 'gil' as HostName]) await hosts.orderQuarantine({ ...order, host, until: 5 });
  await eventually('all of them are', async () => ((await hostView('gil')).orders.length === 0 ? true : undefined));
});
