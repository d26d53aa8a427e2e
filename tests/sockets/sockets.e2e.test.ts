import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askOddly, faultOf, oddRequest } from '../../apps/server/src/test/odd-requests.ts';
import { enrolHost, TestAgent, TOPLEVEL, type TestHost } from '../../apps/server/src/test/test-server.ts';
import { noteOutcome } from '../outcomes.ts';
import { ambiguousRequests } from './ambiguous.ts';
import { freePort, startBareServer, type BareServer } from './bare-server.ts';
import { floods } from './floods.ts';
import { startNginx } from './nginx.ts';
import { playMany } from './wire-player.ts';

/** Of the scripts; `npm run fuzz` sets another one, and more runs. */
const SEED = Number(process.env['FLOE_FUZZ_SEED'] ?? 20261128);
const RUNS = Number(process.env['FLOE_FUZZ_RUNS'] ?? 400);
const ROUND = 200;
const MAX_RESIDENT_BYTES = 500 * 1024 * 1024;

let server: BareServer;
let nginx: AsyncDisposable;
let nginxPort: number;
let honest: TestHost;

beforeAll(async () => {
  server = await startBareServer();
  honest = await enrolHost(server.store, server.repository, 'honest', TOPLEVEL);
  nginxPort = await freePort();
  nginx = await startNginx(nginxPort, server.port);
});
afterAll(async () => {
  await nginx?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

/** What must hold after any attack. */
async function isUnharmed(port: number, told: string): Promise<void> {
  await isServed(port, told);
  expect(server.bugs, `${told}: its log`).toEqual([]);
  await eventually(`${told}: its memory is bounded`, async () => ((await server.residentBytes()) < MAX_RESIDENT_BYTES ? true : undefined), {
    timeoutMs: 20_000,
  });
}

async function isServed(port: number, told: string): Promise<void> {
  expect(server.process.isRunning, `${told}: the server runs\n${server.process.log()}`).toBe(true);
  const url = `http://127.0.0.1:${port}`;
  const health = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(20_000) });
  expect(health.status, `${told}: /healthz`).toBe(200);
  await using agent = new TestAgent(url);
  await agent.hello(honest);
  await agent.next('directive');
  expect(agent.messages.map(({ type }) => type)).toEqual(['challenge', 'welcome', 'directive']);
}

test('a body in chunks of one byte costs what its length costs', async () => {
  const before = await server.residentBytes();
  const head = `POST /webhooks/github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\nX-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n\r\n`;
  const sockets = Array.from({ length: 4 }, () => connect(server.port, '127.0.0.1'));
  const answers = sockets.map(async (socket) => {
    socket.on('error', () => undefined);
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    socket.write(head);
    for (let sent = 0; sent < 600; sent += 1) socket.write('1\r\nx\r\n'.repeat(1_000));
    socket.write('0\r\n\r\n');
    return await answer;
  });
  expect(await Promise.all(answers)).toEqual(Array(4).fill(expect.stringContaining('SIGNATURE_WRONG')));
  expect((await server.residentBytes()) - before).toBeLessThan(250 * 1024 * 1024);
  for (const socket of sockets) socket.destroy();
  await isUnharmed(server.port, 'after it');
});

describe('any bytes, in any order, with any end', () => {
  test.each([
    ['straight', () => server.port],
    ['through nginx', () => nginxPort],
  ])(
    'leave the server as it was: %s',
    async (way, portOf) => {
      for (let done = 0; done < RUNS; done += ROUND) {
        await playMany(portOf(), SEED + done, Math.min(ROUND, RUNS - done));
        await isUnharmed(portOf(), `${way}, seed ${SEED + done}`);
      }
    },
    60_000 + RUNS * 100,
  );
});

describe('a request of which two readers see different ends', () => {
  test.each([
    ['straight', () => server.port],
    ['through nginx', () => nginxPort],
  ])('lets no second request pass the proxy in it: %s', async (_way, portOf) => {
    const inner = 'GET /denied HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const answers = ambiguousRequests(inner).map(async ({ name, bytes }) => {
      const socket = connect(portOf(), '127.0.0.1');
      socket.on('error', () => undefined);
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString('latin1')));
      socket.write(bytes, 'latin1');
      // One that waits for the rest of a body has taken the second request for a part of it.
      await Promise.race([new Promise((resolve) => socket.once('close', resolve)), delay(1_500)]);
      socket.destroy();
      return { name, isPassed: text.includes('nothing at /denied') };
    });
    expect((await Promise.all(answers)).filter(({ isPassed }) => isPassed)).toEqual([]);
    await isUnharmed(portOf(), 'after them');
  });
});

test('odd requests through nginx, many at a time, are answered as they are without', async () => {
  const requests = fc.sample(oddRequest, { seed: SEED, numRuns: Math.min(RUNS, 400) });
  const next = requests.values();
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (const odd of next) {
        const answer = await askOddly(nginxPort, server.token, odd);
        // A body that is not wanted is not read, so that nginx cannot send all of it.
        const isCutOff = answer.status === 502 && (odd.body?.length ?? 0) > 16_384;
        expect(isCutOff ? undefined : faultOf(odd, answer), JSON.stringify(odd).slice(0, 500)).toBeUndefined();
      }
    }),
  );
  await isUnharmed(nginxPort, 'after them');
});

test('all floods at once keep neither the fleet nor another host waiting', { timeout: 120_000 }, async () => {
  const handles = await server.openHandles();
  const stop = new AbortController();
  const hosts = await Promise.all(floods.map(async (_flood, n) => await enrolHost(server.store, server.repository, `flood-${n}`)));
  const flooding = floods.map(async ({ run }, n) => {
    const host = hosts[n];
    if (host !== undefined) await run({ url: server.url, port: server.port, host, signal: stop.signal });
  });
  let longestMs = 0;
  for (let n = 0; n < 5; n += 1) {
    const start = performance.now();
    const fleet = await fetch(`${server.url}/api/fleet`, {
      headers: { authorization: `Bearer ${server.token}` },
      signal: AbortSignal.timeout(20_000),
    });
    expect(fleet.status).toBe(200);
    await fleet.arrayBuffer();
    await isServed(server.port, `look ${n}`);
    longestMs = Math.max(longestMs, performance.now() - start);
  }
  stop.abort();
  await Promise.all(flooding);
  noteOutcome({ table: 'Sockets', tried: 'all floods at once', came: `the fleet and a welcome within ${Math.ceil(longestMs)} ms` });
  await isUnharmed(server.port, 'after the floods');
  await eventually('its handles are back', async () => ((await server.openHandles()) <= handles + 10 ? true : undefined), { timeoutMs: 30_000 });
});
