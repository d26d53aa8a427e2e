import { connect, type Socket } from 'node:net';
import { silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listen } from './listen.ts';
import { startTestServer, TestAgent, TOPLEVEL, type TestServer } from './test/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** A connection that sends these bytes; errors of it are nothing. */
function raw(...parts: readonly (string | Buffer)[]): Socket {
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => undefined);
  for (const part of parts) socket.write(part);
  return socket;
}

async function answerTo(request: string): Promise<string> {
  const socket = raw(request);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

async function ended(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

async function serves(): Promise<void> {
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  await using agent = new TestAgent(server.url);
  await agent.next('challenge');
}

const UPGRADE =
  'GET /agent HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

describe('a stranger cannot end the server', () => {
  test('by a text frame that is no message, and an invalid frame behind it', async () => {
    const bad = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x78, 0x78]);
    const invalid = Buffer.from([0xc1, 0x82, 0, 0, 0, 0, 0x78, 0x78]);
    await Promise.all([
      ended(raw(UPGRADE, Buffer.concat([bad, invalid]))),
      ended(raw(UPGRADE, bad, invalid)),
      ended(raw(UPGRADE, bad, Buffer.alloc(164, 0xff))),
    ]);
    await serves();
  });

  test.each(['/agent', '/elsewhere', '/api/fleet', '/agent/../healthz'])('by a reset in the middle of an upgrade of %s', async (path) => {
    for (const rest of ['', '\r\n', '\r\nxxxx']) {
      const socket = raw(UPGRADE.replace('/agent', path).slice(0, -2) + rest);
      await new Promise((resolve) => socket.once('connect', resolve));
      await new Promise((resolve) => setImmediate(resolve));
      socket.resetAndDestroy();
    }
    await serves();
  });
});

describe('requests that are sent without waiting for answers', () => {
  const guess = 'GET /api/fleet HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-guess\r\n\r\n';

  test('are few of one connection: it is cut, and others are answered', async () => {
    let answers = 0;
    for (let round = 0; round < 3; round += 1) {
      const flood = Array.from({ length: 3 }, () => raw(guess.repeat(3_000)));
      for (const socket of flood) socket.on('data', (chunk) => (answers += chunk.toString('latin1').split('HTTP/1.1 ').length - 1));
      await serves();
      await Promise.all(flood.map(ended));
    }
    // Of 27,000.
    expect(answers).toBeLessThan(9 * 20);
    const known = await fetch(`${server.url}/api/fleet`, { headers: { authorization: `Bearer ${server.token}` } });
    expect(known.status).toBe(200);
  });

  test('may be two or three, as HTTP allows', async () => {
    const last = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const text = await answerTo(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${guess}${last}`);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200']);
  });
});

describe('HTTP', () => {
  const WITH_UPGRADE = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n';

  test.each(['/healthz', '/readyz'])('an offer to upgrade to something else is declined, and %s answered', async (path) => {
    expect(await answerTo(`GET ${path} HTTP/1.1\r\nHost: x\r\n${WITH_UPGRADE}\r\n`.replace('Connection: ', 'Connection: close, '))).toMatch(
      /^HTTP\/1\.1 200 /,
    );
  });

  test('a webhook with such an offer is judged as any other', async () => {
    const request = `POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n${WITH_UPGRADE}\r\n{}`.replace(
      'Connection: ',
      'Connection: close, ',
    );
    expect(await answerTo(request)).toMatch(/^HTTP\/1\.1 40[13] /);
  });

  test('a WebSocket elsewhere than at /agent is an ordinary request', async () => {
    expect(await answerTo(UPGRADE.replace('/agent', '/healthz').replace('Connection: ', 'Connection: close, '))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('HTTP/1.0 needs no Host, and HTTP/1.1 does', async () => {
    expect(await answerTo('GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
    expect(await answerTo('GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

test('an honest agent is admitted and gets its directive', async () => {
  const ada = await server.enrol('ada', TOPLEVEL);
  await using agent = await TestAgent.welcome(server.url, ada);
  expect((await agent.next('directive')).envelope.type).toBe('floe/directive');
  expect(agent.messages.map(({ type }) => type)).toEqual(['challenge', 'welcome', 'directive']);
});

test('a statement of freshness that cannot be read keeps no host from its directive', async () => {
  const bob = await server.enrol('bob', TOPLEVEL);
  const { store } = server.context;
  const repository = (await store.hosts.get(bob.host))?.repositoryId ?? '';
  await store.releases.saveFreshness(repository, '{"of": "another version"}', 1_000, 1_000);
  await using agent = await TestAgent.welcome(server.url, bob);
  expect((await agent.next('directive')).envelope.type).toBe('floe/directive');
});

describe('who is slow', () => {
  const HEAD = 'POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n';
  const SIGNED = `X-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\nX-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n\r\n`;

  test.each([
    ['its headers', HEAD, 'X-A: b\r\n'],
    ['its body', HEAD + SIGNED, 'x'],
    ['a chunked body', HEAD.replace('Content-Length: 500', 'Transfer-Encoding: chunked') + SIGNED, '1\r\nx\r\n'],
    ['the handshake of a WebSocket', UPGRADE.slice(0, -2), 'X-A: b\r\n'],
    ['its first line', 'GET /', 'x'],
    ['everything', '', '\r\n'],
  ])('with %s is cut, however steadily it goes on', async (_name, first, more) => {
    const config = { listenHost: '127.0.0.1', listenPort: 0, publicUrl: 'http://localhost' };
    await using quick = await listen(server.context, config, silentLogger, { headersMs: 150, requestMs: 300, checkMs: 30 });
    const socket = connect(quick.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(first);
    const trickle = setInterval(() => socket.writable && socket.write(more), 20);
    await ended(socket);
    clearInterval(trickle);
  });
});

test('a frame in more packets than any honest sender makes is not kept', async () => {
  const socket = raw(UPGRADE);
  socket.setNoDelay(true);
  await new Promise((resolve) => socket.once('data', resolve));
  // A text of 4,000 bytes, begun.
  socket.write(Buffer.from([0x81, 0xfe, 0x0f, 0xa0, 0, 0, 0, 0]));
  let sent = 0;
  for (; sent < 3_900 && !socket.destroyed && socket.writable; sent += 1) {
    socket.write('x');
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended(socket);
  expect(sent).toBeLessThan(3_900);
});
