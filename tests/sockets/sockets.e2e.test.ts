import { connect } from 'node:net';
import { eventually } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enrolHost, TestAgent, TOPLEVEL, type TestHost } from '../../apps/server/src/test/test-server.ts';
import { freePort, startBareServer, type BareServer } from './bare-server.ts';
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
  expect(server.process.isRunning, `${told}: the server runs\n${server.process.log()}`).toBe(true);
  const url = `http://127.0.0.1:${port}`;
  const health = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(20_000) });
  expect(health.status, `${told}: /healthz`).toBe(200);
  await using agent = new TestAgent(url);
  await agent.hello(honest);
  await agent.next('directive');
  expect(agent.messages.map(({ type }) => type)).toEqual(['challenge', 'welcome', 'directive']);
  expect(server.bugs, `${told}: its log`).toEqual([]);
  await eventually(`${told}: its memory is bounded`, async () => ((await server.residentBytes()) < MAX_RESIDENT_BYTES ? true : undefined), {
    timeoutMs: 20_000,
  });
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
