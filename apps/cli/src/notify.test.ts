import { NOTIFICATION_KINDS } from '@floe/model';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { NOW } from './test/fixtures.ts';
import { makeHome, refusal, run, startServer, type Answer, type Run } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
beforeAll(async () => {
  home = await makeHome();
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});
afterAll(async () => await home[Symbol.asyncDispose]());

async function floe(routes: Readonly<Record<string, Answer>>, ...argv: string[]): Promise<Run> {
  server = await startServer(routes);
  return await run(argv, { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile });
}

const TARGETS = [
  {
    name: 'ops',
    kind: 'webhook',
    destination: 'https://hooks.example.org',
    events: [...NOTIFICATION_KINDS],
    lastSentAt: NOW - 120_000,
    waiting: 0,
    problem: null,
  },
  {
    name: 'mail',
    kind: 'email',
    destination: 'ops@example.org',
    events: ['rollout-paused'],
    lastSentAt: null,
    waiting: 2,
    problem: { message: 'answered HTTP 500', since: NOW - 60_000 },
  },
];

test('floe notify list shows where notifications go, and what of', async () => {
  const { code, stdout } = await floe({ 'GET /api/notifications': { json: TARGETS } }, 'notify', 'list');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ops +webhook +https:\/\/hooks\.example\.org +2 min ago +commit held, .*rollout complete, server problem$/m);
  expect(stdout).toMatch(/^mail +email +ops@example\.org +failing for 1 min 0 s: answered HTTP 500 +rollout paused$/m);
});

test('floe notify list says what to set when there are none', async () => {
  const { code, stderr } = await floe({ 'GET /api/notifications': { json: [] } }, 'notify', 'list');
  expect([code, stderr]).toEqual([0, expect.stringContaining('FLOE_NOTIFY_FILE')]);
});

test('floe notify test prints what the target answered', async () => {
  const tested = { isSent: true, answer: 'HTTP 200: ok', tookMs: 123 };
  expect(await floe({ 'POST /api/notifications/ops/test': { json: tested } }, 'notify', 'test', 'ops')).toEqual({
    code: 0,
    stdout: 'ops took the message in 123 ms: HTTP 200: ok\n',
    stderr: '',
  });
});

test('floe notify test fails when the message was not sent, and controls no terminal', async () => {
  const tested = { isSent: false, answer: 'answered HTTP 500: \u001b[31mred\n\u202e', tookMs: 1 };
  const { code, stdout } = await floe({ 'POST /api/notifications/ops/test': { json: tested } }, 'notify', 'test', 'ops');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^The message was not sent: ops answered HTTP 500: red/);
  expect(stdout.trimEnd()).not.toMatch(/[\p{Cc}\u202e]/u);
});

test.each([
  ['a target that does not exist', ['nobody'], 5],
  ['what no target can be named', ['../tokens'], 2],
])('floe notify test refuses %s', async (_what, argv, code) => {
  const routes = { 'POST /api/notifications/nobody/test': refusal(404, 'TARGET_UNKNOWN', 'there is no notification target nobody') };
  expect(await floe(routes, 'notify', 'test', ...argv)).toMatchObject({ code, stdout: '' });
});
