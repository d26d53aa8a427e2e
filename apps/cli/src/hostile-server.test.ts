import fc from 'fast-check';
import type { EnrolmentTokenResponse, FleetView, HostView, RevisionView } from '@floe/protocol';
import { describe, expect, test } from 'vitest';
import { fleetView, NOW, reportView, revisionView, rolledBackHost, SHA } from './test/fixtures.ts';
import { makeHome, refusal, run, sendEvent, startServer, type Answer } from './test/harness.ts';

// Whatever the server says (it may be another's, or tell what a host, a commit or a build said), the reader's terminal
// is not steered by it, and the command ends.

// oxlint-disable-next-line no-control-regex -- these are what is looked for
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/u;

const Hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\u001b]0;title\u0007',
        '\u001b[2J',
        '\u009b2J',
        '\r',
        '\n',
        '\u202e',
        '\u2066',
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

/** The fixtures, with `text` wherever the schemas take any. Words for programs are printable ASCII: the others are refused whole. */
function hostileFleet(text: string): FleetView {
  const detail = { code: 'CODE', message: text };
  const hosts: HostView[] = [{ ...rolledBackHost('ws2'), problem: text, detail }];
  const revision: RevisionView = revisionView({
    subject: text,
    author: text,
    error: text,
    hosts: [{ host: text, outcome: 'EVAL_ERROR', toplevel: null, error: text, evaluateMs: 1, buildMs: null }],
  });
  const rollout = revision.rollout === null ? null : { ...revision.rollout, state: 'PAUSED' as const, description: text };
  const repository = {
    url: text,
    branch: text,
    acceptedCommit: SHA,
    lastFetchAt: NOW,
    problem: { code: 'CODE', message: text, since: NOW },
    held: { commit: SHA, reason: text, since: NOW },
  };
  return fleetView({ hosts, repository, revision: { ...revision, rollout } });
}

function routesFor(text: string): Readonly<Record<string, Answer>> {
  const fleet = hostileFleet(text);
  const [host] = fleet.hosts;
  const made: EnrolmentTokenResponse = {
    host: rolledBackHost('ws2').host,
    token: "'; id; '`id`",
    expiresAt: NOW + 60_000,
    serverUrl: text,
    releaseKeys: ['r:$(id)', 'r:"${x}'],
    serverKeys: ['s:x'],
    substituter: text,
    cachePublicKeys: ['c:x'],
  };
  return {
    'GET /api/fleet': { json: fleet },
    'GET /api/hosts': { json: fleet.hosts },
    'GET /api/hosts/ws2': { json: host },
    'GET /api/hosts/ws2/reports?limit=10': {
      json: [reportView('ws2', { series: 1, seq: 1, state: 'ROLLED_BACK', detail: { code: 'X', message: text }, hasLog: true })],
    },
    'GET /api/hosts/ws2/reports/1/1/log': { json: { log: text } },
    'GET /api/revisions?limit=20': { json: [fleet.revision] },
    [`GET /api/revisions/${SHA}`]: { json: fleet.revision },
    'POST /api/hosts/ws2/enrolment-tokens': { json: made },
    'DELETE /api/hosts/ws2/quarantine': refusal(409, text, text),
    'GET /api/events': (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      sendEvent(response, 'snapshot', fleet);
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
        const { stdout, stderr } = await run([...argv, '--server', server.url, '--token-file', home.tokenFile], {});
        expect(stdout + stderr).not.toBe('');
        expect(stdout).not.toMatch(STEERING);
        expect(stderr).not.toMatch(STEERING);
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
