import { connect, type Socket } from 'node:net';
import type { FleetView } from '@floe/protocol';
import { silentLogger, systemClock } from '@floe/runtime';
import { METHOD_KINDS } from '@floe/store';
import { eventually } from '@floe/testkit';
import { fleetView } from '@floe/views/fixtures';
import { afterEach, expect, test } from 'vitest';
import { trustProxies } from './http/client-address.ts';
import { listen } from './listen.ts';
import { describedRoutes } from './openapi/document.ts';
import { apiTokenOf, FAKE_TOKEN, fakeApp, fakeTokenOf, type FakeApp, type FakeAppOptions } from './test/fake-app.ts';

// What is only read costs memory while it is put together, and until its reader has it: no token may have much of it at a time.

const VALUES: Readonly<Record<string, string>> = { sha: 'a'.repeat(40), series: '1', seq: '1' };
/** All that is read, but for what is sent without end: read from the app, so that this holds for routes that are still to come. */
const READS = [
  ...new Set(
    describedRoutes(fakeApp().app.routes)
      .filter(({ method, path, parts }) => method === 'GET' && parts.some(({ kind }) => kind === 'guard') && !/\/(?:events|export)$/.test(path))
      .map(({ path }) => path.replaceAll(/:(\w+)/g, (_all, name: string) => VALUES[name] ?? 'ada')),
  ),
];

/** Everything that a route may ask takes until `release()`; `asked` has the tokens that something is asked for now. */
function slowApp() {
  const held: (() => void)[] = [];
  const hang = async (): Promise<never> => {
    await new Promise<void>((resolve) => held.push(resolve));
    throw new Error('the test does not say what it answers');
  };
  const hanging = Object.fromEntries(
    Object.entries(METHOD_KINDS).map(([group, methods]) => [group, Object.fromEntries(Object.keys(methods).map((name) => [name, hang]))]),
  );
  const { tokens: _tokens, ...store } = hanging;
  const app = fakeApp({
    store: { ...store, tokens: { listApiTokens: hang } },
    reader: { fleet: hang, host: hang, why: hang, revisions: hang, revision: hang, rollout: hang },
    auditHeads: { verify: hang },
    notifications: { list: hang, test: hang },
  });
  return { app, held };
}

async function read(app: FakeApp, path: string, token: string): Promise<Response> {
  return await app.app.request(path, { headers: { authorization: `Bearer ${token}` } });
}
const settled = async (): Promise<void> => {
  for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

test.each(READS)('%s is put together for one token a few times at once, and for another one all the same', async (path) => {
  const { app, held } = slowApp();
  // Whose credential is known does not wait behind guesses.
  await read(app, '/api/session', FAKE_TOKEN);
  const flood = Array.from({ length: 80 }, async () => await read(app, path, FAKE_TOKEN));
  await settled();
  expect(held.length).toBeLessThanOrEqual(2);
  const isHeld = held.length > 0;
  const other = read(app, path, fakeTokenOf('administrator'));
  await settled();
  const state = { isOver: false };
  const all = Promise.all([...flood, other]).then((answers) => {
    state.isOver = true;
    return answers;
  });
  while (!state.isOver) {
    expect(held.length).toBeLessThanOrEqual(3);
    for (const release of held.splice(0)) release();
    await settled();
  }
  const answers = await all;
  const refused = answers.filter(({ status }) => status === 429);
  if (isHeld) expect(refused.length).toBe(80 - 2 - 50);
  expect((await other).status).not.toBe(429);
  for (const answer of refused) {
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await answer.json()).toMatchObject({ error: { code: 'READS_TOO_MANY' } });
  }
});

const ended: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

async function listening(options: FakeAppOptions): Promise<number> {
  const addresses = trustProxies([]);
  const { app } = fakeApp({ ...options, addresses });
  const server = await listen(
    { app, hub: { accept: () => undefined } as never, addresses },
    { listenHost: '127.0.0.1', listenPort: 0, publicUrl: 'http://127.0.0.1' },
    silentLogger,
  );
  ended.push(async () => await server[Symbol.asyncDispose]());
  return server.port;
}

/** Asks, and reads nothing of the answer. */
function askWithoutReading(port: number, path: string, token: string): Socket {
  const socket = connect(port, '127.0.0.1');
  ended.push(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  return socket;
}

test('an answer that its reader does not take counts until it is sent, and is cut for the next who asks when that takes long', async () => {
  let now = 0;
  let made = 0;
  const view = fleetView();
  // More than the system keeps for a reader.
  const long = 'x'.repeat(48 * 1024 * 1024);
  const port = await listening({
    clock: { ...systemClock, monotonic: () => now },
    reader: {
      revisions: async () => {
        made += 1;
        return await Promise.resolve([{ ...(view.revision as NonNullable<FleetView['revision']>), subject: long }]);
      },
    },
  });
  const sockets = Array.from({ length: 6 }, () => askWithoutReading(port, '/api/revisions', FAKE_TOKEN));
  await eventually('two are made', () => (made === 2 ? true : undefined));
  const other = await fetch(`http://127.0.0.1:${port}/api/fleet`, { headers: { authorization: `Bearer ${fakeTokenOf('viewer')}` } });
  expect([other.status, made]).toEqual([200, 2]);
  await other.body?.cancel();
  for (const socket of sockets.slice(2)) socket.destroy();
  now = 61_000;
  const next = await fetch(`http://127.0.0.1:${port}/api/fleet`, { headers: { authorization: `Bearer ${FAKE_TOKEN}` } });
  expect(next.status).toBe(200);
  await next.body?.cancel();
});

test('however many streams begin at once, the fleet is read once for those that wait, and each has it as it was after it asked', async () => {
  let version = 0;
  let atOnce = 0;
  let most = 0;
  let reads = 0;
  const holder = async (token: string) => {
    const name = token.slice('floe_'.length).replaceAll('-', '');
    return await Promise.resolve({ name, role: 'viewer' as const, person: name });
  };
  const view = fleetView();
  const { app } = fakeApp({
    store: { tokens: { findApiToken: holder } },
    reader: {
      fleet: async () => {
        reads += 1;
        atOnce += 1;
        most = Math.max(most, atOnce);
        const seen = version;
        await new Promise((resolve) => setImmediate(resolve));
        atOnce -= 1;
        return { ...view, version: seen };
      },
    },
  });
  const names = Array.from({ length: 200 }, (_, n) => `t${n}`);
  for (const name of names) await app.request('/api/session', { headers: { authorization: `Bearer ${apiTokenOf(name)}` } });
  const all = names.map(async (name, n) => {
    for (let turns = 0; turns < n % 7; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    version += 1;
    const asked = version;
    const path = n % 3 === 0 ? '/api/fleet' : '/api/events';
    const response = await app.request(path, { headers: { authorization: `Bearer ${apiTokenOf(name)}` } });
    const reader = response.body?.getReader();
    let text = '';
    while (response.ok && !/"version":\d+/.test(text)) text += new TextDecoder().decode((await reader?.read())?.value);
    await reader?.cancel();
    return Number(/"version":(\d+)/.exec(text)?.[1]) - asked;
  });
  for (const ahead of await Promise.all(all)) expect(ahead).toBeGreaterThanOrEqual(0);
  expect(most).toBe(1);
  expect(reads).toBeLessThan(30);
});
