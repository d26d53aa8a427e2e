import {
  COUNTED_AS,
  DEFAULT_POLICY,
  defaultGates,
  type AgentState,
  type HostName,
  type RingPolicy,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import { FleetView, RevisionView, RolloutHostsView, WhyView } from '@floe/protocol';
import { eventually, startHttpReceiver, type HttpReceiver } from '@floe/testkit';
import { attentionOf, pauseInWords, ringStateWords, rolloutDecisions } from '@floe/views';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { approveRing, endRollout, publishCommit, publishLate, receiveCommit, system } from '../test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../test/test-server.ts';

/** A ring of these hosts, by default without a soak. */
function ring(index: number, count: number, hosts: readonly string[], changes: Partial<RingPolicy> = {}): RingPolicy {
  const members = { hosts, labels: [], share: undefined };
  const rest = { maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
  return { name: `ring-${index}`, members, ...defaultGates(index, count), soakMs: 0, ...rest, ...changes };
}

function rings(...groups: readonly (readonly string[])[]): RolloutPolicy {
  return { ...DEFAULT_POLICY, rings: groups.map((hosts, index) => ring(index, groups.length, hosts)) };
}

let server: TestServer;
/** Answers as Prometheus does. */
let prometheus: HttpReceiver;
let errors = 'NaN';
let agents: AsyncDisposableStack;
const identities = new Map<string, TestHost>();

beforeAll(async () => {
  prometheus = await startHttpReceiver();
  prometheus.answer = (response) =>
    void response.end(JSON.stringify({ status: 'success', data: { resultType: 'vector', result: [{ metric: {}, value: [1, errors] }] } }));
  const probe = { name: 'errors', kind: 'prometheus', url: prometheus.url, query: 'errors', max: 0.1 };
  server = await startTestServer({
    env: { FLOE_PROBES_FILE: '/probes.json' },
    files: { '/probes.json': JSON.stringify({ probes: [probe] }) },
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await prometheus[Symbol.asyncDispose]();
});
beforeEach(() => void (agents = new AsyncDisposableStack()));
afterEach(async () => {
  await whoIsWhereAddsUp();
  await agents.disposeAsync();
  await endRollout(server);
});

/** Each ring has as many hosts of a kind by name as it counts, wherever a test leaves the rollout. */
async function whoIsWhereAddsUp(): Promise<void> {
  await eventually('the hosts of the rings are as many as are counted', async () => {
    const { sha, rollout: seen } = v.parse(RevisionView, await (await server.request('/api/rollout')).json());
    const asked = await server.request('/api/rollout/hosts');
    // A rollout of which the test made the row unreadable.
    if (asked.status === 404) return true;
    const named = v.parse(RolloutHostsView, await asked.json());
    const counted = seen?.rings.map(({ name, counts }) => COUNTED_AS.map((each) => `${name} ${each} ${counts[each]}`)) ?? [];
    const listed = seen?.rings.map(({ name }) => {
      const own = named.hosts.filter((each) => each.ring === name);
      return COUNTED_AS.map((each) => `${name} ${each} ${own.filter(({ countedAs }) => countedAs === each).length}`);
    });
    return (named.sha === sha && JSON.stringify(listed ?? []) === JSON.stringify(counted)) || undefined;
  });
}

/** A host whose agent does what it is told, by reports alone. */
class Host {
  readonly name: HostName;
  readonly agent: TestAgent;
  #seq = 0;
  #current: StorePath | null = null;

  private constructor(name: string, agent: TestAgent) {
    this.name = name as HostName;
    this.agent = agent;
  }

  static async join(name: string): Promise<Host> {
    const identity = identities.get(name) ?? (await server.enrol(name));
    identities.set(name, identity);
    return new Host(name, agents.use(await TestAgent.welcome(server.url, identity)));
  }

  /** Told to run the system; its epoch. */
  async told(toplevel: StorePath): Promise<number> {
    return await eventually(`${this.name} is told ${toplevel}`, async () => {
      const { desired } = (await server.context.store.hosts.get(this.name)) ?? {};
      return desired?.toplevel === toplevel ? desired.epoch : undefined;
    });
  }

  async ready(toplevel: StorePath): Promise<number> {
    const epoch = await this.told(toplevel);
    await eventually(`${this.name} has its go`, () => {
      this.agent.send({ type: 'ready', epoch });
      return this.agent.messages.some((message) => message.type === 'go' && message.epoch === epoch) || undefined;
    });
    return epoch;
  }

  async run(toplevel: StorePath): Promise<void> {
    const epoch = await this.ready(toplevel);
    this.#current = toplevel;
    await this.report(epoch, 'SUCCEEDED', toplevel);
  }

  async fail(toplevel: StorePath, log?: string): Promise<void> {
    await this.report(await this.ready(toplevel), 'ROLLED_BACK', toplevel, log);
  }

  async report(epoch: number, state: AgentState, toplevel: StorePath, log?: string): Promise<void> {
    this.#seq += 1;
    const seq = this.#seq;
    const observed = {
      current: this.#current,
      booted: this.#current,
      profile: this.#current === null ? null : { generation: seq, toplevel: this.#current },
    };
    const detail = state === 'ROLLED_BACK' ? { code: 'CHECK_FAILED', message: 'the check web did not pass' } : undefined;
    this.agent.send({
      type: 'report',
      seq,
      epoch,
      state,
      toplevel,
      observed,
      ...(detail === undefined ? {} : { detail }),
      ...(log === undefined ? {} : { log }),
      at: 1,
    });
    await this.agent.next('ack', (ack) => ack.seq === seq);
  }

  isTold(toplevel: StorePath): Promise<boolean> {
    return server.context.store.hosts.get(this.name).then((row) => row?.desired?.toplevel === toplevel);
  }
}

async function rollout() {
  return (await server.context.store.hosts.fleet(server.repository.id)).rollout;
}

async function reaches(state: string, at?: number): Promise<void> {
  await eventually(
    `the rollout is ${state}`,
    async () => {
      const course = (await rollout())?.course;
      return course?.state === state && (at === undefined || course.ring === at) ? true : undefined;
    },
    { explain: () => server.lines.slice(-20).join('\n') },
  );
}

async function approve(at: number, role: 'approver' | 'administrator' = 'administrator'): Promise<void> {
  await approveRing(server, at, role);
}

describe('a rollout by rings', () => {
  test('waits until a probe outside says yes, pauses when it says no, and goes on after a resume only when it says yes', async () => {
    const probes = [{ name: 'errors', everyMs: 1_000 }];
    const policy: RolloutPolicy = { ...DEFAULT_POLICY, rings: [ring(0, 2, ['gil'], { probes }), ring(1, 2, ['hal'])] };
    const [gil, hal] = [await Host.join('gil'), await Host.join('hal')];
    errors = 'NaN';
    await publishCommit(server, { gil: system('aprobe'), hal: system('bprobe') }, policy);
    await gil.run(system('aprobe'));
    await reaches('SOAKING', 0);
    const waits = async () => (await server.context.store.hosts.fleet(server.repository.id)).rollout?.probes?.[0];
    await eventually('it was asked in vain, twice', async () => ((await waits())?.tries === 2 ? true : undefined));
    const shown = async () => {
      const { hosts, repository: _, ...fleet } = v.parse(FleetView, await (await server.request('/api/fleet')).json());
      return JSON.stringify([fleet, hosts.length]);
    };
    await eventually('people see what it waits for', async () => (await shown()).includes('probe errors gives no answer') || undefined);
    expect(v.parse(WhyView, await (await server.request('/api/hosts/hal/why')).json())[0]?.text).toContain('probe errors gives no answer');

    errors = '7';
    await reaches('PAUSED', 0);
    expect((await rollout())?.course.pause).toMatchObject({ cause: 'probe', answers: [{ name: 'errors', verdict: 'bad', value: '7', max: 0.1 }] });
    await eventually('people see why', async () => (await shown()).includes('probe errors: 7 is not at most 0.1') || undefined);
    const asked = prometheus.received.length;
    errors = '0';
    const resumed = await server.request('/api/rollout/resume', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'seen' }),
    });
    expect(await resumed.text()).toContain('What errors answered counts no more');
    await hal.told(system('bprobe'));
    expect(prometheus.received.length).toBeGreaterThan(asked);
  });

  test('whose soak began by a clock that was a day ahead soaks as long as it should', async () => {
    const policy: RolloutPolicy = { ...DEFAULT_POLICY, rings: [ring(0, 2, ['ivy'], { soakMs: 2_000 }), ring(1, 2, ['jon'])] };
    const [ivy, jon] = [await Host.join('ivy'), await Host.join('jon')];
    await publishCommit(server, { ivy: system('ahead'), jon: system('behind') }, policy);
    await ivy.run(system('ahead'));
    await eventually('the clock was ahead when its soak began', async () => {
      const current = await rollout();
      if (current?.course.state !== 'SOAKING') return undefined;
      const course = { ...current.course, since: Date.now() + 86_400_000 };
      return (await server.context.store.rollouts.save({ ...current, course }, Date.now(), [])) || undefined;
    });
    await jon.told(system('behind'));
  });

  test('reaches the next ring after the gate of the one before, and stable only when it is complete', async () => {
    const [canary, other] = [await Host.join('a-canary'), await Host.join('a-other')];
    await publishCommit(server, { 'a-canary': system('one'), 'a-other': system('two') }, rings(['a-canary'], []));
    await canary.told(system('one'));
    await reaches('ROLLING', 0);
    expect(await other.isTold(system('two'))).toBe(false);
    await canary.run(system('one'));
    await other.told(system('two'));
    await reaches('ROLLING', 1);
    const stable = async () => {
      const { hosts } = await server.context.store.hosts.fleet(server.repository.id, [canary.name, other.name]);
      return hosts.map(({ situation }) => situation.stable?.toplevel);
    };
    expect(await stable()).toEqual([undefined, undefined]);
    await other.run(system('two'));
    await reaches('COMPLETE');
    expect(await stable()).toEqual([system('one'), system('two')]);
  });

  test('goes on without the hosts of a label that a person paused, whoever has the label, and asks them when that is resumed', async () => {
    const [canary, dns, web] = [await Host.join('y-canary'), await Host.join('y-dns'), await Host.join('y-web')];
    const publish = async (digit: string, labelled: string, canaries: readonly string[] = ['y-canary']) =>
      await publishCommit(
        server,
        { 'y-canary': system(`${digit}1`), 'y-dns': system(`${digit}2`), 'y-web': system(`${digit}3`) },
        { ...rings(canaries, []), labels: { [labelled]: ['role=dns'] } },
      );
    const decide = async (what: 'pause' | 'resume', label = 'role=dns') => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ reason: 'moved', label }) };
      const response = await server.request(`/api/rollout/${what}`, init);
      return `${response.status} ${await response.text()}`;
    };
    const why = async (host: Host) => v.parse(WhyView, await (await server.request(`/api/hosts/${host.name}/why`)).json()).map(({ rule }) => rule);
    const run = async (digit: string, ...hosts: readonly (readonly [Host, number])[]) => {
      await approve(0);
      for (const [host, index] of hosts) await host.run(system(`${digit}${index}`));
    };
    await publish('a', 'y-dns');
    await run('a', [canary, 1], [dns, 2], [web, 3]);
    await reaches('COMPLETE');

    expect(await decide('resume')).toMatch(/^409 .*NOT_PAUSED/);
    expect(await decide('pause', 'no label')).toMatch(/^400 /);
    expect(await decide('pause', 'role=nobody')).toMatch(/^200 .*No host has it now/);
    expect(await decide('pause')).toMatch(/^200 .*1 host has it now/);
    await publish('b', 'y-dns');
    await run('b', [canary, 1], [web, 3]);
    await reaches('COMPLETE');
    expect([await dns.isTold(system('a2')), await why(dns), await why(web)]).toEqual([true, ['label-stop'], []]);
    const { repository, hosts } = v.parse(FleetView, await (await server.request('/api/fleet')).json());
    expect(repository.stops.map(({ label }) => label)).toEqual(['role=dns', 'role=nobody']);
    expect(hosts.filter(({ stops }) => stops.length > 0).map(({ host }) => host)).toEqual(['y-dns']);
    expect(v.parse(RevisionView, await (await server.request('/api/rollout')).json()).rollout?.stops).toEqual(repository.stops);
    expect(await (await server.request('/api/audit?action=pause-rollout')).text()).toContain('the label role=dns: moved');

    // The label is another host's now.
    await publish('c', 'y-web');
    await run('c', [canary, 1], [dns, 2]);
    await reaches('COMPLETE');
    expect([await web.isTold(system('b3')), await why(web)]).toEqual([true, ['label-stop']]);
    expect(await decide('resume')).toMatch(/^200 /);
    await web.run(system('c3'));
    await reaches('COMPLETE');

    // All of the first ring: the other one takes its place.
    expect(await decide('pause')).toMatch(/^200 /);
    await publish('d', 'y-canary');
    await run('d', [dns, 2], [web, 3]);
    await reaches('COMPLETE');
    expect(await canary.isTold(system('c1'))).toBe(true);
    for (const label of ['role=dns', 'role=nobody']) expect(await decide('resume', label)).toMatch(/^200 /);
    await canary.run(system('d1'));
  });

  test('has a host that was away run its stepping stone first', async () => {
    // One that was enrolled just now may come back any moment: nobody waits for it.
    const policy = {
      ...DEFAULT_POLICY,
      rings: [ring(0, 2, ['x-one']), ring(1, 2, [], { successPercent: 50 })],
      steppingStones: ['agent-2'],
    };
    const names = ['x-one', 'x-two', 'x-away'] as const;
    const systems = (prefix: string) => Object.fromEntries(names.map((name, index) => [name, system(`${prefix}${index}`)]));
    const [one, two] = [await Host.join('x-one'), await Host.join('x-two')];
    identities.set('x-away', await server.enrol('x-away'));
    const complete = async (prefix: string, given: RolloutPolicy): Promise<void> => {
      await publishCommit(server, systems(prefix), given);
      // Of the test before, hosts were waited for.
      await approve(0);
      await one.run(system(`${prefix}0`));
      await two.run(system(`${prefix}1`));
      await reaches('COMPLETE');
    };
    await complete('stone', policy);
    await complete('next', policy);
    const away = await Host.join('x-away');
    await away.told(system('stone2'));
    const why = v.parse(WhyView, await (await server.request('/api/hosts/x-away/why')).json());
    expect(why[0]?.text).toMatch(/^it has to run the stepping stone agent-2 \([0-9a-f]{10}\) first, which hosts do not skip$/);
    await away.run(system('stone2'));
    await away.run(system('next2'));
    // Without its name it is none any more; that is weaker. The tests that follow have none.
    await publishCommit(server, systems('last'), rings(['x-one'], []));
    await reaches('WAITING_APPROVAL', 0);
    await approve(0);
    await one.run(system('last0'));
    await two.run(system('last1'));
    await away.run(system('last2'));
    await reaches('COMPLETE');
  });

  test('with a window by each host’s time: its ring begins with the first host, and each changes in its own window', async () => {
    const [here, there] = [await Host.join('z-here'), await Host.join('z-there')];
    const hour = new Date().getUTCHours();
    const timeZones = { 'z-here': 'UTC', 'z-there': 'Etc/GMT-8' };
    const open = { kind: 'allow', cron: `0 ${(hour + 23) % 24} * * *`, durationMs: 3 * 3_600_000, timeZone: 'host' } as const;
    // A last ring without hosts would be weaker than the policy before.
    const policy = { ...DEFAULT_POLICY, rings: [ring(0, 2, ['z-here', 'z-there'], { windows: [open] }), ring(1, 2, [])] };
    await publishCommit(server, { 'z-here': system('one'), 'z-there': system('two'), 'z-other': system('x') }, policy, timeZones);
    await here.run(system('one'));
    const epoch = await there.told(system('two'));
    there.agent.send({ type: 'ready', epoch });
    const why = await eventually('it waits for its own window', async () => {
      const [reason] = v.parse(WhyView, await (await server.request('/api/hosts/z-there/why')).json());
      return reason?.rule === 'window' ? reason : undefined;
    });
    expect(why.text).toMatch(/^the window of ring ring-0 is closed until .*, by its own time zone \(Etc\/GMT-8\)$/);
    expect(there.agent.messages.some(({ type }) => type === 'go')).toBe(false);
    // Its configuration moves it here, and nothing else changes: the window is open for it then.
    await publishCommit(server, { 'z-here': system('one'), 'z-there': system('three'), 'z-other': system('x') }, policy, {
      ...timeZones,
      'z-there': 'UTC',
    });
    await there.run(system('three'));
    await reaches('COMPLETE');
  });

  test('pauses at a failing canary, and nobody else ever hears of it; a fix goes through', async () => {
    const [canary, other] = [await Host.join('b-canary'), await Host.join('b-other')];
    const policy = rings(['b-canary'], []);
    await publishCommit(server, { 'b-canary': system('bad1'), 'b-other': system('bad2') }, policy);
    // The test before left a window behind.
    await approve(0);
    await canary.fail(system('bad1'));
    await reaches('PAUSED');
    expect((await rollout())?.course.pause).toEqual({
      cause: 'failures',
      count: 1,
      failures: [{ host: 'b-canary', toplevel: system('bad1'), reason: 'the check web did not pass' }],
    });
    expect(await other.isTold(system('bad2'))).toBe(false);
    await publishCommit(server, { 'b-canary': system('fix1'), 'b-other': system('fix2') }, policy);
    await approve(0);
    await canary.run(system('fix1'));
    await other.run(system('fix2'));
    await reaches('COMPLETE');
    expect(other.agent.messages.filter(({ type }) => type === 'directive')).toHaveLength(1);
  });

  test('a refused commit on top hides neither the paused rollout below it nor a freeze', async () => {
    const canary = await Host.join('t-canary');
    await Host.join('t-other');
    const { sha } = await publishCommit(server, { 't-canary': system('bad1'), 't-other': system('bad2') }, rings(['t-canary'], []));
    await canary.fail(system('bad1'));
    await reaches('PAUSED');
    const refused = await receiveCommit(server);
    await server.context.store.revisions.advance(refused.id, 'refused', Date.now(), 'its policy cannot be read');
    const fleet = async () => v.parse(FleetView, await (await server.request('/api/fleet')).json());
    const { repository, revision, hosts } = await fleet();
    expect(revision?.sha).toBe(refused.sha);
    expect(repository.followed).toMatchObject({ sha, rollout: { state: 'PAUSED' } });
    expect(attentionOf({ repository, revision, hosts }).find(({ kind }) => kind === 'rollout')?.message).toContain('1 host failed: t-canary');
    const why = v.parse(WhyView, await (await server.request('/api/hosts/t-other/why')).json());
    expect(why.map(({ rule }) => rule)).toEqual(['revision-failed', 'paused', 'ring']);
    const headers = { 'content-type': 'application/json' };
    await server.request('/api/rollout/pause', { method: 'POST', headers, body: JSON.stringify({ reason: 'holidays' }) });
    expect((await fleet()).repository.freeze).toMatchObject({ reason: 'holidays', until: null });
    await server.request('/api/rollout/resume', { method: 'POST', headers, body: JSON.stringify({ reason: 'back' }) });
    expect((await fleet()).repository.freeze).toBeNull();
  });

  test('a pause shows the ends of the logs, and who failed since; a resume acknowledges only what it named', async () => {
    const names = ['u-one', 'u-two', 'u-three'] as const;
    const [one, two, three] = [await Host.join(names[0]), await Host.join(names[1]), await Host.join(names[2])];
    const bad = (name: string): StorePath => system(`bad${name.length}`);
    // A last ring without hosts would be weaker than the policy before.
    await server.enrol('u-other');
    const systems = { ...Object.fromEntries(names.map((name) => [name, bad(name)])), 'u-other': system('other') };
    const { sha } = await publishCommit(server, systems, rings([...names], []));
    const epochs = [await two.ready(bad(names[1])), await three.ready(bad(names[2]))] as const;
    await one.fail(bad(names[0]), 'curl: (7) refused\n'.repeat(200));
    await reaches('PAUSED');
    await two.report(epochs[0], 'ROLLED_BACK', bad(names[1]));
    const seen = v.parse(RevisionView, await (await server.request('/api/rollout')).json());
    expect(seen).toMatchObject({
      sha,
      rollout: { pause: { failures: [{ host: 'u-one' }], later: [{ host: 'u-two', reason: 'the check web did not pass' }] } },
    });
    const of = v.parse(RolloutHostsView, await (await server.request('/api/rollout/hosts?ring=ring-0')).json());
    expect(of.hosts.find(({ host }) => host === 'u-two')).toMatchObject({ countedAs: 'failed', text: /the check web did not pass/ });
    expect(await (await server.request('/api/rollout/hosts?ring=none')).json()).toEqual({ sha, hosts: [] });
    const { pause } = seen.rollout ?? {};
    expect(pause?.failures[0]?.log).toMatch(/^(?:.*\n)?(?:curl: \(7\) refused\n)+$/);
    expect(pause?.failures[0]?.log?.length).toBeLessThanOrEqual(1_500);
    expect(pauseInWords(pause ?? { failures: [], later: [] }).map(({ text }) => text.split('\n').length)).toEqual([11, 1]);
    const resumed = await server.request('/api/rollout/resume', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'seen', since: pause?.since }),
    });
    expect(((await resumed.json()) as { message: string }).message).toContain('u-two failed since it was paused');
    await eventually('the other failure pauses it', async () => {
      const named = (await rollout())?.course.pause;
      return (named?.cause === 'failures' && named.failures.map(({ host }) => host).join() === 'u-two') || undefined;
    });
    await three.report(epochs[1], 'ROLLED_BACK', bad(names[2]));
  });

  describe('what came of each ring', () => {
    const view = async (sha: string) => {
      const { rollout: seen } = v.parse(RevisionView, await (await server.request(`/api/revisions/${sha}`)).json());
      if (seen === null) throw new Error('no rollout');
      return seen;
    };
    const told = ({ rings: all }: Awaited<ReturnType<typeof view>>) =>
      all.map(
        ({ name, state, counts }) =>
          `${name} ${state}: ${counts.verified} of ${counts.eligible} verified, ${counts.failed + counts.acknowledged} failed`,
      );

    test('says why it was paused, also after a newer commit took its place', async () => {
      const canary = await Host.join('s-canary');
      await Host.join('s-other');
      const policy = rings(['s-canary'], []);
      const { sha } = await publishCommit(server, { 's-canary': system('bad1'), 's-other': system('bad2') }, policy);
      await canary.fail(system('bad1'));
      await reaches('PAUSED');
      await publishCommit(server, { 's-canary': system('fix1'), 's-other': system('fix2') }, policy);
      const frozen = await view(sha);
      expect(told(frozen)).toEqual(['ring-0 current: 0 of 1 verified, 1 failed', 'ring-1 to-come: 0 of 1 verified, 0 failed']);
      expect(frozen.pause?.failures).toMatchObject([{ host: 's-canary', reason: 'the check web did not pass' }]);
      expect(frozen.description).toBe('paused at ring ring-0: 1 host failed: s-canary (the check web did not pass)');
      expect(frozen.rings.map((each) => ringStateWords(each, frozen))).toEqual(['superseded', 'not begun']);
    });

    test('stays when the rollout is complete, and when a newer commit follows', async () => {
      const [canary, other] = [await Host.join('r-canary'), await Host.join('r-other')];
      await server.enrol('r-gone');
      const policy = {
        ...DEFAULT_POLICY,
        rings: [ring(0, 2, ['r-canary']), ring(1, 2, [], { successPercent: 50 })],
      };
      const { sha } = await publishCommit(server, { 'r-canary': system('one'), 'r-other': system('two'), 'r-gone': system('two') }, policy);
      // It is weaker than the policy before.
      await approve(0);
      await canary.run(system('one'));
      await other.run(system('two'));
      await reaches('COMPLETE');
      const came = ['ring-0 passed: 1 of 1 verified, 0 failed', 'ring-1 passed: 1 of 2 verified, 0 failed'];
      expect(told(await view(sha))).toEqual(came);
      await publishCommit(server, { 'r-canary': system('three'), 'r-other': system('two'), 'r-gone': system('two') }, policy);
      await canary.run(system('three'));
      const frozen = await view(sha);
      expect(told(frozen)).toEqual(came);
      expect(frozen.frozenAt).not.toBeNull();
      expect(rolloutDecisions({ sha, rollout: frozen })).toEqual([]);
    });
  });

  test('an unrelated commit on top of a paused one is paused by the same failure', async () => {
    const [canary, other] = [await Host.join('c-canary'), await Host.join('c-other')];
    const policy = rings(['c-canary'], []);
    await publishCommit(server, { 'c-canary': system('bad1'), 'c-other': system('bad2') }, policy);
    await canary.fail(system('bad1'));
    await reaches('PAUSED');
    const next = await publishCommit(server, { 'c-canary': system('bad1'), 'c-other': system('bad3') }, policy);
    await eventually('the newer one is paused, too', async () => {
      const current = await rollout();
      return current?.revisionId === next.id && current.state === 'PAUSED' ? true : undefined;
    });
    expect(await other.isTold(system('bad3'))).toBe(false);
  });

  test('goes on from a pause when a person acknowledged the failures, and is paused by new ones only', async () => {
    const [canary, second, other] = [await Host.join('d-canary'), await Host.join('d-second'), await Host.join('d-other')];
    await publishCommit(
      server,
      { 'd-canary': system('bad1'), 'd-second': system('good'), 'd-other': system('two') },
      rings(['d-canary', 'd-second'], []),
    );
    await canary.fail(system('bad1'));
    await reaches('PAUSED');
    const paused = await rollout();
    if (paused === undefined) throw new Error('no rollout');
    const by = { by: 'ada', role: 'operator', reason: 'its disk is broken', at: Date.now() } as const;
    const acknowledged = [{ host: canary.name, toplevel: system('bad1') }];
    await server.context.store.rollouts.order({ rolloutId: paused.id, kind: 'resume', subject: paused.course.since, acknowledged, ...by });
    await second.run(system('good'));
    await other.told(system('two'));
    await other.run(system('two'));
    await reaches('COMPLETE');
  });

  test('lets no more hosts at once through than its limit, and a verdict frees the slot', async () => {
    const hosts = [await Host.join('e-ada'), await Host.join('e-bob'), await Host.join('e-eve')] as const;
    await publishCommit(server, { 'e-ada': system('a'), 'e-bob': system('b'), 'e-eve': system('c') }, { ...DEFAULT_POLICY, maxInFlight: 1 });
    // The tests before had stricter gates.
    await approve(0);
    const [ada, bob] = hosts;
    const epoch = await ada.ready(system('a'));
    await ada.report(epoch, 'ACTIVATING', system('a'));
    const asked = await bob.told(system('b'));
    bob.agent.send({ type: 'ready', epoch: asked });
    // Its report is handled after that question.
    await bob.report(asked, 'ACTIVATING', system('b'));
    expect(bob.agent.messages.some(({ type }) => type === 'go')).toBe(false);
    await ada.report(epoch, 'ROLLED_BACK', system('a'));
    await bob.run(system('b'));
  });

  test('a host that rolled back holds no slot while it follows its next directive', async () => {
    const [ada, bob] = [await Host.join('g-ada'), await Host.join('g-bob')];
    const policy = { ...DEFAULT_POLICY, maxInFlight: 1 };
    await publishCommit(server, { 'g-ada': system('ga'), 'g-bob': system('gb') }, policy);
    await approve(0);
    await ada.fail(system('ga'));
    await publishCommit(server, { 'g-ada': system('ga2'), 'g-bob': system('gb') }, policy);
    await approve(0);
    await ada.report(await ada.told(system('ga2')), 'DOWNLOADING', system('ga2'));
    await bob.run(system('gb'));
  });

  test('a host that waited for its user is asked by what it reported last, before it gets a slot', async () => {
    const [ada, bob] = [await Host.join('h-ada'), await Host.join('h-bob')];
    await publishCommit(server, { 'h-ada': system('ha'), 'h-bob': system('hb') }, DEFAULT_POLICY);
    await approve(0);
    const epoch = await ada.told(system('ha'));
    await ada.report(epoch, 'DEFERRED', system('ha'));
    const { reports } = server.context.store;
    const store = reports.store.bind(reports);
    const held = Promise.withResolvers<undefined>();
    let isHeld = true;
    using _slow = vi.spyOn(reports, 'store').mockImplementation(async (batch) => {
      await held.promise;
      return await store(batch);
    });
    const reported = ada.report(epoch, 'STAGED', system('ha'));
    ada.agent.send({ type: 'ready', epoch });
    const wasHeld = ada.agent.next('go').then(() => isHeld);
    // Who has nothing to report is answered meanwhile.
    await bob.ready(system('hb'));
    isHeld = false;
    held.resolve(undefined);
    await reported;
    expect(await wasHeld).toBe(false);
  });

  test('a host that left before its ring keeps what it had, and takes the newest when it is back', async () => {
    const [canary, other] = [await Host.join('f-canary'), await Host.join('f-other')];
    const policy = rings(['f-canary'], []);
    await publishCommit(server, { 'f-canary': system('one1'), 'f-other': system('one2') }, policy);
    await canary.run(system('one1'));
    await other.run(system('one2'));
    await reaches('COMPLETE');
    other.agent.socket.terminate();
    await other.agent.closed;
    await publishCommit(server, { 'f-canary': system('two1'), 'f-other': system('two2') }, policy);
    await canary.run(system('two1'));
    await publishCommit(server, { 'f-canary': system('three1'), 'f-other': system('three2') }, policy);
    // The second one came to its turn while it was away; the third one has not.
    expect(await other.isTold(system('three2'))).toBe(false);
    await canary.run(system('three1'));
    const back = await Host.join('f-other');
    await back.told(system('three2'));
    expect(back.agent.messages.filter(({ type }) => type === 'directive').length).toBeLessThanOrEqual(2);
  });

  test('a commit that loosens its own gates waits for an administrator, who sees what it loosens', async () => {
    const [canary, other] = [await Host.join('i-canary'), await Host.join('i-other')];
    await publishCommit(server, { 'i-canary': system('one1'), 'i-other': system('one2') }, rings(['i-canary'], []));
    // The test before left other gates behind.
    await approve(0);
    await canary.run(system('one1'));
    await other.run(system('one2'));
    await reaches('COMPLETE');
    await publishCommit(server, { 'i-canary': system('two1'), 'i-other': system('two2') });
    const weaker = await eventually('it is compared', async () => (await rollout())?.weaker);
    expect(weaker.map(({ text }) => text).join('; ')).toContain('ring-0');
    expect(await rollout()).toMatchObject({ state: 'WAITING_APPROVAL' });
    expect([await canary.isTold(system('two1')), await other.isTold(system('two2'))]).toEqual([false, false]);
    await approve(0, 'approver');
    await approve(0);
    await canary.run(system('two1'));
    await other.run(system('two2'));
    await reaches('COMPLETE');
  });

  test.each(['REMOVED', 'EVAL_ERROR'] as const)(
    'a host that is back after commits without it (%s) has not left its ring by that',
    async (outcome) => {
      const name = (host: string) => `m-${outcome.slice(0, 1).toLowerCase()}-${host}`;
      const [canary, other, moved] = [await Host.join(name('canary')), await Host.join(name('other')), await Host.join(name('moved'))];
      const commit = (round: string, of: StorePath | typeof outcome) => ({
        [canary.name]: system(`${round}1`),
        [other.name]: system(`${round}2`),
        [moved.name]: of,
      });
      await publishCommit(server, commit('one', system('one3')), rings([canary.name], []));
      await approve(0);
      await canary.run(system('one1'));
      await other.run(system('one2'));
      await moved.run(system('one3'));
      await reaches('COMPLETE');
      await publishCommit(server, commit('two', outcome), rings([canary.name], []));
      await canary.run(system('two1'));
      await other.run(system('two2'));
      await reaches('COMPLETE');
      // In the ring in which it was, it is as before; another one has to be looked at.
      const back = await publishCommit(server, commit('two', system('two3')), rings([canary.name], []));
      const compared = async (id: string) =>
        await eventually('it is compared', async () => {
          const current = await rollout();
          return current?.revisionId === id ? current.weaker?.map(({ text }) => text) : undefined;
        });
      expect(await compared(back.id)).toEqual([]);
      const first = await publishCommit(server, commit('two', system('bad3')), rings([canary.name, moved.name], []));
      expect(await compared(first.id)).toEqual([`1 host from ring ring-1 to ring ring-0: ${moved.name}`]);
      expect(await rollout()).toMatchObject({ state: 'WAITING_APPROVAL' });
      expect(await moved.isTold(system('bad3'))).toBe(false);
    },
  );

  test('a commit that changes no host does not loosen the gates for the next one', async () => {
    const [canary, other] = [await Host.join('k-canary'), await Host.join('k-other')];
    const both = (round: string) => ({ 'k-canary': system(`${round}1`), 'k-other': system(`${round}2`) });
    await publishCommit(server, both('one'), rings(['k-canary'], []));
    await approve(0);
    await canary.run(system('one1'));
    await other.run(system('one2'));
    await reaches('COMPLETE');
    // The same systems, without the rings.
    const loosened = await publishCommit(server, both('one'));
    await eventually('it is compared', async () => {
      const current = await rollout();
      return current?.revisionId === loosened.id && current.weaker !== undefined ? true : undefined;
    });
    expect(await rollout()).toMatchObject({ state: 'WAITING_APPROVAL' });
    await publishCommit(server, both('bad'));
    await eventually('the next one is compared with the rings, too', async () => ((await rollout())?.weaker?.length ?? 0) > 0 || undefined);
    expect(await rollout()).toMatchObject({ state: 'WAITING_APPROVAL' });
    expect([await canary.isTold(system('bad1')), await other.isTold(system('bad2'))]).toEqual([false, false]);
  });

  test('a host that is built late passes its approvals and gates, although the rollout was complete without it', async () => {
    const [canary, late] = [await Host.join('l-canary'), await Host.join('l-late')];
    const policy = rings(['l-canary'], []);
    const approved: RolloutPolicy = {
      ...policy,
      rings: policy.rings.map((each, index) => (index === 1 ? { ...each, approvals: { count: 1, role: 'approver', notAuthor: false } } : each)),
    };
    const first = { 'l-canary': system('one1'), 'l-late': system('one2') };
    await publishCommit(server, first, approved);
    await approve(0);
    await canary.run(system('one1'));
    await approve(1);
    await late.run(system('one2'));
    await reaches('COMPLETE');
    // The canary does not change, and the other one cannot be built for now.
    const revision = await publishCommit(server, { 'l-canary': system('one1'), 'l-late': 'BUILD_ERROR' }, approved);
    await reaches('COMPLETE');
    await publishLate(server, revision, late.name, { toplevel: system('bad2') });
    await reaches('WAITING_APPROVAL', 1);
    expect(await late.isTold(system('bad2'))).toBe(false);
  });

  test('a host that was held while its ring was asked gets nothing by the end of that without the approvals of its ring', async () => {
    const [canary, held] = [await Host.join('q-canary'), await Host.join('q-held')];
    const { store } = server.context;
    const policy = rings(['q-canary'], []);
    const approved: RolloutPolicy = {
      ...policy,
      rings: policy.rings.map((each, index) => (index === 1 ? { ...each, approvals: { count: 1, role: 'approver', notAuthor: false } } : each)),
    };
    const stable = async () => (await store.hosts.fleet(server.repository.id, [held.name])).hosts[0]?.situation.stable?.toplevel;
    await publishCommit(server, { 'q-canary': system('one1'), 'q-held': system('one2') }, approved);
    await approve(0);
    await canary.run(system('one1'));
    await approve(1);
    await held.run(system('one2'));
    await reaches('COMPLETE');
    const releaseId = (await store.hosts.get(held.name))?.desired?.releaseId ?? '';
    await store.hosts.pin({ host: held.name, kind: 'hold', releaseId, reason: 'a trip', by: 'oscar', at: 1 });
    await publishCommit(server, { 'q-canary': system('two1'), 'q-held': system('two2') }, approved);
    await canary.run(system('two1'));
    await reaches('COMPLETE');
    expect([await stable(), (await rollout())?.course.unapproved]).toEqual([system('one2'), [1]]);
    await store.hosts.unpin(held.name, 'hold');
    await reaches('WAITING_APPROVAL', 1);
    expect(await held.isTold(system('two2'))).toBe(false);
    expect((await rollout())?.course.isReopened).toBe(true);
    await approve(1);
    await held.run(system('two2'));
    await reaches('COMPLETE');
    expect(await stable()).toBe(system('two2'));
  });

  test('a host that is evaluated late in an earlier ring waits for an administrator, as any move does', async () => {
    const [canary, late] = [await Host.join('v-canary'), await Host.join('v-late')];
    const policy = rings(['v-canary'], []);
    await publishCommit(server, { 'v-canary': system('one1'), 'v-late': system('one2'), 'v-other': system('one3') }, policy);
    await approve(0);
    await canary.run(system('one1'));
    await late.run(system('one2'));
    await reaches('COMPLETE');
    const revision = await publishCommit(server, { 'v-canary': system('one1'), 'v-late': 'EVAL_ERROR', 'v-other': system('one3') }, policy);
    await reaches('COMPLETE');
    await publishLate(server, revision, late.name, { toplevel: system('bad2'), ring: 'ring-0' });
    await reaches('WAITING_APPROVAL', 0);
    expect((await rollout())?.weaker?.map(({ text }) => text).join('; ')).toContain('v-late');
    expect(await late.isTold(system('bad2'))).toBe(false);
  });

  test('a host that is evaluated late while a later ring changes waits for an administrator, who approves that very move', async () => {
    const [canary, other, late] = [await Host.join('w-canary'), await Host.join('w-other'), await Host.join('w-late')];
    const policy = rings(['w-canary'], ['w-late', 'w-mid'], []);
    const commit = (round: string, of: StorePath | 'EVAL_ERROR') => ({
      'w-canary': system(`${round}1`),
      'w-other': system(`${round}2`),
      'w-mid': system('one4'),
      'w-late': of,
    });
    await publishCommit(server, commit('one', system('one3')), policy);
    await approve(0);
    await canary.run(system('one1'));
    await late.run(system('one3'));
    await other.run(system('one2'));
    await reaches('COMPLETE');
    const revision = await publishCommit(server, commit('two', 'EVAL_ERROR'), policy);
    await canary.run(system('two1'));
    await reaches('ROLLING', 2);
    await publishLate(server, revision, late.name, { toplevel: system('bad3'), ring: 'ring-2' });
    await reaches('WAITING_APPROVAL', 2);
    expect((await rollout())?.weaker?.map(({ text }) => text)).toEqual(['1 host from ring ring-1 to ring ring-2: w-late']);
    expect([await late.isTold(system('bad3')), await other.isTold(system('two2'))]).toEqual([false, true]);
    await approve(2);
    await late.run(system('bad3'));
    await other.run(system('two2'));
    await reaches('COMPLETE');
  });

  test('with one ring, too: a host that is evaluated late outside of its budget waits for an administrator', async () => {
    const [first, late] = [await Host.join('y-first'), await Host.join('y-late')];
    const policy = { ...DEFAULT_POLICY, budgets: [{ label: 'dns', atMost: 1 }], labels: { [first.name]: ['dns'] } };
    const commit = await publishCommit(server, { 'y-first': system('one1'), 'y-late': 'EVAL_ERROR' }, policy);
    await publishLate(server, commit, late.name, { toplevel: system('one2'), labels: ['dns'] });
    await approve(0);
    await first.run(system('one1'));
    await late.run(system('one2'));
    await reaches('COMPLETE');
    const revision = await publishCommit(server, { 'y-first': system('two1'), 'y-late': 'EVAL_ERROR' }, policy);
    await first.ready(system('two1'));
    await publishLate(server, revision, late.name, { toplevel: system('bad2'), labels: [] });
    await reaches('WAITING_APPROVAL');
    expect((await rollout())?.weaker?.map(({ text }) => text)).toEqual(['1 host without the label dns, which has a budget: y-late']);
    expect(await late.isTold(system('bad2'))).toBe(false);
  });

  test('a host that asks again and again takes no new time for it', async () => {
    const [liar] = [await Host.join('m-liar')];
    await publishCommit(server, { 'm-liar': system('one1') }, DEFAULT_POLICY);
    await approve(0);
    await liar.ready(system('one1'));
    const until = async () => (await server.context.store.hosts.get(liar.name))?.went?.until;
    const first = await until();
    const gos = () => liar.agent.messages.filter(({ type }) => type === 'go').length;
    const before = gos();
    liar.agent.send({ type: 'ready', epoch: await liar.told(system('one1')) });
    await eventually('it is answered again', () => (gos() > before ? true : undefined));
    expect(await until()).toBe(first);
  });

  test('goes on by itself when the host that failed is tried again, and works', async () => {
    const [canary, other] = [await Host.join('n-canary'), await Host.join('n-other')];
    await publishCommit(server, { 'n-canary': system('odd1'), 'n-other': system('odd2') }, rings(['n-canary'], []));
    await approve(0);
    await canary.fail(system('odd1'));
    await reaches('PAUSED');
    await server.context.store.hosts.retry(canary.name, system('odd1'));
    await canary.run(system('odd1'));
    await other.run(system('odd2'));
    await reaches('COMPLETE');
  });

  test('what it does by itself is in the audit log', async () => {
    const canary = await Host.join('g-canary');
    await Host.join('g-other');
    await publishCommit(server, { 'g-canary': system('bad1'), 'g-other': system('bad2') }, rings(['g-canary'], []));
    await approve(0);
    await canary.fail(system('bad1'));
    await reaches('PAUSED');
    const entries = (await (await server.request('/api/audit')).json()) as { actor: string; action: string; detail: string }[];
    expect(entries.find(({ actor }) => actor === 'floe')).toMatchObject({
      action: 'rollout-failed',
      detail: 'paused at ring ring-0: 1 host failed: g-canary (the check web did not pass)',
    });
  });
});
