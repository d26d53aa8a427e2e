import fc from 'fast-check';
import { EnrolmentTokenResponse, FleetView, HostView, ReportView, RevisionView } from '@floe/protocol';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { fleetView, NOW, reportView, revisionView, rolledBackHost, SHA } from './test/fixtures.ts';
import { makeHome, refusal, run, sendEvent, startServer, type Answer } from './test/harness.ts';

// Whatever the server sends (it may be hostile, or pass on text of a host, a commit or a build), it cannot control the user's
// terminal, and the command ends.

const STEERING =
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\p{Noncharacter_Code_Point}\p{Surrogate}]/u;
/** What the command itself writes on a terminal. */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const OWN_COLOURS = /\u001b\[(?:1|2|22|31|32|36|39)m/g;

const Hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\u001b]0;title\u0007',
        '\u001b[2J',
        '\u009b2J',
        '\r',
        '\n',
        '\u001b[31m',
        '\ufdd2fake\ufdd5',
        '\u202e',
        '\u2066',
        '\u200b',
        '\u2028',
        'e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301',
        'x'.repeat(400),
        '\0',
        '\ud800',
        '\t',
        '`id`',
        '$(id)',
        "'; id; '",
        '${id}',
        '"',
      ),
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constant('word'),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''));

/**
 * A body with `text` wherever its schema takes any: each text is replaced in turn, and stays so where the answer still parses.
 * So a field that comes later is tried, too. Words for programs are printable ASCII: the others are refused whole.
 */
function hostile(schema: v.GenericSchema, body: unknown, text: string): unknown {
  const copy: unknown = structuredClone(body);
  function walk(node: unknown): void {
    if (typeof node !== 'object' || node === null) return;
    const parent = node as Record<string, unknown>;
    for (const [key, value] of Object.entries(parent)) {
      if (typeof value === 'string') {
        parent[key] = text;
        if (!v.is(schema, copy)) parent[key] = value;
      } else walk(value);
    }
  }
  walk(copy);
  return copy;
}

const DETAIL = { code: 'CODE', message: 'x' };
const REPORTS = [reportView('ws2', { series: 1, seq: 1, state: 'ROLLED_BACK', detail: { code: 'X', message: 'x' }, hasLog: true })];
const MADE: EnrolmentTokenResponse = {
  host: rolledBackHost('ws2').host,
  token: "'; id; '`id`",
  expiresAt: NOW + 60_000,
  serverUrl: 'https://x',
  releaseKeys: ['r:$(id)', 'r:"${x}'],
  serverKeys: ['s:x'],
  substituter: 'https://x',
  cachePublicKeys: ['c:x'],
};

/** The fixtures, with something in every field. */
function fullFleet(): FleetView {
  const hosts: HostView[] = [
    { ...rolledBackHost('ws2'), problem: 'x', detail: DETAIL, trouble: { ...DETAIL, since: NOW } },
    { ...rolledBackHost('ws3'), standing: 'waiting', state: 'DEFERRED', problem: null, detail: DETAIL },
  ];
  const revision: RevisionView = revisionView({
    error: 'x',
    warnings: ['x'],
    hosts: [
      { host: 'x', outcome: 'EVAL_ERROR', toplevel: null, error: 'x', warnings: ['x', 'x'], retryAt: NOW, evaluateMs: 1, buildMs: null },
      { host: 'ws3', outcome: 'CHANGED', toplevel: null, error: null, warnings: [], retryAt: null, evaluateMs: 1, buildMs: null },
    ],
  });
  const rollout = revision.rollout === null ? null : { ...revision.rollout, state: 'PAUSED' as const, description: 'x' };
  const repository = {
    url: 'x',
    branch: 'x',
    acceptedCommit: SHA,
    lastFetchAt: NOW,
    problem: { ...DETAIL, since: NOW },
    held: { commit: SHA, reason: 'x', since: NOW },
    fetching: { message: 'x', since: NOW },
    advice: 'x',
    notices: [{ ...DETAIL, since: NOW }],
  };
  return fleetView({ hosts, repository, revision: { ...revision, rollout } });
}

function routesFor(text: string): Readonly<Record<string, Answer>> {
  const fleet = fullFleet();
  const [host] = fleet.hosts;
  return {
    'GET /api/fleet': { json: hostile(FleetView, fleet, text) },
    'GET /api/hosts': { json: hostile(v.array(HostView), fleet.hosts, text) },
    'GET /api/hosts/ws2': { json: hostile(HostView, host, text) },
    'GET /api/hosts/ws2/reports?limit=10': { json: hostile(v.array(ReportView), REPORTS, text) },
    'GET /api/hosts/ws2/reports/1/1/log': { json: { log: text } },
    'GET /api/revisions?limit=20': { json: hostile(v.array(RevisionView), [fleet.revision], text) },
    [`GET /api/revisions/${SHA}`]: { json: hostile(RevisionView, fleet.revision, text) },
    'POST /api/hosts/ws2/enrolment-tokens': { json: hostile(EnrolmentTokenResponse, MADE, text) },
    'DELETE /api/hosts/ws2/quarantine': refusal(409, text, text),
    'GET /api/events': (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      sendEvent(response, 'snapshot', hostile(FleetView, fleet, text));
      response.end();
    },
  };
}

const COMMANDS: readonly (readonly string[])[] = [
  ['status'],
  ['status', '--json'],
  ['hosts'],
  ['hosts', 'ws2'],
  ['hosts', 'ws2', '--json'],
  ['revisions'],
  ['revisions', SHA],
  ['events'],
  ['events', '--json'],
  ['enrol', 'ws2'],
  ['retry', 'ws2', '--reason', 'x'],
];

/** How many lines come of the fixtures, whatever they say. */
const ROWS: Readonly<Record<string, number>> = { hosts: 3, revisions: 2, events: 4 };

async function runOnTerminal(argv: readonly string[]): Promise<string> {
  let shown = '';
  await run(argv, {}, { stdout: { isTTY: true, columns: 100, write: (text: string) => (shown += text) } });
  return shown;
}

describe('no word of the server steers the terminal', () => {
  test.each(COMMANDS.map((argv) => [argv.join(' '), argv] as const))('floe %s', async (_name, argv) => {
    await using home = await makeHome();
    let routes: Readonly<Record<string, Answer>> = {};
    const every: Answer = (request, response) => {
      const route = routes[`${request.method} ${request.url}`] ?? refusal(404, 'NOT_FOUND', 'no');
      if (typeof route === 'function') route(request, response);
      else response.writeHead(route.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(route.json));
    };
    const paths = Object.keys(routesFor(''));
    await using server = await startServer(Object.fromEntries(paths.map((path) => [path, every])));
    await fc.assert(
      fc.asyncProperty(Hostile, async (text) => {
        routes = routesFor(text);
        const argvFull = [...argv, '--server', server.url, '--token-file', home.tokenFile];
        const { stdout, stderr } = await run(argvFull, {});
        expect(stdout + stderr).not.toBe('');
        expect(stdout).not.toMatch(STEERING);
        expect(stderr).not.toMatch(STEERING);
        const onTerminal = await runOnTerminal(argvFull);
        expect(onTerminal.replaceAll(OWN_COLOURS, '')).not.toMatch(STEERING);
        // Every colour ends where it began: none is the text's own, which would end elsewhere or not at all.
        for (const line of onTerminal.split('\n')) expect(line.split(OWN_COLOURS).length % 2).toBe(1);
        const rows = ROWS[argv.join(' ')];
        if (rows !== undefined) expect(stdout.trimEnd().split('\n')).toHaveLength(rows);
      }),
      { numRuns: 40 },
    );
  });

  test.each([
    [
      'a redirect',
      (text: string): Answer =>
        (_request, response) =>
          response.writeHead(302, { location: encodeURI(`http://x/${text.toWellFormed()}`) }).end(),
    ],
    [
      'a page',
      (text: string): Answer =>
        (_request, response) =>
          response.writeHead(200).end(text),
    ],
    ['another form', (text: string): Answer => ({ json: { [text]: text } })],
    ['a refusal', (text: string): Answer => refusal(403, text, text)],
  ])('%s', async (_name, answer) => {
    await using home = await makeHome();
    let text = '';
    await using server = await startServer({
      'GET /api/fleet': (request, response) => {
        const route = answer(text);
        if (typeof route === 'function') route(request, response);
        else response.writeHead(route.status ?? 200).end(JSON.stringify(route.json));
      },
    });
    await fc.assert(
      fc.asyncProperty(Hostile, async (generated) => {
        text = generated;
        const { code, stderr } = await run(['status', '--server', server.url, '--token-file', home.tokenFile], {});
        expect(code).not.toBe(0);
        expect(stderr).not.toMatch(STEERING);
      }),
      { numRuns: 60 },
    );
  });
});

describe('an answer without end', () => {
  test.each([
    ['of a view', 200],
    ['of a refusal', 500],
  ])('%s is left', async (_name, status) => {
    await using home = await makeHome();
    let isClosed = false;
    await using server = await startServer({
      'GET /api/fleet': (_request, response) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        const piece = ' '.repeat(1024 * 1024);
        const more = (): void => void (response.writableEnded || response.destroyed || response.write(piece, () => setImmediate(more)));
        response.on('close', () => (isClosed = true));
        more();
      },
    });
    const { code, stderr } = await run(['status', '--server', server.url, '--token-file', home.tokenFile], {});
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/too long|without a reason/);
    await expect.poll(() => isClosed).toBe(true);
  });
});

test('an event without end is left', async () => {
  await using home = await makeHome();
  let isClosed = false;
  await using server = await startServer({
    'GET /api/events': (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const piece = 'x'.repeat(1024 * 1024);
      const more = (): void => void (response.writableEnded || response.destroyed || response.write(piece, () => setImmediate(more)));
      response.on('close', () => (isClosed = true));
      response.write('data: ', more);
    },
  });
  const { code, stderr } = await run(['events', '--follow', '--server', server.url, '--token-file', home.tokenFile], {});
  expect([code, stderr]).toEqual([1, expect.stringContaining('too long')]);
  await expect.poll(() => isClosed).toBe(true);
});
