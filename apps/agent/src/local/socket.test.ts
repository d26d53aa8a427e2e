import { chmod, lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest, createLogger, FloeError, silentLogger } from '@floe/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AFTER, CHANGES, FakeRequests, notice, STATUS } from '../test/fake-requests.ts';
import { until } from '../test/until.ts';
import { createAgentClient, type AgentClient } from '../commands/client.ts';
import type { Notice } from './protocol.ts';
import { serveUserSocket, type UserSocket, type UserSocketOptions } from './socket.ts';

const GROUPS = 'root:x:0:\nfloe:x:4711:ada,bob\n';
const readGroups = async (): Promise<string> => GROUPS;

let dir: string;
let path: string;
let handlers: FakeRequests;
let stack: AsyncDisposableStack;
let log: string[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-socket-'));
  await chmod(dir, 0o755);
  path = join(dir, 'run', 'socket');
  handlers = new FakeRequests();
  stack = new AsyncDisposableStack();
  log = [];
});
afterEach(async () => {
  await stack.disposeAsync();
  await rm(dir, { recursive: true });
});

async function serve(options: Partial<UserSocketOptions> = {}): Promise<UserSocket> {
  const logger = createLogger({ level: 'debug', write: (line) => log.push(line) });
  return stack.use(await serveUserSocket({ path, group: undefined, handlers, logger, readGroups, ...options }));
}

function client(): AgentClient {
  return createAgentClient({ socketPath: path, signal: new AbortController().signal, readGroups });
}

/** A request as someone writes it who does not use the client. */
async function raw(method: string, url: string, body = ''): Promise<{ status: number; json: Record<string, unknown> }> {
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath: path, method, path: url, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, json: JSON.parse(text) as Record<string, unknown> }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function mode(): Promise<string> {
  return ((await lstat(path)).mode & 0o777).toString(8);
}

describe('who may', () => {
  it.runIf(process.getuid?.() === 0)('admits the group, and nobody else', async () => {
    await serve({ group: 'floe' });
    expect([(await lstat(path)).gid, await mode()]).toEqual([4711, '660']);
    const knock = `require('net').connect(${JSON.stringify(path)}).on('connect', () => { console.log('in'); process.exit(); }).on('error', (e) => console.log(e.code))`;
    const as = async (gid: number): Promise<string> =>
      (await execInTest('setpriv', ['--reuid=65534', `--regid=${gid}`, '--clear-groups', process.execPath, '-e', knock])).stdout.trim();
    expect(await as(4711)).toBe('in');
    expect(await as(65_534)).toBe('EACCES');
  });

  it('admits only the owner without a group, and with a missing group, which it reports', async () => {
    await (await serve())[Symbol.asyncDispose]();
    expect(log).toEqual([]);
    await serve({ group: 'nobody-made-it' });
    expect(await mode()).toBe('600');
    expect(log.join()).toContain('the group does not exist');
    expect(await client().status()).toEqual(STATUS);
  });

  it('goes on when the groups cannot be read', async () => {
    await serve({ group: 'floe', readGroups: async () => await Promise.reject(new Error('no /etc')) });
    expect(await mode()).toBe('600');
    expect(log.join()).toContain('the group could not be given access');
  });
});

describe('the file', () => {
  it('replaces that of a dead agent, and leaves nothing behind', async () => {
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await (await serve())[Symbol.asyncDispose]();
    await execInTest(process.execPath, ['-e', script]);
    expect((await lstat(path)).isSocket()).toBe(true);
    const socket = await serve();
    expect(await client().status()).toEqual(STATUS);
    expect(await readdir(join(dir, 'run'))).toEqual(['socket']);
    await socket[Symbol.asyncDispose]();
    expect(await readdir(join(dir, 'run'))).toEqual([]);
  });

  it('is left to another agent that lives, and to who put something else there', async () => {
    await serve();
    await expect(serveUserSocket({ path, group: undefined, handlers, logger: silentLogger })).rejects.toMatchObject({ code: 'SOCKET_IN_USE' });
    expect(await client().status()).toEqual(STATUS);
    const file = join(dir, 'notes');
    await writeFile(file, 'mine');
    await expect(serveUserSocket({ path: file, group: undefined, handlers, logger: silentLogger })).rejects.toMatchObject({
      code: 'SOCKET_UNAVAILABLE',
    });
  });

  it('is not taken from the next agent by the end of the one before', async () => {
    const first = await serve();
    await rm(path);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await first[Symbol.asyncDispose]();
    expect((await lstat(path)).isSocket()).toBe(true);
    await new Promise<void>((resolve) => other.close(() => resolve()));
  });

  it('says when it cannot be made', async () => {
    const file = join(dir, 'file');
    await writeFile(file, '');
    const failing = serveUserSocket({ path: join(file, 'socket'), group: undefined, handlers, logger: silentLogger });
    await expect(failing).rejects.toMatchObject({ code: 'SOCKET_UNAVAILABLE' });
  });
});

describe('requests', () => {
  it('passes on what is asked, and answers with the outcome', async () => {
    await serve();
    const agent = client();
    expect(await agent.status()).toEqual(STATUS);
    expect(await agent.later({ minutes: 90 })).toEqual({ until: Date.UTC(2026, 2, 1, 14), laterLeft: 1 });
    await agent.later({});
    expect(await agent.now()).toEqual({ toplevel: AFTER });
    await agent.rollback();
    expect(await agent.resume()).toEqual({ toplevel: null });
    expect(await agent.changes()).toEqual(CHANGES);
    expect(handlers.asked).toEqual([['later', 90], ['later', undefined], 'now', 'rollback', 'resume']);
    expect(log.map((line) => JSON.parse(line) as object)).toContainEqual(expect.objectContaining({ request: 'later', minutes: 90, outcome: 'ok' }));
  });

  it('refuses with the code and the message of the agent', async () => {
    await serve();
    handlers.laterAnswer = { kind: 'refused', code: 'LATER_USED_UP', message: 'three times is all' };
    expect(await raw('POST', '/later')).toEqual({ status: 409, json: { code: 'LATER_USED_UP', message: 'three times is all' } });
    await expect(client().later({})).rejects.toMatchObject({ code: 'LATER_USED_UP', message: 'three times is all' });
  });

  it.each([
    ['POST', '/later', '{', 400, 'not JSON'],
    ['POST', '/later', '{"minutes":0}', 400, 'minutes'],
    ['POST', '/later', '{"minutes":1.5}', 400, 'minutes'],
    ['POST', '/later', '{"minutes":"2h"}', 400, 'minutes'],
    ['POST', '/later', '"2h"', 400, 'the body'],
    ['POST', '/later', '{"hours":1}', 400, 'hours'],
    ['POST', '/rollback', '{"to":"/nix/store/x"}', 400, 'to'],
    ['POST', '/later', `{"x":"${'x'.repeat(100_000)}"}`, 413, 'bytes'],
    ['GET', '/later', '', 405, 'POST'],
    ['DELETE', '/status', '', 405, 'GET'],
    ['GET', '/__proto__', '', 404, 'floe-agent does not know'],
    ['GET', '//', '', 404, 'floe-agent does not know'],
  ])('%s %s as in case %# is refused', async (method, url, body, status, text) => {
    await serve();
    const answer = await raw(method, url, body);
    expect([answer.status, String(answer.json['message'])]).toEqual([status, expect.stringContaining(text)]);
    expect(handlers.asked).toEqual([]);
  });

  it('survives what is no HTTP', async () => {
    await serve();
    const socket = createConnection(path);
    socket.write('hello?\r\n\r\n');
    await new Promise<void>((resolve) => socket.on('close', () => resolve()).resume());
    expect(await client().status()).toEqual(STATUS);
  });

  it('answers with 500 when the agent fails, and shows the message of an expected failure only', async () => {
    await serve();
    handlers.changesAnswer = async () => await Promise.reject(new FloeError('CLOSURE_NOT_HERE', 'it was collected'));
    await expect(client().changes()).rejects.toMatchObject({ code: 'CLOSURE_NOT_HERE', message: 'it was collected' });
    handlers.changesAnswer = async () => await Promise.reject(new TypeError('a secret of mine'));
    await expect(client().changes()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.not.stringContaining('secret') as string });
    expect(log.join()).toContain('a secret of mine');
  });

  it('stops a comparison that nobody waits for any more', async () => {
    await serve();
    const stopped = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    handlers.changesAnswer = async (signal) => {
      signal.addEventListener('abort', () => stopped.resolve(), { once: true });
      begun.resolve();
      await stopped.promise;
      return { kind: 'refused', code: 'X', message: 'x' };
    };
    const leaving = new AbortController();
    const asked = createAgentClient({ socketPath: path, signal: leaving.signal }).changes();
    await begun.promise;
    leaving.abort();
    await expect(asked).rejects.toMatchObject({ code: 'NO_ANSWER' });
    await stopped.promise;
  });
});

describe('notices', () => {
  it('come to each follower, the current one first, until it leaves', async () => {
    const socket = await serve();
    handlers.say(notice('one'));
    const leaving = new AbortController();
    const seen: (Notice | null)[] = [];
    const following = (async () => {
      for await (const each of client().follow(true, leaving.signal)) seen.push(each);
    })();
    await until(() => seen.length === 1);
    expect(socket.followerCount()).toBe(1);
    handlers.say(notice('two'));
    handlers.say(null);
    await until(() => seen.length === 3);
    expect(seen).toEqual([notice('one'), notice('two'), null]);
    leaving.abort();
    await following;
    await until(() => socket.followerCount() === 0 && handlers.listeners.size === 0);
  });

  it('end with the agent, and a desktop that shows nothing does not count', async () => {
    const socket = await serve();
    const seen: (Notice | null)[] = [];
    const following = (async () => {
      for await (const each of client().follow(false, new AbortController().signal)) seen.push(each);
    })();
    await until(() => seen.length === 1);
    expect([socket.followerCount(), handlers.listeners.size]).toEqual([0, 1]);
    await socket[Symbol.asyncDispose]();
    await following;
    expect(seen).toEqual([null]);
  });

  it('do not pile up for a follower that does not read', async () => {
    await serve();
    const deaf = createConnection(path);
    deaf.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
    deaf.pause();
    await until(() => handlers.listeners.size === 1);
    for (let index = 0; index < 200 && handlers.listeners.size > 0; index += 1) {
      handlers.say(notice(String(index), { body: 'x'.repeat(10_000) }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => handlers.listeners.size === 0);
    deaf.destroy();
  });

  it('have a limit of followers', async () => {
    await serve();
    const leaving = new AbortController();
    const follow = async (): Promise<void> => {
      for await (const _each of client().follow(true, leaving.signal));
    };
    const many = Array.from({ length: 32 }, follow);
    await until(() => handlers.listeners.size === 32);
    await expect(follow()).rejects.toMatchObject({ code: 'TOO_MANY_FOLLOWERS' });
    leaving.abort();
    await Promise.all(many);
  });
});

describe('one who only occupies the socket', () => {
  /** As many as somebody can make, each in one of the ways to wait with it. */
  async function occupy(words: string): Promise<void> {
    for (let index = 0; index < 200; index += 1) {
      const idle = createConnection(path).on('error', () => undefined);
      stack.defer(() => void idle.destroy());
      await new Promise<void>((resolve) => void idle.once('connect', () => resolve()).once('error', () => resolve()));
      idle.write(words);
    }
  }

  it.each([
    ['nothing', ''],
    ['half of a request', 'POST /later HTTP/1.1\r\nHost: x\r\n'],
    ['a request without its body', 'POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{'],
    ['a request for notices', 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('and sends %s keeps nobody out', async (_what, words) => {
    await serve({ group: 'floe' });
    await occupy(words);
    expect(await raw('GET', '/status')).toMatchObject({ status: 200 });
    expect(await client().status()).toEqual(STATUS);
  });

  it.runIf(process.getuid?.() === 0)('cannot reach the socket of root, which is there beside that of a group', async () => {
    const socket = await serve({ group: 'floe' });
    expect(((await lstat(`${path}.root`)).mode & 0o777).toString(8)).toBe('600');
    // Root is served even where the group's socket does not answer at all.
    await rm(path);
    expect(await client().status()).toEqual(STATUS);
    await socket[Symbol.asyncDispose]();
    expect(await readdir(join(dir, 'run'))).toEqual([]);
    await serve();
    expect(await readdir(join(dir, 'run'))).toEqual(['socket']);
  });
});

describe('a client without an answer', () => {
  it('says how to start an agent that does not run', async () => {
    await expect(client().status()).rejects.toMatchObject({
      code: 'AGENT_NOT_RUNNING',
      message: expect.stringContaining('sudo systemctl start floe-agent') as string,
    });
  });

  it.runIf(process.getuid?.() === 0)('says who may, to one who may not', async () => {
    await serve({ group: 'floe' });
    // Where the group comes from is part of the module: the program only has /etc/group, which the tests leave alone.
    const script = `const { createAgentClient } = await import(${JSON.stringify(join(import.meta.dirname, '../commands/client.ts'))});
      const readGroups = async () => ${JSON.stringify(GROUPS)};
      await createAgentClient({ socketPath: ${JSON.stringify(path)}, signal: new AbortController().signal, readGroups }).status().catch((error) => console.log(error.code, error.message));`;
    const run = async (): Promise<string> =>
      (
        await execInTest('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '--input-type=module', '-e', script])
      ).stdout.trim();
    expect(await run()).toMatch(/^NOT_ALLOWED only root and the group floe may .* use sudo, or ask your administrator to add you to the group floe/);
    await chmod(path, 0o600);
    expect(await run()).toBe('NOT_ALLOWED only root may use this command on this machine: use sudo');
  });

  it('says so when the answer is not an agent’s', async () => {
    const strange = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'));
    });
    await new Promise<void>((resolve) => strange.listen(join(dir, 'strange'), resolve));
    const asked = createAgentClient({ socketPath: join(dir, 'strange'), signal: new AbortController().signal }).status();
    await expect(asked).rejects.toMatchObject({ code: 'ANSWER_UNEXPECTED' });
    await new Promise<void>((resolve) => strange.close(() => resolve()));
  });
});
