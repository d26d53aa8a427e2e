import { AGENT_STATES } from '@floe/model';
import { switchesOf } from '@floe/views';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostView, NOW, reportView } from './test/fixtures.ts';
import { makeHome, refusal, run, startServer, type Answer } from './test/harness.ts';
import { clockTime } from './view/clock-time.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
beforeAll(async () => {
  home = await makeHome();
});
afterAll(async () => await home[Symbol.asyncDispose]());
afterEach(async () => await server?.[Symbol.asyncDispose]());

async function serving(routes: Readonly<Record<string, Answer>>) {
  server = await startServer(routes);
  const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return async (...argv: string[]) => await run(argv, env);
}

const REPORTS = 'GET /api/hosts/ws2/reports?limit=1000';
const CHECK = { code: 'HEALTH_CHECK_FAILED', message: 'the check "printer" ended with status 3 instead of 0: no route' };
const ROLLED_BACK = reportView('ws2', { seq: 8, epoch: 4, state: 'ROLLED_BACK', detail: CHECK, hasLog: true, receivedAt: NOW - 60_000 });
const HISTORY = [
  reportView('ws2', { seq: 9, epoch: 5, state: 'DOWNLOADING', timings: null, commit: null, receivedAt: NOW }),
  ROLLED_BACK,
  reportView('ws2', { seq: 7, epoch: 4, state: 'ACTIVATING', timings: { activateMs: 900 }, receivedAt: NOW - 70_000 }),
  reportView('ws2', { seq: 6, epoch: 3, receivedAt: NOW - 86_400_000 }),
];
const LOG = { json: { log: 'cups.service: failed\n\u001b[2Jlp0 on fire' } };
const unknown = {
  'GET /api/hosts/ws3/reports?limit=1000': refusal(404, 'HOST_UNKNOWN', 'there is no host ws3'),
  'GET /api/hosts': { json: [hostView('ws2'), hostView('ada')] },
};

describe('floe history', () => {
  test('shows each switch with its commit, how it ended, how long it took, and why', async () => {
    const floe = await serving({ [REPORTS]: { json: HISTORY } });
    const [head, ...lines] = (await floe('history', 'ws2')).stdout.trimEnd().split('\n');
    expect(head).toMatch(/^WHEN +CAME TO +COMMIT +SUBJECT +SYSTEM +TOOK +WHY$/);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(new RegExp(`^${clockTime(NOW)} +downloading +aaaaaaaa`));
    expect(lines[1]).toMatch(/rolled back +3f9c2ab1d0 +Add the printer .* aaaaaaaa +2\.4 s +the check "printer" ended with status 3/);
    expect(lines[2]).toMatch(/succeeded +3f9c2ab1d0/);
  });

  test('shows as many as wanted, and says that there are more', async () => {
    const floe = await serving({ [REPORTS]: { json: HISTORY } });
    const { stdout, stderr } = await floe('history', 'ws2', '--limit', '1');
    expect(stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(stderr).toBe('floe: older ones: --limit 3\n');
  });

  test('gives scripts the same, without the reports', async () => {
    const floe = await serving({ [REPORTS]: { json: HISTORY } });
    const told = JSON.parse((await floe('history', 'ws2', '--json', '--limit', '2')).stdout) as object[];
    expect(told).toMatchObject([
      { state: 'DOWNLOADING', isOver: false },
      { state: 'ROLLED_BACK', isOver: true, detail: CHECK.message },
    ]);
    expect(told[0]).not.toHaveProperty('reports');
  });

  test('leaves out the switch whose beginning is cut off', async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => reportView('ws2', { seq: 1_000 - index, epoch: 500 - Math.floor(index / 3) }));
    const floe = await serving({ [REPORTS]: { json: many } });
    const told = JSON.parse((await floe('history', 'ws2', '--json', '--limit', '9999')).stdout) as object[];
    expect(told).toHaveLength(333);
  });
});

describe('floe logs', () => {
  test('names the check that failed, and shows the end of the log', async () => {
    const floe = await serving({ [REPORTS]: { json: HISTORY }, 'GET /api/hosts/ws2/reports/0/8/log': LOG });
    expect((await floe('logs', 'ws2')).stdout).toBe(
      `rolled back  3f9c2ab1d0 Add the printer of the second floor  ${clockTime(NOW - 60_000)} (1 min ago)
  the check "printer" ended with status 3 instead of 0: no route
End of the log
  cups.service: failed
  lp0 on fire
`,
    );
    expect(JSON.parse((await floe('logs', 'ws2', '--json')).stdout)).toMatchObject([
      { state: 'ROLLED_BACK', reason: CHECK.message, log: expect.stringContaining('lp0 on fire') as string },
    ]);
  });

  test('says that a log is not kept any more, and still why it failed', async () => {
    const gone = refusal(404, 'LOG_UNKNOWN', 'there is no log of this report any more');
    const floe = await serving({ [REPORTS]: { json: HISTORY }, 'GET /api/hosts/ws2/reports/0/8/log': gone });
    const { code, stdout, stderr } = await floe('logs', 'ws2');
    expect(code).toBe(0);
    expect(stderr).toMatch(/last 200 reports.*floe history ws2.*journalctl -u floe-agent/);
    expect(stdout).toContain('the check "printer"');
    expect(stdout).toContain('No log of it is kept.');
  });

  test('reads no more logs than are wanted', async () => {
    const failures = [8, 6, 4].map((seq) => reportView('ws2', { seq, epoch: seq, state: 'ROLLED_BACK', detail: CHECK, hasLog: true }));
    const logs = Object.fromEntries(failures.map(({ seq }) => [`GET /api/hosts/ws2/reports/0/${seq}/log`, LOG]));
    const floe = await serving({ [REPORTS]: { json: failures }, ...logs });
    expect(JSON.parse((await floe('logs', 'ws2', '--limit', '2', '--json')).stdout)).toHaveLength(2);
    expect(server?.seen.filter(({ path }) => path.endsWith('/log'))).toHaveLength(2);
  });

  test('of a host that never failed says so', async () => {
    const floe = await serving({ [REPORTS]: { json: [reportView('ws2')] } });
    const { code, stdout, stderr } = await floe('logs', 'ws2');
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toMatch(/^floe: no log of ws2: none of its switches that the server keeps failed\n/);
    expect(stderr).toMatch(/last 200 reports.*floe history ws2.*journalctl -u floe-agent/);
    expect((await floe('logs', 'ws2', '--json')).stdout.trim()).toBe('[]');
  });

  test('shows every failure of any reports, once, with a reason where one was reported', async () => {
    const anyReport = fc.record({
      epoch: fc.nat(3),
      state: fc.constantFrom(...AGENT_STATES),
      detail: fc.option(fc.constant(CHECK)),
      hasLog: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyReport, { maxLength: 8 }), async (some) => {
        const reports = some.toSorted((a, b) => b.epoch - a.epoch).map((each, index) => reportView('ws2', { ...each, seq: 100 - index }));
        const floe = await serving({
          [REPORTS]: { json: reports },
          ...Object.fromEntries(reports.map(({ seq }) => [`GET /api/hosts/ws2/reports/0/${seq}/log`, LOG])),
        });
        try {
          const told = JSON.parse((await floe('logs', 'ws2', '--limit', '99', '--json')).stdout) as { log: string | null; reason: string | null }[];
          expect(told.filter(({ log }) => log !== null)).toHaveLength(new Set(reports.filter(({ hasLog }) => hasLog).map(({ epoch }) => epoch)).size);
          const failed = switchesOf(reports).filter(({ state }) => ['ROLLED_BACK', 'ROLLBACK_FAILED', 'BLOCKED', 'REJECTED'].includes(state));
          expect(told.length).toBeGreaterThanOrEqual(failed.length);
          expect((await floe('logs', 'ws2', '--limit', '99')).code).toBe(0);
          expect((await floe('history', 'ws2', '--json')).code).toBe(0);
        } finally {
          await server?.[Symbol.asyncDispose]();
        }
      }),
      { numRuns: 15 },
    );
  });
});

describe.each(['history', 'logs'])('floe %s', (command) => {
  test('of a host that does not exist names those that come near', async () => {
    const floe = await serving(unknown);
    expect(await floe(command, 'ws3')).toEqual({ code: 5, stdout: '', stderr: 'floe: there is no host ws3; did you mean ws2? (HOST_UNKNOWN)\n' });
  });

  test.each([
    [['Not A Host'], "invalid for argument 'host'"],
    [['ws2', '--limit', '0'], 'a whole number from 1 to 9999'],
    [[], "missing required argument 'host'"],
  ])('%j is wrong usage', async (argv, message) => {
    expect(await run([command, ...argv], {})).toMatchObject({ code: 2, stderr: expect.stringContaining(message) as string });
  });

  test('of a host that has not reported yet says nothing is there', async () => {
    const floe = await serving({ [REPORTS]: { json: [] } });
    expect(await floe(command, 'ws2')).toMatchObject({ code: 0, stdout: '', stderr: expect.stringMatching(/ws2/) as string });
    expect((await floe(command, 'ws2', '--json')).stdout.trim()).toBe('[]');
  });
});
