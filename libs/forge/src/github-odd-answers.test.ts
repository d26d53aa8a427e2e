import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CommitSha } from '@floe/model';
import { Secret } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGithubStatuses } from './github-statuses.ts';
import type { CommitStatuses, OutgoingStatus } from './status.ts';

// The server at the API's URL may be a proxy, another program, or hostile: a post still has a defined outcome.

interface Odd {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const status: OutgoingStatus = {
  sha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246' as CommitSha,
  context: 'floe/rollout',
  state: 'success',
  description: 'all 3 hosts run it',
  targetUrl: 'https://floe.example.org/',
};
const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

let odd: Odd = { status: 201, headers: {}, body: '{}' };
let isEndless = false;
const server = createServer((_request, response) => {
  response.writeHead(odd.status, odd.headers);
  if (!isEndless) {
    response.end(odd.body);
    return;
  }
  const piece = ' '.repeat(64 * 1024);
  const more = (): void => void (response.destroyed || response.write(piece, () => setImmediate(more)));
  more();
});
let statuses: CommitStatuses;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  statuses = createGithubStatuses({ apiUrl, repository: 'a/b', auth: { kind: 'token', token: new Secret('t') }, userAgent: 'floe' });
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const Body = fc.oneof(
  fc.json(),
  fc.string(),
  fc.constantFrom(
    '',
    'null',
    '42',
    '[]',
    '"x"',
    '{"message":null}',
    '{"message":{}}',
    '{"message":"x","errors":null}',
    '{"message":"x","errors":[null,[],{}]}',
  ),
  fc.constant(`{"message":"x","errors":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}`),
  fc.constant(`{"message":"${'long '.repeat(10_000)}"}`),
  fc.constant('{"__proto__":{"message":"x"},"constructor":{"name":1}}'),
);
const Header = fc.constantFrom(
  '0',
  '-1',
  '1',
  '1e999',
  '99999999999999999999999999',
  'NaN',
  'soon',
  '',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'Fri, 31 Dec 275760 00:00:00 GMT',
  '+1',
  '0x10',
);
const Answer: fc.Arbitrary<Odd> = fc.record({
  status: fc.oneof(fc.constantFrom(200, 201, 204, 301, 304, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503), fc.integer({ min: 200, max: 599 })),
  headers: fc.record(
    {
      'retry-after': Header,
      'x-ratelimit-remaining': Header,
      'x-ratelimit-reset': Header,
      date: Header,
      'content-type': fc.constantFrom('application/json', 'application/json; charset=x', 'text/html', ';;;', 'application/octet-stream', ''),
    },
    { requiredKeys: [] },
  ),
  body: Body,
});

describe('a post to whoever answers as GitHub', () => {
  it('has a defined outcome, a wait of at most an hour and a short reason, whatever the answer is', async () => {
    await fc.assert(
      fc.asyncProperty(Answer, async (answer) => {
        odd = answer;
        const outcome = await statuses.post(status, never);
        if (outcome.kind === 'sent') expect(answer.status).toBe(201);
        else expect(outcome.message.length).toBeLessThan(1_500);
        if (outcome.kind === 'retry' && outcome.afterMs !== undefined) {
          expect(outcome.afterMs).toBeGreaterThanOrEqual(0);
          expect(outcome.afterMs).toBeLessThanOrEqual(HOUR_MS);
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([201, 500])('does not read an answer without end (%d)', async (code) => {
    odd = { status: code, headers: { 'content-type': 'application/json' }, body: '' };
    isEndless = true;
    const before = process.memoryUsage().rss;
    expect(await statuses.post(status, never)).toMatchObject({ kind: 'retry', message: expect.stringContaining('longer than') as string });
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
    isEndless = false;
  });
});
