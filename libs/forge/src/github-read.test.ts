import { createServer, type RequestListener } from 'node:http';
import type { CommitSha } from '@floe/model';
import { Secret } from '@floe/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { createGithubStatuses } from './github-statuses.ts';
import type { OutgoingStatus } from './status.ts';

const SHA = 'a'.repeat(40) as CommitSha;
const never = new AbortController().signal;
const status: OutgoingStatus = { sha: SHA, context: 'floe/rollout', state: 'success', description: 'all 3 hosts run it', targetUrl: 'https://floe/' };
const stack: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of stack.splice(0)) await each[Symbol.asyncDispose]();
});

async function github(answer: RequestListener): Promise<ReturnType<typeof createGithubStatuses>> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stack.push({
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return createGithubStatuses({
    apiUrl: `http://127.0.0.1:${port}`,
    repository: 'ice/fleet',
    auth: { kind: 'token', token: new Secret('t') },
    userAgent: 'floe',
    timeoutMs: 300,
  });
}

function shown(context: string, over: object = {}): object {
  return { context, state: 'success', description: 'all 3 hosts run it', target_url: 'https://floe/', avatar_url: 'x', ...over };
}

function json(code: number, body: object, headers: Record<string, string> = {}): RequestListener {
  return (_request, response) => response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

describe('what a commit shows is read back', () => {
  it('of one context, among those of others', async () => {
    const paths: string[] = [];
    const statuses = await github((request, response) => {
      paths.push(`${request.method} ${request.url}`);
      json(200, { total_count: 2, statuses: [shown('ci/build'), shown('floe/rollout')] })(request, response);
    });
    const found = await statuses.read(status, never);
    expect(found).toEqual({ kind: 'read', status: { state: 'success', description: 'all 3 hosts run it', targetUrl: 'https://floe/' } });
    expect(paths).toEqual([`GET /repos/ice/fleet/commits/${SHA}/status?per_page=100&page=1`]);
  });

  it('on a later page, and as nothing when it is on none', async () => {
    const page = (request: { readonly url?: string | undefined }): number => Number(new URL(request.url ?? '', 'http://x').searchParams.get('page'));
    const others = Array.from({ length: 100 }, (_, index) => shown(`ci/${index}`));
    const last = shown('floe/rollout', { description: null, target_url: null, state: 'pending' });
    const statuses = await github((request, response) =>
      json(200, { total_count: 101, statuses: page(request) === 1 ? others : [last] })(request, response),
    );
    expect(await statuses.read(status, never)).toEqual({ kind: 'read', status: { state: 'pending', description: '', targetUrl: '' } });
    expect(await statuses.read({ ...status, context: 'floe/build' }, never)).toEqual({ kind: 'read', status: undefined });
  });

  it.each([
    ['an answer that is something else', json(200, [])],
    ['more contexts than are looked through', json(200, { total_count: 9_999, statuses: [shown('ci/build')] })],
    ['404', json(404, {})],
    ['401', json(401, {})],
    ['500', json(500, {})],
    ['no answer', (): void => undefined],
  ])('as unknown, by %s', async (_name, answer) => {
    const statuses = await github(answer);
    expect(await statuses.read(status, never)).toMatchObject({ kind: 'unknown' });
  });

  it('not while the forge asks to be left alone', async () => {
    const statuses = await github(json(429, {}, { 'retry-after': '7' }));
    expect(await statuses.read(status, never)).toMatchObject({ kind: 'retry', code: 'RATE_LIMITED', afterMs: 7_000, isMissed: false });
  });
});

describe('an answer is missed', () => {
  it.each<[string, RequestListener, boolean]>([
    ['when none comes', (): void => undefined, true],
    ['when the line breaks', (request): void => void request.socket.destroy(), true],
    ['when a proxy gives up on it', json(504, {}), true],
    [
      'when it breaks off',
      (_request, response): void => void response.writeHead(201, { 'content-length': '99' }).write('{', () => response.destroy()),
      true,
    ],
    ['but not when the forge limits', json(429, {}), false],
  ])('%s', async (_name, answer, isMissed) => {
    const statuses = await github(answer);
    expect(await statuses.post(status, never)).toMatchObject({ kind: 'retry', isMissed });
  });

  it('but not when nobody could be reached', async () => {
    const statuses = await github(json(201, {}));
    for (const each of stack.splice(0)) await each[Symbol.asyncDispose]();
    expect(await statuses.post(status, never)).toMatchObject({ kind: 'retry', code: 'FORGE_UNREACHABLE', isMissed: false });
  });
});
