import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { makeHome, refusal, run, startServer, type Answer, type Run } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let servers = new AsyncDisposableStack();
beforeAll(async () => void (home = await makeHome()));
afterEach(async () => {
  await servers.disposeAsync();
  servers = new AsyncDisposableStack();
});
afterAll(async () => await home[Symbol.asyncDispose]());

async function floe(routes: Readonly<Record<string, Answer>>, ...argv: string[]): Promise<Run> {
  const server = servers.use(await startServer(routes));
  return await run(argv, { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile });
}

test('floe probe list shows what can be asked, and which values are good', async () => {
  const probe = { name: 'errors', kind: 'prometheus', place: 'https://prometheus.example.org', query: 'up', good: 'at most 0.1' };
  const { code, stdout } = await floe({ 'GET /api/probes': { json: [probe] } }, 'probe', 'list');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^errors +prometheus +https:\/\/prometheus\.example\.org +at most 0\.1 +up$/m);
  expect(await floe({ 'GET /api/probes': { json: [] } }, 'probe', 'list')).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('FLOE_PROBES_FILE') as string,
  });
});

test.each([
  ['good', 0],
  ['bad', 1],
  ['unknown', 1],
])('floe probe test prints what the probe answered, and its exit status says whether that is good: %s', async (verdict, code) => {
  const tested = { verdict, text: 'probe errors: \u001b[31m0.3 is not at most 0.1', tookMs: 12 };
  expect(await floe({ 'POST /api/probes/errors/test': { json: tested } }, 'probe', 'test', 'errors')).toEqual({
    code,
    stdout: 'probe errors: 0.3 is not at most 0.1, after 12 ms\n',
    stderr: '',
  });
});

test('floe probe test refuses what no probe can be named, and names one that does not exist', async () => {
  expect(await floe({}, 'probe', 'test', '../tokens')).toMatchObject({ code: 2 });
  const routes = { 'POST /api/probes/nobody/test': refusal(404, 'PROBE_UNKNOWN', 'there is no probe nobody') };
  expect(await floe(routes, 'probe', 'test', 'nobody')).toMatchObject({ code: 5, stdout: '' });
});
