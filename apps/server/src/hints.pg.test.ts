import { DEFAULT_POLICY, defaultGates, type RingPolicy, type RolloutPolicy, type StorePath } from '@floe/model';
import { peek, ReleaseStatement, StageHint, type RolloutView, type WhyView } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { noBuilder, startTestServer, TestAgent, type TestHost, type TestServer } from './test/test-server.ts';

let server: TestServer;
let agents: AsyncDisposableStack;
const identities = new Map<string, TestHost>();

beforeAll(async () => {
  server = await startTestServer({
    runPipeline: noBuilder,
  });
});
afterAll(async () => await server[Symbol.asyncDispose]());
beforeEach(() => void (agents = new AsyncDisposableStack()));
afterEach(async () => await agents.disposeAsync());

function policyOf(groups: readonly (readonly string[])[], changes: readonly Partial<RingPolicy>[] = []): RolloutPolicy {
  const rest = { soakMs: 0, maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
  const rings = groups.map((hosts, index): RingPolicy => ({
    name: `ring-${index}`,
    members: { hosts, labels: [], share: undefined },
    ...defaultGates(index, groups.length),
    ...rest,
    ...changes[index],
  }));
  return { ...DEFAULT_POLICY, rings, downloads: { ahead: true, spreadMs: 77_000 } };
}

async function join(name: string, capabilities: readonly string[] = ['stage']): Promise<TestAgent> {
  const identity = identities.get(name) ?? (await server.enrol(name));
  identities.set(name, identity);
  return agents.use(await TestAgent.welcome(server.url, identity, { capabilities: [...capabilities] }));
}

const Named = v.object({ toplevel: ReleaseStatement.entries.toplevel });

function hintsOf(agent: TestAgent): readonly (StageHint & { readonly toplevel: StorePath })[] {
  return agent.messages.flatMap((message) => {
    if (message.type !== 'stage') return [];
    const hint = peek(message.envelope, StageHint);
    if (hint.kind !== 'opened') throw new Error(hint.message);
    const release = peek(hint.statement.release, Named);
    if (release.kind !== 'opened') throw new Error(release.message);
    return [{ ...hint.statement, toplevel: release.statement.toplevel }];
  });
}

async function hinted(agent: TestAgent, toplevel: StorePath): Promise<StageHint> {
  await agent.next('stage');
  return await eventually('the hint', () => hintsOf(agent).find((hint) => hint.toplevel === toplevel));
}

let seq = 0;
/** Reports what came of its newest directive. */
async function end(name: string, agent: TestAgent, toplevel: StorePath, state: 'SUCCEEDED' | 'ROLLED_BACK'): Promise<void> {
  const epoch = await eventually(`${name} is told`, async () => {
    const { desired } = (await server.context.store.hosts.get(identityOf(name).host)) ?? {};
    return desired?.toplevel === toplevel ? desired.epoch : undefined;
  });
  await eventually(`${name} has its go`, () => {
    agent.send({ type: 'ready', epoch });
    return agent.messages.some((message) => message.type === 'go' && message.epoch === epoch) || undefined;
  });
  seq += 1;
  const current = state === 'SUCCEEDED' ? toplevel : null;
  const observed = { current, booted: current, profile: current === null ? null : { generation: 1, toplevel: current } };
  agent.send({ type: 'report', seq, epoch, state, toplevel, observed, at: 1 });
  await agent.next('ack', (ack) => ack.seq >= seq);
}

function identityOf(name: string): TestHost {
  const identity = identities.get(name);
  if (identity === undefined) throw new Error(`${name} did not join`);
  return identity;
}

async function ask<T>(path: string): Promise<T> {
  return (await (await server.request(path)).json()) as T;
}

test('hosts whose ring is to come are hinted at their release, on each connection, and no others; from their turn on not any more', async () => {
  const names = ['a-canary', 'b-pinned', 'c-old-agent', 'd-quarantined', 'y-next', 'z-last'];
  const [canary, pinned, old, quarantined, next, last] = await Promise.all([
    join('a-canary'),
    join('b-pinned'),
    join('c-old-agent', []),
    join('d-quarantined'),
    join('y-next'),
    join('z-last'),
  ]);
  const { hosts } = server.context.store;
  const content = (of: string) => Object.fromEntries(names.map((name) => [name, system(`${of}${name[0]}`)]));
  await publishCommit(server, { ...content('1'), 'd-quarantined': system('2d') });
  for (const name of names) await eventually(`${name} is told`, async () => (await hosts.get(identityOf(name).host))?.desired);
  const told = (await hosts.get(identityOf('b-pinned').host))?.desired?.releaseId ?? '';
  await hosts.pin({ host: identityOf('b-pinned').host, kind: 'pin', releaseId: told, by: 'ada', reason: 'kept', at: 1 });
  await hosts.quarantine(identityOf('d-quarantined').host, system('2d'), 'rolled back', 1);
  await publishCommit(server, content('2'), policyOf([['a-canary'], ['b-*', 'c-*', 'd-*', 'y-*'], []]));

  const hint = await hinted(next, system('2y'));
  expect(hint).toMatchObject({ host: 'y-next', machineId: identityOf('y-next').machineId, spreadMs: 77_000 });
  expect(hint.nonce).toBe((await next.next('challenge')).nonce);
  expect(hint.expiresAt).toBeGreaterThan(Date.now());
  // The last by name: with its hint, all of that pass are sent.
  await hinted(last, system('2z'));
  for (const agent of [canary, pinned, old, quarantined]) expect(hintsOf(agent)).toEqual([]);

  next.send({ type: 'staged', toplevel: system('2y') });
  await eventually('it is counted', async () => {
    const { rollout } = await ask<{ rollout: RolloutView }>('/api/rollout');
    return rollout.rings.map(({ downloaded }) => downloaded).join() === '0,1,0' ? true : undefined;
  });
  const why = await ask<WhyView>('/api/hosts/y-next/why');
  expect(why[0]?.text).toMatch(/^ring ring-1 waits for ring-0: .*; it has the system downloaded$/);

  await next[Symbol.asyncDispose]();
  const again = await join('y-next');
  await hinted(again, system('2y'));
  expect(hintsOf(last)).toHaveLength(1);

  await end('a-canary', canary, system('2a'), 'SUCCEEDED');
  await eventually('its turn comes', async () => (await hosts.get(identityOf('y-next').host))?.desired?.toplevel === system('2y') || undefined);
  await again[Symbol.asyncDispose]();
  const directed = await join('y-next');
  await last[Symbol.asyncDispose]();
  await hinted(await join('z-last'), system('2z'));
  expect(hintsOf(directed)).toEqual([]);
  expect((await directed.next('directive')).envelope.type).toBe('floe/directive');
});

test('while a rollout waits for approvals hosts are hinted, while it is paused they are not', async () => {
  const [canary, other] = [await join('a-first'), await join('z-other')];
  const { store } = server.context;
  const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
  const content = { 'a-first': system('3a'), 'a-second': system('3b'), 'z-other': system('3z') };
  await join('a-second');
  await publishCommit(server, content, policyOf([['a-first', 'a-second'], []], [{ approvals }]));
  await hinted(other, system('3z'));
  await hinted(canary, system('3a'));

  const id = (await store.hosts.fleet(server.repository.id)).rollout?.id ?? '';
  const by = { by: 'ada', role: 'administrator', reason: 'seen' } as const;
  await store.rollouts.order({ rolloutId: id, kind: 'approve', subject: 0, ...by, at: Date.now() });
  await end('a-first', canary, system('3a'), 'ROLLED_BACK');
  await eventually('it pauses', async () => ((await store.hosts.fleet(server.repository.id)).rollout?.state === 'PAUSED' ? true : undefined));
  await other[Symbol.asyncDispose]();
  const back = await join('z-other');
  await eventually('it is seen', async () => (await store.hosts.get(identityOf('z-other').host))?.isConnected || undefined);
  const resumedAt = Date.now();
  const paused = (await store.hosts.fleet(server.repository.id)).rollout?.course.since ?? 0;
  const acknowledged = [{ host: identityOf('a-first').host, toplevel: system('3a') }];
  await store.rollouts.order({ rolloutId: id, kind: 'resume', subject: paused, acknowledged, ...by, at: resumedAt });
  const hint = await hinted(back, system('3z'));
  expect(hint.issuedAt).toBeGreaterThanOrEqual(resumedAt);
});
