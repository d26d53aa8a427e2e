import { DEFAULT_POLICY, defaultGates, type AgentState, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import { Directive, peek, PermitStatement } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { approveRing, publishCommit, system } from '../test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../test/test-server.ts';

let server: TestServer;
let agents: AsyncDisposableStack;

beforeAll(async () => {
  server = await startTestServer({
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
});
afterAll(async () => await server[Symbol.asyncDispose]());
beforeEach(() => void (agents = new AsyncDisposableStack()));
afterEach(async () => await agents.disposeAsync());

/** One ring, the first host's canary ring before it, and no soak. */
function canaryFirst(canary: string, changes: Partial<RolloutPolicy> = {}): RolloutPolicy {
  const rest = { soakMs: 0, maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
  const ring = (name: string, index: number, hosts: readonly string[]) => ({
    name,
    members: { hosts, labels: [], share: undefined },
    ...defaultGates(index, 2),
    ...rest,
  });
  return { ...DEFAULT_POLICY, rings: [ring('canary', 0, [canary]), ring('all', 1, [])], ...changes };
}

/** A host whose agent does what it is told, by its reports. */
class Host {
  readonly name: HostName;
  readonly #identity: TestHost;
  agent: TestAgent | undefined;
  #seq = 0;
  #runs: StorePath | null = null;
  #accepted = { epoch: 0, sequence: 0 };
  #last: { state: AgentState; toplevel: StorePath | null } = { state: 'IDLE', toplevel: null };

  constructor(name: string, identity: TestHost) {
    this.name = name as HostName;
    this.#identity = identity;
  }

  static async join(name: string, capabilities: readonly string[] = ['permit', 'once']): Promise<Host> {
    const host = new Host(name, await server.enrol(name));
    await host.connect(capabilities);
    return host;
  }

  async connect(capabilities: readonly string[] = ['permit', 'once']): Promise<void> {
    const hello = { ...this.#accepted, ...this.#last, capabilities: [...capabilities], observed: this.#observed, reportSeq: this.#seq };
    this.agent = agents.use(await TestAgent.welcome(server.url, this.#identity, hello));
  }

  async leave(): Promise<void> {
    await this.agent?.[Symbol.asyncDispose]();
  }

  get #observed() {
    const profile = this.#runs === null ? null : { generation: 1, toplevel: this.#runs };
    return { current: this.#runs, booted: this.#runs, profile };
  }

  /** The newest directive for the system, as this connection brought it. */
  async directive(toplevel: StorePath, mode: Directive['mode'] = 'activate'): Promise<Directive> {
    return await eventually(`${this.name} is told to ${mode} ${toplevel}`, () => {
      const newest = (this.agent?.messages ?? [])
        .flatMap((message) => (message.type === 'directive' ? [opened(message.envelope, Directive)] : []))
        .at(-1);
      if (newest?.mode !== mode) return undefined;
      const release = JSON.parse(Buffer.from(newest.release.payload, 'base64').toString('utf8')) as { toplevel: string; sequence: number };
      if (release.toplevel !== toplevel) return undefined;
      this.#accepted = { epoch: newest.epoch, sequence: Math.max(this.#accepted.sequence, release.sequence) };
      return newest;
    });
  }

  async go(toplevel: StorePath): Promise<Directive> {
    const directive = await this.directive(toplevel);
    const { epoch } = directive;
    await eventually(`${this.name} has its go`, () => {
      this.agent?.send({ type: 'ready', epoch });
      return this.agent?.messages.some((message) => message.type === 'go' && message.epoch === epoch) === true || undefined;
    });
    return directive;
  }

  async run(toplevel: StorePath): Promise<Directive> {
    const directive = await this.go(toplevel);
    this.#runs = toplevel;
    await this.report(directive.epoch, 'SUCCEEDED', toplevel);
    return directive;
  }

  async report(epoch: number, state: AgentState, toplevel: StorePath): Promise<void> {
    this.#seq += 1;
    const seq = this.#seq;
    this.#last = { state, toplevel };
    this.agent?.send({ type: 'report', seq, epoch, state, toplevel, observed: this.#observed, at: 1 });
    await this.agent?.next('ack', (ack) => ack.seq === seq);
  }

  async row() {
    return await server.context.store.hosts.get(this.name);
  }
}

function opened<T extends typeof Directive | typeof PermitStatement>(envelope: Parameters<typeof peek>[0], schema: T) {
  const read = peek(envelope, schema);
  if (read.kind !== 'opened') throw new Error(read.message);
  return read.statement as T extends typeof Directive ? Directive : PermitStatement;
}

async function rollout() {
  const current = (await server.context.store.hosts.fleet(server.repository.id)).rollout;
  if (current === undefined) throw new Error('no rollout');
  return current;
}

async function reaches(state: string): Promise<void> {
  await eventually(`the rollout is ${state}`, async () => (await rollout()).state === state || undefined, {
    explain: () => server.lines.slice(-20).join('\n'),
  });
}

async function api<T>(method: string, path: string, body?: object): Promise<T> {
  const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' };
  const response = await server.request(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

interface Seen {
  readonly sha: string;
  readonly rollout: {
    readonly state: string;
    readonly description: string;
    readonly revert: { readonly back: number; readonly total: number } | null;
  };
}

async function abort(revert: boolean): Promise<{ readonly message: string }> {
  const { sha } = await api<Seen>('GET', '/api/rollout');
  return await api('POST', '/api/rollout/abort', { reason: 'it broke the printers', commit: sha, revert });
}

/** Publishes, and approves what is weaker than what other tests had. */
async function publish(hosts: Readonly<Record<string, StorePath>>, policy: RolloutPolicy) {
  const revision = await publishCommit(server, hosts, policy);
  await approveRing(server, 0);
  return revision;
}

async function settle(hosts: Readonly<Record<string, StorePath>>, canary: string, joined: readonly Host[]): Promise<void> {
  await publish(hosts, canaryFirst(canary));
  for (const host of joined) await host.run(hosts[host.name] as StorePath);
  await reaches('COMPLETE');
}

describe('abort with revert', () => {
  test('brings those back that were told the commit, by permits, also when they return; nobody else is told anything', async () => {
    const [canary, away, other] = [await Host.join('a-canary'), await Host.join('a-away'), await Host.join('a-other')];
    const names = { 'a-canary': system('a1'), 'a-away': system('a2'), 'a-other': system('a3') };
    await settle(names, 'a-canary', [canary, away, other]);
    const stable = (await canary.row())?.desired?.sequence ?? 0;
    const bad = { 'a-canary': system('abad1'), 'a-away': system('abad2'), 'a-other': system('a3') };
    await publish(bad, canaryFirst('a-canary'));
    await canary.run(system('abad1'));
    await away.run(system('abad2'));
    await reaches('COMPLETE');
    // What is complete is stable: only the next one can be aborted.
    const worse = { 'a-canary': system('worse1'), 'a-away': system('worse2'), 'a-other': system('worse3') };
    await publish(worse, {
      ...canaryFirst('a-canary'),
      rings: canaryFirst('a-canary').rings.map((ring) => ({ ...ring, soakMs: 3600_000 })),
    });
    await canary.run(system('worse1'));
    await reaches('SOAKING');
    await canary.leave();
    expect(await abort(true)).toMatchObject({ message: expect.stringContaining('1 host goes back') as string });
    await reaches('ABORTED');
    await eventually('it is written', async () => (await canary.row())?.desired?.toplevel === system('abad1') || undefined);
    expect((await api<Seen>('GET', '/api/rollout')).rollout).toMatchObject({ revert: { back: 0, total: 1, without: [] } });

    await canary.connect();
    const directive = await canary.run(system('abad1'));
    if (directive.permit === undefined) throw new Error('no permit');
    const permit = opened(directive.permit, PermitStatement);
    expect(permit).toMatchObject({ host: 'a-canary', toplevel: system('abad1'), actor: 'admin', reason: 'it broke the printers' });
    expect(permit.onlyFor).toMatchObject({ machineId: directive.machineId, epoch: directive.epoch });
    expect([permit.sequence > stable, permit.floor > permit.sequence]).toEqual([true, true]);
    await eventually('it is told to people', async () => {
      const { rollout: seen } = await api<Seen>('GET', '/api/rollout');
      return /aborted: 1 of 1 host is back on [0-9a-f]{10}$/.test(seen.description) || undefined;
    });
    for (const host of [away, other]) expect((await host.row())?.desired?.sequence).toBeLessThan(permit.floor);
    // On every connection, with a permit of its own.
    await canary.leave();
    await canary.connect();
    const repeated = await canary.directive(system('abad1'));
    if (repeated.permit === undefined) throw new Error('no permit');
    const { machineId, nonce } = opened(repeated.permit, PermitStatement);
    expect({ machineId, nonce }).toEqual({ machineId: repeated.machineId, nonce: repeated.nonce });
    expect(nonce).not.toBe(permit.nonce);
    // And forward again, without one.
    const fix = { 'a-canary': system('fix1'), 'a-away': system('fix2'), 'a-other': system('fix3') };
    await publish(fix, canaryFirst('a-canary'));
    expect((await canary.run(system('fix1'))).permit).toBeUndefined();
    await away.run(system('fix2'));
    await other.run(system('fix3'));
    await reaches('COMPLETE');
  });

  test('leaves an agent alone that is too old, and says so; a host without stable is named', async () => {
    const [old, fresh] = [await Host.join('b-old', []), await Host.join('b-fresh')];
    await settle({ 'b-old': system('b1'), 'b-fresh': system('b2') }, 'b-old', [old, fresh]);
    const newcomer = await Host.join('b-new');
    const next = { 'b-old': system('b3'), 'b-fresh': system('b4'), 'b-new': system('b5') };
    const [first, last] = canaryFirst('b-old').rings;
    if (first === undefined || last === undefined) throw new Error('two rings');
    const policy = { ...canaryFirst('b-old'), rings: [first, { ...last, soakMs: 3600_000 }] };
    await publish(next, policy);
    for (const host of [old, fresh, newcomer]) await host.run(next[host.name as keyof typeof next]);
    await reaches('SOAKING');
    await abort(false);
    await reaches('ABORTED');
    // Asked after the abort.
    const { message } = await abort(true);
    expect(message).toMatch(/2 hosts go back .*b-new has no such release/);
    await fresh.run(system('b2'));
    expect((await newcomer.row())?.desired?.toplevel).toBe(system('b5'));
    await eventually('the old one is told nothing, which its page says', async () => {
      const { hosts } = await api<{ hosts: { host: string; problem: string | null; standing: string }[] }>('GET', '/api/fleet');
      const by = new Map(hosts.map((each) => [each.host, each]));
      return (by.get('b-old')?.problem?.includes('too old') === true && by.get('b-fresh')?.standing === 'kept-back') || undefined;
    });
    expect(old.agent?.messages.filter(({ type }) => type === 'directive')).toHaveLength(2);
    expect((await api<Seen>('GET', '/api/rollout')).rollout.description).toMatch(
      /1 of 2 hosts are back on .*; b-new had no stable .*; the agent of b-old cannot/,
    );
  });
});

describe('a system that waits for a restart', () => {
  test('is taken back by a pause, and may be activated again after it', async () => {
    const host = await Host.join('c-boot');
    await publish({ 'c-boot': system('c1') }, canaryFirst('c-boot'));
    const { epoch } = await host.go(system('c1'));
    await host.report(epoch, 'BOOT_STAGED', system('c1'));
    await api('POST', '/api/rollout/pause', { reason: 'holidays' });
    const staged = await host.directive(system('c1'), 'stage');
    expect(staged.epoch).toBeGreaterThan(epoch);
    await host.report(staged.epoch, 'STAGED', system('c1'));
    await api('POST', '/api/rollout/resume', { reason: 'they are over' });
    const again = await host.run(system('c1'));
    expect(again.epoch).toBeGreaterThan(staged.epoch);
    await reaches('COMPLETE');
  });
});

describe('a pin below what a host was told', () => {
  test('brings it there with a permit, and it stays there when the pin ends, until something newer is its turn', async () => {
    const host = await Host.join('d-pin');
    const first = await publish({ 'd-pin': system('d1') }, canaryFirst('d-pin'));
    await host.run(system('d1'));
    await reaches('COMPLETE');
    await publish({ 'd-pin': system('d2') }, canaryFirst('d-pin'));
    await host.run(system('d2'));
    await reaches('COMPLETE');
    await api('POST', '/api/hosts/d-pin/pin', { reason: 'demo', commit: first.sha });
    const directive = await host.run(system('d1'));
    if (directive.permit === undefined) throw new Error('no permit');
    expect(opened(directive.permit, PermitStatement)).toMatchObject({ reason: 'demo', actor: 'admin', toplevel: system('d1') });
    await api('DELETE', '/api/hosts/d-pin/pin', { reason: 'over' });
    // The rollout that is complete has a newer one: forward, to what it was told before.
    expect((await host.run(system('d2'))).permit).toBeUndefined();
  });
});
