import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, exec, systemClock } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { ConnectProxy } from '../test/connect-proxy.ts';
import { TestServer } from '../test/test-server.ts';
import { until } from '../test/until.ts';
import { Connection } from './connection.ts';
import { proxyFor } from './tunnel.ts';

let server: TestServer;
let proxy: ConnectProxy;
let stop: AbortController;
let running: Promise<void> | undefined;
let lines: string[];
const NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy', 'ALL_PROXY', 'all_proxy'];

beforeEach(async () => {
  for (const name of NAMES) Reflect.deleteProperty(process.env, name);
  server = await TestServer.start();
  proxy = await ConnectProxy.start();
  stop = new AbortController();
  lines = [];
});
afterEach(async () => {
  stop.abort();
  await running;
  await server[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  for (const name of NAMES) Reflect.deleteProperty(process.env, name);
});

function connect(settings: Readonly<Record<string, string>>): Connection {
  Object.assign(process.env, settings);
  const connection = new Connection({
    serverUrl: server.url,
    proxy: proxyFor(server.url, { ...process.env, NODE_USE_ENV_PROXY: '1' }),
    slowRetryMs: 1_000,
    clock: { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(Math.min(ms, 20), signal) },
    logger: createLogger({ level: 'debug', write: (line) => lines.push(line) }),
    random: () => 0.5,
  });
  const handlers = {
    hello: async () => await Promise.reject(new Error('stops here')),
    welcomed: () => undefined,
    directive: () => undefined,
    stage: () => undefined,
    go: () => undefined,
    acknowledged: () => undefined,
    refused: async () => await Promise.resolve(false),
  };
  running = connection.run(handlers, stop.signal);
  return connection;
}

test("the agent's socket goes through the proxy, with its login", async () => {
  connect({ HTTP_PROXY: `http://ada:pass%20word@${proxy.address}` });
  await until(() => server.peers.length > 0);
  expect(proxy.targets[0]).toBe(`127.0.0.1:${server.port}`);
  expect(proxy.logins[0]).toBe(`Basic ${Buffer.from('ada:pass word').toString('base64')}`);
});

test.each(['127.0.0.1', '*', 'example.org,127.0.0.1'])('NO_PROXY=%s keeps it direct', async (noProxy) => {
  connect({ HTTP_PROXY: `http://${proxy.address}`, NO_PROXY: noProxy });
  await until(() => server.peers.length > 0);
  expect(proxy.targets).toEqual([]);
});

test('a proxy counts where Node is told to take it, for the scheme of the server', () => {
  Object.assign(process.env, { HTTPS_PROXY: 'http://proxy:3128', no_proxy: 'in.example.org' });
  const env = { NODE_USE_ENV_PROXY: '1' };
  expect(proxyFor('https://floe.example.org', env)?.href).toBe('http://proxy:3128/');
  expect(proxyFor('http://floe.example.org', env)).toBeUndefined();
  expect(proxyFor('https://in.example.org', env)).toBeUndefined();
  expect(proxyFor('https://floe.example.org', {})).toBeUndefined();
  process.env['HTTPS_PROXY'] = 'socks5://proxy:1080';
  expect(proxyFor('https://floe.example.org', env)).toBeUndefined();
});

test('a proxy that refuses is named, and tried again', async () => {
  proxy.answer = 'refuse';
  connect({ http_proxy: `http://${proxy.address}` });
  await until(() => proxy.targets.length > 2);
  expect(lines.join()).toContain(`the proxy ${proxy.address} does not connect to 127.0.0.1:${server.port}: it answers with status 403`);
  proxy.answer = 'connect';
  await until(() => server.peers.length > 0);
});

test('a proxy that says nothing holds up neither a new connection nor the end, and nothing stays open', async () => {
  proxy.answer = 'silence';
  const connection = connect({ http_proxy: `http://${proxy.address}` });
  await until(() => proxy.targets.length === 1);
  const renewed = connection.renew(10_000, stop.signal);
  await until(() => proxy.targets.length > 1);
  stop.abort();
  await Promise.all([running, renewed]);
  await until(() => proxy.openSockets === 0);
});

test('TLS is with the server, through the proxy, and its certificate is checked', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-tunnel-'));
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const made = await exec(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate, ...subject],
    {
      timeoutMs: 60_000,
    },
  );
  expect(made.exitCode, made.stderr).toBe(0);
  const https = createTlsServer({ key: await readFile(key), cert: await readFile(certificate) });
  const sockets = new WebSocketServer({ server: https, path: '/agent' });
  sockets.on('connection', (socket) => socket.send('hello'));
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = https.address() as AddressInfo;
    const script = `
      const { openTunnel } = await import(${JSON.stringify(join(import.meta.dirname, 'tunnel.ts'))});
      const { WebSocket } = await import('ws');
      const tunnel = await openTunnel(new URL('http://${proxy.address}'), new URL('https://localhost:${port}'), AbortSignal.timeout(20000));
      const socket = new WebSocket('wss://localhost:${port}/agent', { createConnection: () => tunnel });
      socket.on('message', (data) => { console.log(String(data)); process.exit(0); });
      socket.on('error', (error) => { console.log(error.code); process.exit(0); });`;
    const run = async (env: NodeJS.ProcessEnv): Promise<string> =>
      (
        await exec(process.execPath, ['--input-type=module', '-e', script], {
          env: { ...process.env, ...env },
          cwd: import.meta.dirname,
          timeoutMs: 60_000,
        })
      ).stdout;
    expect(await run({ NODE_EXTRA_CA_CERTS: certificate })).toBe('hello\n');
    expect(proxy.targets).toEqual([`localhost:${port}`]);
    expect(await run({})).toMatch(/SELF_SIGNED/);
  } finally {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    https.closeAllConnections();
    await new Promise<void>((resolve) => https.close(() => resolve()));
    await rm(dir, { recursive: true });
  }
});
