import { connect } from 'node:net';
import { CLOSE_CODES, MAX_FRAME_BYTES, MAX_HELLO_BYTES, type Report } from '@floe/protocol';
import { systemClock } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestServer, TestAgent, TOPLEVEL, type TestHost, type TestServer } from '../test/test-server.ts';
import { reconcilePresence } from './presence.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function report(seq: number, changes: Partial<Report> = {}): Report {
  return {
    type: 'report',
    seq,
    epoch: 0,
    state: 'IDLE',
    toplevel: null,
    observed: { current: null, booted: null, profile: null },
    at: 1,
    ...changes,
  };
}
const isConnected = async (host: string): Promise<boolean | undefined> => (await server.context.store.hosts.get(host as never))?.isConnected;

describe('order', () => {
  test('nothing overtakes the welcome, however slow the database is and however often the host is looked at', async () => {
    const ada = await server.enrol('order', TOPLEVEL);
    const { store, hub } = server.context;
    const entered = Promise.withResolvers<undefined>();
    const leave = Promise.withResolvers<undefined>();
    const real = store.hosts.connect.bind(store.hosts);
    using _slow = vi.spyOn(store.hosts, 'connect').mockImplementation(async (...args) => {
      const connected = await real(...args);
      entered.resolve(undefined);
      await leave.promise;
      return connected;
    });
    await using agent = new TestAgent(server.url);
    await agent.hello(ada);
    await entered.promise;
    // Its presence is stored, so that passes of the steering want to tell it its directive.
    expect(hub.session(ada.host)).toBeUndefined();
    await store.hosts.retry(ada.host, TOPLEVEL as never);
    await eventually('the host was looked at', () => (server.lines.some((line) => line.includes('"order"')) ? true : undefined));
    leave.resolve(undefined);
    await agent.next('directive');
    expect(agent.messages.map(({ type }) => type).slice(0, 3)).toEqual(['challenge', 'welcome', 'directive']);
  });

  test('of one host that connects twice at once the newer stays, and is the one that is stored', async () => {
    const bob = await server.enrol('twice');
    const agents = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const agent = new TestAgent(server.url);
        await agent.hello(bob);
        return agent;
      }),
    );
    await eventually('one is left', () => (agents.filter(({ socket }) => socket.readyState === socket.OPEN).length === 1 ? true : undefined));
    const session = await eventually('it is admitted', () => server.context.hub.session(bob.host));
    expect(session.isOpen).toBe(true);
    expect(await server.context.store.hosts.get(bob.host)).toMatchObject({ isConnected: true, sessionId: session.id });
    for (const agent of agents) await agent[Symbol.asyncDispose]();
  });

  test('a host that is revoked during its admission is not admitted', async () => {
    const cyd = await server.enrol('revoked');
    const { store, hub } = server.context;
    const real = store.hosts.connect.bind(store.hosts);
    using _revoking = vi.spyOn(store.hosts, 'connect').mockImplementation(async (host, presence) => {
      const connected = await real(host, presence);
      await store.hosts.revoke(host, 1);
      hub.disconnect(host, CLOSE_CODES.unauthorized, 'revoked');
      return connected;
    });
    await using agent = new TestAgent(server.url);
    await agent.hello(cyd);
    expect((await agent.closed).code).toBe(CLOSE_CODES.unauthorized);
    expect(agent.messages.map(({ type }) => type)).not.toContain('welcome');
    await eventually('it is away', async () => ((await isConnected('revoked')) === false ? true : undefined));
  });
});

describe('presence', () => {
  const deps = () => ({
    hosts: server.context.store.hosts,
    clock: systemClock,
    logger: { debug() {}, info() {}, warn() {}, error() {}, child: () => deps().logger } as never,
    sessions: () => new Map<never, never>(),
    onHostChanged: () => undefined,
  });

  test('of a host whose end could not be stored is put right by the next look', async () => {
    const dan = await server.enrol('gone');
    await server.context.store.hosts.connect(dan.host, {
      sessionId: 'here/1',
      bootId: 'b',
      machineId: dan.machineId,
      agentVersion: '0',
      system: 'x',
      observed: { current: null, booted: null, profile: null },
      state: 'IDLE',
      epoch: 0,
      sequence: 0,
      reportSeq: 0,
      at: 1,
    });
    await server.context.store.hosts.renewLease('here', 60_000);
    const here = { ...deps(), serverId: 'here' };
    await reconcilePresence({ ...here, sessionOf: () => 'here/1', isPassing: () => false });
    expect(await isConnected('gone')).toBe(true);
    await reconcilePresence({ ...here, sessionOf: () => undefined, isPassing: (id) => id === 'here/1' });
    expect(await isConnected('gone')).toBe(true);
    await reconcilePresence({ ...here, sessionOf: () => undefined, isPassing: () => false });
    expect(await isConnected('gone')).toBe(false);
  });

  test('of a host that is really there comes back when something else ended it', async () => {
    const eva = await server.enrol('there');
    await using _agent = await TestAgent.welcome(server.url, eva);
    const session = server.context.hub.session(eva.host);
    await server.context.store.hosts.disconnectAll(undefined, 1);
    const sessions = () => new Map([[eva.host, { id: session?.id ?? '' }]]) as never;
    const serverId = session?.id.split('/')[0] ?? '';
    await reconcilePresence({ ...deps(), serverId, sessions, sessionOf: () => session?.id, isPassing: () => false });
    expect(await isConnected('there')).toBe(true);
  });
});

test('the end of a server ends the presence of all its hosts by one write', async () => {
  const own = await startTestServer();
  const { hosts } = own.context.store;
  const names = ['first', 'second', 'third'];
  const agents = await Promise.all(names.map(async (name) => await TestAgent.welcome(own.url, await own.enrol(name))));
  using each = vi.spyOn(hosts, 'disconnect');
  using all = vi.spyOn(hosts, 'disconnectAll');
  await own[Symbol.asyncDispose]();
  for (const agent of agents) await agent[Symbol.asyncDispose]();
  expect(each).not.toHaveBeenCalled();
  expect(await Promise.all(all.mock.results.map(async ({ value }) => await value))).toEqual([names.length]);
});

describe('a stranger', () => {
  test.each([
    ['many hellos', (send: (text: string) => void) => Array.from({ length: 5_000 }, () => send('{"type":"hello"}'))],
    ['a frame as large as any may be', (send: (text: string) => void) => send('x'.repeat(MAX_FRAME_BYTES - 100))],
    ['a little more than a hello may be', (send: (text: string) => void) => send('x'.repeat(MAX_HELLO_BYTES + 1))],
  ])('that sends %s is read no further than a hello, and costs no look at the database', async (_name, attack) => {
    const { hosts } = server.context.store;
    using looks = vi.spyOn(hosts, 'get');
    await using agent = new TestAgent(server.url);
    await agent.next('challenge');
    attack((text) => agent.socket.send(text));
    expect((await agent.closed).code).toBe(CLOSE_CODES.badMessage);
    expect(looks).not.toHaveBeenCalled();
  });

  test('that says hello after hello, each of the right form, is looked up once', async () => {
    using looks = vi.spyOn(server.context.store.hosts, 'get');
    await using agent = new TestAgent(server.url);
    const zoe = { host: 'zoe' as never, machineId: 'b'.repeat(32), signer: (await server.enrol('key-of-another')).signer };
    await agent.hello(zoe);
    for (let n = 0; n < 10; n += 1) await agent.hello(zoe);
    expect((await agent.closed).code).toBe(CLOSE_CODES.unauthorized);
    expect(looks).toHaveBeenCalledTimes(1);
  });

  test('that pings without end and reads nothing is cut', async () => {
    const key =
      'GET /agent HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(key);
    socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => Buffer.from([0x89, 0x80, 0, 0, 0, 0]))));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  });
});

describe('hellos', () => {
  test('of one address that take forever, and claim to be whoever, do not delay a good host’s welcome', async () => {
    const guest = await server.enrol('guest', TOPLEVEL);
    const { hosts } = server.context.store;
    const real = hosts.get.bind(hosts);
    const never = Promise.withResolvers<undefined>();
    let heldLooks = 0;
    using _slow = vi.spyOn(hosts, 'get').mockImplementation(async (host) => {
      if (!host.startsWith('made-up-')) return await real(host);
      heldLooks += 1;
      return await never.promise;
    });
    const hostile = await Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        const agent = new TestAgent(server.url, '127.6.6.6');
        await agent.hello({ ...guest, host: `made-up-${n}` as never });
        return agent;
      }),
    );
    await eventually('its places are taken', () => (heldLooks >= 8 ? true : undefined));
    await using agent = new TestAgent(server.url, '127.0.0.7');
    await agent.hello(guest);
    await agent.next('directive');
    expect(heldLooks).toBe(8);
    never.resolve(undefined);
    for (const each of hostile) await each[Symbol.asyncDispose]();
  });

  test('of a host that comes again and again cost bounded work, and the last of them is welcome', async () => {
    const loop = await server.enrol('crash-loop', TOPLEVEL);
    using looks = vi.spyOn(server.context.store.hosts, 'get');
    using connects = vi.spyOn(server.context.store.hosts, 'connect');
    const start = performance.now();
    for (let n = 0; n < 45; n += 1) {
      const before = looks.mock.calls.length;
      await using agent = new TestAgent(server.url);
      await agent.hello(loop);
      await eventually('it was heard', () => (looks.mock.calls.length > before ? true : undefined));
    }
    const seconds = (performance.now() - start) / 1000;
    expect(connects.mock.calls.length).toBeLessThanOrEqual(21 + seconds / 2);
    await using last = await TestAgent.welcome(server.url, loop);
    await last.next('directive');
  });
});

test.each(['is still open', 'was closed'])('a connection that is judged after a newer one of its host replaces nothing, when it %s', async (what) => {
  const host = await server.enrol(`judged-late-${what.length}`);
  const { hosts } = server.context.store;
  const real = hosts.get.bind(hosts);
  const [asked, held] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  using looks = vi.spyOn(hosts, 'get').mockImplementationOnce(async (name) => {
    asked.resolve(undefined);
    await held.promise;
    return await real(name);
  });
  const realConnect = hosts.connect.bind(hosts);
  const stored = Promise.withResolvers<undefined>();
  using connects = vi.spyOn(hosts, 'connect').mockImplementation(async (name, presence) => {
    await stored.promise;
    return await realConnect(name, presence);
  });
  await using older = new TestAgent(server.url);
  await older.hello(host);
  await asked.promise;
  await using newer = new TestAgent(server.url);
  await newer.hello(host);
  await eventually('the newer one is being stored', () => (connects.mock.calls.length > 0 ? true : undefined));
  if (what === 'was closed') await older[Symbol.asyncDispose]();
  held.resolve(undefined);
  await eventually('the older one was judged', () => (looks.mock.settledResults[0]?.type === 'fulfilled' ? true : undefined));
  if (what !== 'was closed') expect((await older.closed).code).toBe(CLOSE_CODES.replaced);
  stored.resolve(undefined);
  await newer.next('welcome');
  expect(connects).toHaveBeenCalledTimes(1);
});

test('of each host of a fleet that comes back one hello is stored at a time, and then its newest alone', async () => {
  const fleet: TestHost[] = [];
  for (let n = 0; n < 12; n += 1) fleet.push(await server.enrol(`returning-${n}`));
  const { hosts } = server.context.store;
  const real = hosts.connect.bind(hosts);
  const held = Promise.withResolvers<undefined>();
  const asked: string[] = [];
  using _slow = vi.spyOn(hosts, 'connect').mockImplementation(async (host, presence) => {
    asked.push(host);
    await held.promise;
    return await real(host, presence);
  });
  using looks = vi.spyOn(hosts, 'get');
  const agents: TestAgent[] = [];
  const comeAll = async (): Promise<void> => {
    const before = looks.mock.calls.length;
    for (const host of fleet) {
      const agent = new TestAgent(server.url);
      agents.push(agent);
      await agent.hello(host);
    }
    await eventually('each hello was judged', () => (looks.mock.calls.length >= before + fleet.length ? true : undefined));
  };
  const names = fleet.map(({ host }) => String(host)).toSorted();
  await comeAll();
  await eventually('all are being stored', () => (asked.length >= fleet.length ? true : undefined));
  // Their agents gave up, and come again.
  await comeAll();
  await comeAll();
  for (const agent of agents.slice(0, -fleet.length)) expect((await agent.closed).code).toBe(CLOSE_CODES.replaced);
  expect(asked.toSorted()).toEqual(names);
  held.resolve(undefined);
  for (const agent of agents.slice(-fleet.length)) await agent.next('welcome');
  expect(asked.toSorted()).toEqual([...names, ...names].toSorted());
  for (const agent of agents) await agent[Symbol.asyncDispose]();
});

describe('a host that floods', () => {
  test('with reports has few of them in memory at a time, and every one is stored', async () => {
    const flo = await server.enrol('flood');
    const { reports } = server.context.store;
    const real = reports.store.bind(reports);
    let largest = 0;
    using _watched = vi.spyOn(server.context.store.reports, 'store').mockImplementation(async (batch) => {
      largest = Math.max(largest, batch.filter(({ host }) => host === flo.host).length);
      return await real(batch);
    });
    await using agent = await TestAgent.welcome(server.url, flo);
    for (let seq = 1; seq <= 300; seq += 1) agent.send(report(seq));
    await agent.next('ack', ({ seq }) => seq === 300);
    expect(largest).toBeLessThanOrEqual(64);
  });

  test('with ready has one of them looked at at a time, and others have their turns between them', async () => {
    const [gus, hal] = [await server.enrol('noisy'), await server.enrol('quiet')];
    const { hosts } = server.context.store;
    const real = hosts.takeSlot.bind(hosts);
    let [now, most, looks] = [0, 0, 0];
    using _watched = vi.spyOn(hosts, 'takeSlot').mockImplementation(async (repositoryId, host, judge) => {
      if (host !== gus.host) return await real(repositoryId, host, judge);
      now += 1;
      looks += 1;
      most = Math.max(most, now);
      const went = await real(repositoryId, host, judge);
      now -= 1;
      return went;
    });
    await using noisy = await TestAgent.welcome(server.url, gus);
    for (let n = 0; n < 30_000; n += 1) noisy.send({ type: 'ready', epoch: 1 });
    await using quiet = await TestAgent.welcome(server.url, hal);
    quiet.send(report(1));
    await quiet.next('ack');
    expect((await server.request('/api/fleet')).status).toBe(200);
    expect(most).toBe(1);
    // Others are not served after it, but between its messages.
    expect(looks).toBeLessThan(200);
  });
});

describe('a disk that was copied, machine id and all', () => {
  test('is found when its machines take turns, told, and shut out until an administrator decides', async () => {
    const ivy = await server.enrol('copied');
    const agents: TestAgent[] = [];
    for (const bootId of ['one', 'two', 'three', 'one', 'two', 'three']) {
      const agent = new TestAgent(server.url);
      agents.push(agent);
      await agent.hello(ivy, { bootId });
      await agent.next('welcome').catch(() => undefined);
    }
    await eventually('it is shut out', async () => ((await server.context.store.hosts.get(ivy.host))?.clonedAt === undefined ? undefined : true));
    await using again = new TestAgent(server.url);
    await again.hello(ivy);
    expect(await again.next('refusal')).toMatchObject({ code: 'HOST_CLONED' });
    const audit = await server.context.store.audit.list({ limit: 20 });
    expect(audit.find(({ subject }) => subject === 'copied')?.detail).toContain('two machines take turns');
    for (const agent of agents) await agent[Symbol.asyncDispose]();
  });

  test('is not seen in a laptop that changes networks, nor in a machine that reboots', async () => {
    const joe = await server.enrol('laptop');
    const before: TestAgent[] = [];
    for (let n = 0; n < 6; n += 1) {
      const agent = await TestAgent.welcome(server.url, joe, { bootId: `boot ${Math.floor(n / 2)}` });
      before.push(agent);
      // Its old socket looks alive, but nobody is there.
      agent.socket.pause();
      agent.socket.removeAllListeners('message');
    }
    await using last = await TestAgent.welcome(server.url, joe, { bootId: 'boot 9' });
    expect((await server.context.store.hosts.get(joe.host))?.clonedAt).toBeUndefined();
    expect(last.socket.readyState).toBe(last.socket.OPEN);
    for (const { socket } of before) socket.terminate();
  });
});
