import type { ServerResponse } from 'node:http';
import type { FleetView } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SILENCE_MS } from './fleet-stream.ts';
import { calmFleet, fleetView, hostView, NOW, revisionView, rolledBackHost } from './test/fixtures.ts';
import { fixedClock, makeHome, run, sendEvent, startServer, type Answer, type Run } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
let stop: AbortController;

beforeEach(async () => {
  home = await makeHome();
  stop = new AbortController();
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
  await home[Symbol.asyncDispose]();
});

type Connection = (response: ServerResponse) => void;

/** A stream that begins with a snapshot, and goes on with `then`. */
function streaming(fleet: FleetView, then: Connection): Connection {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    sendEvent(response, 'snapshot', fleet);
    then(response);
  };
}

function answering(status: number, body: string): Connection {
  return (response) => response.writeHead(status).end(body);
}

interface FollowOptions {
  readonly argv?: readonly string[];
  readonly clock?: Clock;
  /** Ctrl-C is pressed as soon as this was shown. */
  readonly until?: RegExp;
}

/** Runs `floe events` against a server that answers each connection in its own way, and in the last way forever. */
async function follow(connections: readonly Connection[], options: FollowOptions = {}): Promise<Run> {
  const { argv = ['--follow'], clock = fixedClock, until } = options;
  let count = 0;
  const shown = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof shown) => ({
    write(text: string): void {
      shown[name] += text;
      if (until?.test(shown[name]) === true) stop.abort();
    },
  });
  const route: Answer = (_request, response) => {
    connections[Math.min(count, connections.length - 1)]?.(response);
    count += 1;
  };
  server = await startServer({ 'GET /api/events': route });
  const env = { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  const { code } = await run(['events', ...argv], env, { signal: stop.signal, clock, stdout: sink('stdout'), stderr: sink('stderr') });
  return { code, ...shown };
}

const changed = { type: 'host', version: 41, at: NOW + 1_000, host: rolledBackHost('ws1') } as const;

function cutOff(response: ServerResponse): void {
  // Only once the snapshot is surely sent: destroy throws away what is still in the buffer.
  response.write(': bye\n\n', () => response.destroy());
}

describe('floe events', () => {
  test('shows the last change of everything and ends', async () => {
    const { code, stdout, stderr } = await follow([streaming(fleetView(), () => undefined)], { argv: [] });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toEqual([
      '2026-09-21 14:09:38  revision  3f9c2ab1d0  published  rollout: 1 of 3 on it, 1 under way, 1 rolled back',
      expect.stringMatching(/host {2}ws2 {2}rolled back {2}rolled back bbbbbbbb {2}rolled back:/),
      '2026-09-21 14:12:30  host  ws1  in sync  succeeded aaaaaaaa',
      '2026-09-21 14:12:30  host  ws10  away  succeeded aaaaaaaa',
      '2026-09-21 14:13:08  repository  accepted 3f9c2ab1d0',
      '',
    ]);
  });

  test('says of what never happened that it never did, and not the time of the call', async () => {
    const unseen = { standing: 'not-enrolled', isEnrolled: false, isConnected: false, stateSince: null, lastSeenAt: null } as const;
    const fleet = fleetView({ hosts: [hostView('ws1'), hostView('ws7', unseen)] });
    const { stdout } = await follow([streaming({ ...fleet, repository: { ...fleet.repository, lastFetchAt: null } }, () => undefined)], { argv: [] });
    expect(stdout).toMatch(/^never fetched {8}repository /m);
    expect(stdout).toMatch(/^never seen {11}host {2}ws7 {2}not enrolled/m);
  });

  test('tells a change once, however often the server repeats it, and a download once', async () => {
    const downloading = (doneBytes: number) => ({
      ...changed,
      host: hostView('ws1', { standing: 'under-way', state: 'DOWNLOADING', progress: { doneBytes, expectedBytes: 100 } }),
    });
    const last = { ...changed, host: hostView('ws9') };
    const changes = streaming(calmFleet(), (response) => {
      for (const event of [downloading(1), downloading(50), changed, changed, last]) sendEvent(response, 'change', event);
    });
    const { stdout } = await follow([changes], { until: /ws9/ });
    expect(stdout.match(/downloading/g)).toHaveLength(1);
    expect(stdout.match(/rolled back: the check/g)).toHaveLength(1);
  });

  test('comes back when the server was away, says so, and tells only what is new', async () => {
    const after = { ...calmFleet(), revision: revisionView({ state: 'SUPERSEDED', rollout: null }) };
    const { code, stdout, stderr } = await follow(
      [streaming(calmFleet(), cutOff), answering(502, 'Bad gateway'), (response) => response.destroy(), streaming(after, () => undefined)],
      { until: /superseded/ },
    );
    expect(code).toBe(0);
    expect(stdout.match(/ws1/g)).toHaveLength(1);
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/^floe: the connection broke.*; trying again in 250 ms$/),
      expect.stringMatching(/does not reach the server \(HTTP 502\).*; trying again in 500 ms$/),
      expect.stringMatching(/cannot reach .*; trying again in 1\.0 s$/),
      '',
    ]);
  });

  test('--json is one object per line, with a snapshot for each connection', async () => {
    const { stdout } = await follow(
      [
        streaming(calmFleet(), (response) => {
          sendEvent(response, 'change', changed);
          response.end();
        }),
        streaming(calmFleet(), () => undefined),
      ],
      { argv: ['--follow', '--json'], until: /"snapshot"[^]*"snapshot"/ },
    );
    const types = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types).toEqual(['snapshot', 'host', 'snapshot']);
  });

  test('ends when the token is no longer accepted', async () => {
    const refused = answering(401, JSON.stringify({ error: { code: 'UNAUTHENTICATED', message: 'revoked' } }));
    const { code, stderr } = await follow([streaming(calmFleet(), cutOff), refused]);
    expect(code).toBe(3);
    expect(stderr).toContain(`does not accept the token`);
  });

  test('ends at once when the first connection fails', async () => {
    const { code, stderr } = await follow([answering(502, '')]);
    expect(code).toBe(4);
    expect(stderr).not.toContain('trying again');
  });

  test('gives a silent connection up', async () => {
    let watches = 0;
    const clock: Clock = {
      ...fixedClock,
      async sleep(ms, signal) {
        watches += ms === SILENCE_MS ? 1 : 0;
        // The first watch is ended by the snapshot; after it nothing comes.
        if (watches !== 2) await fixedClock.sleep(ms, signal);
      },
    };
    const silent = streaming(calmFleet(), () => undefined);
    const { code, stdout, stderr } = await follow([silent, streaming(fleetView(), () => undefined)], { clock, until: /ws10/ });
    expect([code, stderr]).toEqual([0, 'floe: the server fell silent; trying again in 250 ms\n']);
    expect(stdout).toContain('ws1 ');
  });

  test('does not take a page for a stream', async () => {
    const page: Connection = (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    expect(await follow([page])).toMatchObject({ code: 1, stderr: expect.stringContaining('is not of the type text/event-stream') as string });
  });
});
