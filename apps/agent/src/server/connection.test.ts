import { CLOSE_CODES, MAX_FRAME_BYTES, type Hello } from '@floe/protocol';
import { createLogger, systemClock, type Clock } from '@floe/runtime';
import fc from 'fast-check';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Connection } from './connection.ts';
import type { ConnectionHandlers } from './connection-handlers.ts';
import { endingOf } from './ending.ts';
import { HOST, MACHINE_ID } from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';
import { until } from '../test/until.ts';

let server: TestServer;
let stop: AbortController;
let running: Promise<void> | undefined;
const lines: string[] = [];
const sleeps: number[] = [];
/** Waits are noted and over at once: what is tested is how long they would be. */
const clock: Clock = { ...systemClock, sleep: async (ms) => void sleeps.push(ms) };

beforeEach(async () => {
  server = await TestServer.start();
  stop = new AbortController();
  lines.length = 0;
  sleeps.length = 0;
});
afterEach(async () => {
  stop.abort();
  await running;
  await server[Symbol.asyncDispose]();
});

const hello: Hello = {
  type: 'hello',
  protocol: 1,
  agentVersion: '0',
  host: HOST,
  machineId: MACHINE_ID,
  bootId: 'boot',
  system: 'x86_64-linux',
  signature: 'AAAA',
  observed: { current: null, booted: null, profile: null },
  state: 'IDLE',
  toplevel: null,
  epoch: 0,
  sequence: 0,
  reportSeq: 0,
  capabilities: [],
};

function connect(changes: Partial<ConnectionHandlers> = {}, withClock = clock, serverUrl = server.url): { connection: Connection; events: string[] } {
  const events: string[] = [];
  const handlers: ConnectionHandlers = {
    hello: async () => await Promise.resolve(hello),
    welcomed: () => void events.push('welcomed'),
    directive: (_envelope, nonce) => void events.push(`directive on ${nonce}`),
    stage: (_envelope, nonce) => void events.push(`stage on ${nonce}`),
    go: (epoch) => void events.push(`go ${epoch}`),
    acknowledged: (seq) => void events.push(`ack ${seq}`),
    refused: async ({ code, message }) => {
      events.push(`refused ${code}: ${message}`);
      stop.abort();
      return await Promise.resolve(false);
    },
    ...changes,
  };
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  const connection = new Connection({ serverUrl, slowRetryMs: 60_000, clock: withClock, logger, random: () => 0.5 });
  running = connection.run(handlers, stop.signal);
  return { connection, events };
}

test('after the challenge and the hello, messages go both ways', async () => {
  const { connection, events } = connect();
  await until(() => connection.isWelcomed);
  const { peer } = server;
  peer?.send({ type: 'go', epoch: 4, leaseMs: 1 });
  peer?.send({ type: 'ack', seq: 9 });
  await until(() => events.includes('ack 9'));
  expect(events).toEqual(['welcomed', 'go 4', 'ack 9']);
  expect(connection.send({ type: 'ready', epoch: 4 })).toBe(true);
  await until(() => peer?.of('ready').length === 1);
});

test("the server's clock is what it said, whatever this machine's clock says", async () => {
  server.onHello = (peer) => peer.send({ type: 'welcome', serverTime: 1_000_000_000, reportSeq: 0 });
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  expect(connection.serverNow).toBeGreaterThanOrEqual(1_000_000_000);
  expect(connection.serverNow).toBeLessThan(1_000_010_000);
});

test('nothing is sent before the welcome', async () => {
  server.onHello = () => undefined;
  const { connection } = connect();
  await until(() => server.peer !== undefined);
  expect(connection.send({ type: 'ready', epoch: 1 })).toBe(false);
});

test('a lost connection is made again, after a jittered wait', async () => {
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  server.peer?.socket.terminate();
  await until(() => server.peers.length === 2 && connection.isWelcomed);
  expect(sleeps).toEqual([500]);
});

test('a server that is away is tried with growing waits', async () => {
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  const { port } = server;
  await server[Symbol.asyncDispose]();
  await until(() => sleeps.length >= 9);
  expect(sleeps.slice(0, 9)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  expect(lines.filter((line) => line.includes('cannot be reached') && line.includes('"warn"')).length).toBeLessThan(sleeps.length);
  server = await TestServer.start(port);
  await until(() => connection.isWelcomed);
});

test.each([
  ['unauthorized', 'HOST_REVOKED', 'the enrolment of ada was revoked'],
  ['cloned', 'HOST_CLONED', 'two machines'],
  ['protocolUnsupported', 'PROTOCOL_UNSUPPORTED', 'upgrade the agent'],
] as const)('a refusal (%s) is said as the server says it, and tried again slowly', async (name, code, message) => {
  server.onHello = (peer) => {
    peer.send({ type: 'refusal', code, message });
    peer.socket.close(CLOSE_CODES[name], code);
  };
  const refusals: string[] = [];
  connect({
    refused: async (ending) => {
      refusals.push(`${ending.code}: ${ending.message}`);
      if (refusals.length === 3) stop.abort();
      return await Promise.resolve(false);
    },
  });
  await running;
  expect(refusals[0]).toBe(`${code}: ${message}`);
  expect(sleeps.slice(0, 2)).toEqual([60_000 + 30_000, 60_000 + 60_000]);
  expect(lines.join()).toContain('refuses this agent');
});

test('an agent that was admitted in the end connects at once', async () => {
  server.onHello = (peer) => peer.socket.close(CLOSE_CODES.unauthorized, 'HOST_NOT_ENROLLED');
  const { connection } = connect({
    refused: async () => {
      server.onHello = (peer) => peer.send({ type: 'welcome', serverTime: 1, reportSeq: 0 });
      return await Promise.resolve(true);
    },
  });
  await until(() => connection.isWelcomed);
  expect(sleeps).toEqual([0]);
});

test.each([
  ['garbage', '{"type":"go"'],
  ['an unknown message', '{"type":"self-destruct"}'],
  ['a wrong field', '{"type":"go","epoch":-1,"leaseMs":1}'],
])('a frame that is %s ends the connection with a clear log, and the agent comes back', async (_what, frame) => {
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  const first = server.peer;
  first?.send(frame);
  await until(() => server.peers.length === 2);
  expect(first?.closeCode).toBe(CLOSE_CODES.badMessage);
  expect(lines.join()).toContain('broke the protocol');
  expect(sleeps[0]).toBe(500);
});

test('a server that breaks the protocol is retried quickly, and slowly only when it does so repeatedly', async () => {
  server.onHello = (peer) => peer.send({ type: 'go', epoch: 1, leaseMs: 1 });
  connect();
  await until(() => sleeps.length >= 7);
  expect(sleeps.slice(0, 5)).toEqual([500, 1_000, 2_000, 4_000, 8_000]);
  expect(sleeps[5]).toBeGreaterThan(60_000);
});

test('a binary frame ends the connection', async () => {
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  const first = server.peer;
  first?.socket.send(Buffer.from([1, 2, 3]));
  await until(() => first?.closeCode !== undefined);
  expect(first?.closeCode).toBe(CLOSE_CODES.badMessage);
});

test('an oversized frame ends the connection with a clear log', async () => {
  const { connection } = connect();
  await until(() => connection.isWelcomed);
  const first = server.peer;
  first?.send(JSON.stringify({ type: 'refusal', code: 'X', message: 'x'.repeat(MAX_FRAME_BYTES) }));
  await until(() => first?.closeCode === 1009);
  expect(lines.join()).toContain('the connection is broken');
  await until(() => server.peers.length === 2);
});

test('an instruction before the welcome ends the connection', async () => {
  server.onHello = (peer) => peer.send({ type: 'go', epoch: 1, leaseMs: 1 });
  const { events } = connect();
  await until(() => server.peers[0]?.closeCode !== undefined);
  expect(server.peers[0]?.closeCode).toBe(CLOSE_CODES.badMessage);
  expect(events.filter((event) => event.startsWith('go'))).toEqual([]);
});

test('a renewed connection is a new one, welcomed by the server', async () => {
  const { connection } = connect({}, systemClock);
  await until(() => connection.isWelcomed);
  const first = server.peer;
  expect(await connection.renew(5_000, stop.signal)).toBe('welcomed');
  expect(server.peer).not.toBe(first);
  // An open port is not enough.
  server.isTalking = false;
  expect(await connection.renew(300, stop.signal)).toBe('not-reached');
});

test('the many tries of a renewal in vain make no later wait longer', async () => {
  const waits: number[] = [];
  const noting: Clock = { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(ms > 10 ? (waits.push(ms), 1) : ms, signal) };
  const { connection } = connect({}, noting);
  await until(() => connection.isWelcomed);
  await server[Symbol.asyncDispose]();
  expect(await connection.renew(300, stop.signal)).toBe('not-reached');
  const tries = waits.length;
  await until(() => waits.length > tries + 2);
  // By `renew`: half a second apart.
  expect([tries > 8, waits.slice(tries).find((ms) => ms !== 500)]).toEqual([true, 1_000]);
});

/** What is found out at an address where this listens. */
async function foundAt(stranger: Server): Promise<{ renewed: string; events: string[]; why: string; who: string | undefined }> {
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  try {
    const { connection, events } = connect({}, systemClock, `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`);
    const renewed = await connection.renew(200, stop.signal);
    await until(() => lines.some((line) => line.includes('cannot be reached')));
    const who = connection.stranger;
    stop.abort();
    await running;
    return { renewed, events, who, why: lines.filter((line) => line.includes('cannot be reached')).join('\n') };
  } finally {
    stop = new AbortController();
    stranger.closeAllConnections();
    await new Promise((resolve) => stranger.close(resolve));
  }
}

test.each<[string, number, Record<string, string>, string]>([
  ['a redirect to a login page', 302, { location: 'http://login.hotel.example/?next=x' }, 'a captive portal or a proxy answered: a redirect'],
  ['the login page itself', 200, {}, 'a captive portal or a proxy answered: a page of its own'],
  ['a network that asks for a login', 511, {}, 'it asks for a login'],
  ['a proxy that does not get through', 502, {}, 'a proxy answered, which does not get through'],
])('%s is not the server, and is named', async (_what, status, headers, words) => {
  const portal = createServer((_request, response) => response.writeHead(status, headers).end('<html>Welcome</html>'));
  portal.on('upgrade', (_request, socket) => socket.end(`HTTP/1.1 ${status} X\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n`));
  const { renewed, events, why, who } = await foundAt(portal);
  expect({ renewed, events }).toEqual({ renewed: 'not-reached', events: [] });
  expect(why).toContain(words);
  expect(who).toContain(words);
});

test('who answered in its place is forgotten when the server itself answers', async () => {
  const portal = createServer();
  portal.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 511 X\r\ncontent-length: 0\r\n\r\n'));
  await new Promise<void>((resolve) => portal.listen(0, '127.0.0.1', resolve));
  const { port } = portal.address() as AddressInfo;
  const { connection } = connect({}, systemClock, `http://127.0.0.1:${port}`);
  await until(() => connection.stranger !== undefined);
  portal.closeAllConnections();
  await new Promise((resolve) => portal.close(resolve));
  await using itself = await TestServer.start(port);
  expect(await connection.renew(20_000, stop.signal)).toBe('welcomed');
  expect([itself.peers.length > 0, connection.stranger]).toEqual([true, undefined]);
  stop.abort();
  await running;
});

test('nobody who says no challenge is the server, nor refuses anything, whatever is said and however it ends', async () => {
  const someFrame = fc.oneof(
    fc.string({ maxLength: 50 }),
    fc.constantFrom(
      '{"type":"refusal","code":"X","message":"go away"}',
      '{"type":"welcome","serverTime":1,"reportSeq":0}',
      '{"type":"go","epoch":1,"leaseMs":1}',
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(someFrame, { maxLength: 3 }),
      fc.constantFrom(1000, 1011, ...Object.values(CLOSE_CODES), undefined),
      async (frames, code) => {
        const http = createServer();
        const sockets = new WebSocketServer({ server: http });
        sockets.on('connection', (socket: WebSocket) => {
          socket.on('error', () => undefined);
          for (const frame of frames) socket.send(frame);
          if (code === undefined) socket.terminate();
          else socket.close(code, 'bye');
        });
        const { renewed, events, why } = await foundAt(http);
        sockets.close();
        expect({ renewed, events }).toEqual({ renewed: 'not-reached', events: [] });
        expect(why).not.toBe('');
      },
    ),
    { numRuns: 15 },
  );
});

test('a machine that slept knows what time it is, hears nothing that was said before, and reconnects', async () => {
  let sleptMs = 0;
  const { connection, events } = connect({}, { ...systemClock, sinceBoot: () => systemClock.sinceBoot() + sleptMs });
  await until(() => connection.isWelcomed);
  const first = server.peer;
  sleptMs = 8 * 3600_000;
  expect(connection.serverNow).toBeGreaterThan(Date.now() + 7 * 3600_000);
  first?.send({ type: 'go', epoch: 3, leaseMs: 60_000 });
  await until(() => server.peer !== first && connection.isWelcomed);
  expect(events).not.toContain('go 3');
  sleptMs *= 2;
  expect(connection.noticeSleep()).toBe(true);
  expect(connection.noticeSleep()).toBe(false);
});

test('after a sleep the tries are a second apart at most, until the network is there or a minute has passed', async () => {
  let [sleptMs, awakeMs] = [0, 0];
  const waits: number[] = [];
  const waking: Clock = {
    ...clock,
    monotonic: () => awakeMs,
    sinceBoot: () => awakeMs + sleptMs,
    sleep: async (ms, signal) => {
      waits.push(ms);
      await systemClock.sleep(1, signal);
    },
  };
  // Nobody is there, so that waits have become long.
  const { connection } = connect({}, waking, 'http://127.0.0.1:1');
  await until(() => waits.length > 30);
  expect(Math.max(...waits)).toBeGreaterThan(1_000);
  sleptMs = 8 * 3600_000;
  expect(connection.noticeSleep()).toBe(true);
  // The wait under way may be of before.
  const before = waits.length + 2;
  await until(() => waits.length > before + 30);
  expect(Math.max(...waits.slice(before))).toBeLessThanOrEqual(1_000);
  awakeMs += 61_000;
  const later = waits.length + 2;
  await until(() => waits.length > later + 30);
  expect(Math.max(...waits.slice(later))).toBeGreaterThan(1_000);
});

test('no connection is waited for that a server would take at once, however often it is renewed', async () => {
  const pauses: number[] = [];
  const noting: Clock = { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(ms > 10 ? (pauses.push(ms), 0) : ms, signal) };
  const { connection } = connect({}, noting);
  await until(() => connection.isWelcomed);
  for (let renewal = 0; renewal < 3; renewal += 1) expect(await connection.renew(5_000, stop.signal)).toBe('welcomed');
  expect(pauses).toEqual([]);
});

test('every close code that needs a person has a sentence of its own', () => {
  const facts = { reason: '', refusal: undefined, wasChallenged: true, wasWelcomed: true, isUnderstood: true, failure: '', stranger: undefined };
  const endings = [4400, 4401, 4406, 4409, 4423].map((code) => endingOf({ ...facts, code }));
  expect(new Set(endings.map((ending) => ending.kind === 'refused' && ending.message)).size).toBe(5);
  expect(endings.every(({ kind }) => kind === 'refused')).toBe(true);
  for (const code of [1000, 1006, 1011, 1012, 4429]) expect(endingOf({ ...facts, code }).kind).toBe('lost');
});
