import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { exec, systemClock, type Clock } from '@floe/runtime';
import type { CliDeps } from '../cli.ts';
import { SILENCE_MS } from '../fleet-stream.ts';
import { runCli } from '../program.ts';
import { NOW } from './fixtures.ts';

export const TOKEN = 'floe_a-good-token-0123456789---------';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** What a route answers: JSON with a status, or whatever it writes itself. */
export type Answer = { readonly status?: number; readonly json?: unknown } | ((request: IncomingMessage, response: ServerResponse) => void);

/** A server on a port of its own that knows `METHOD /path` routes, asks for {@link TOKEN}, and keeps what it saw. Who asks is ada, an administrator. */
export async function startServer(routes: Readonly<Record<string, Answer>>) {
  const seen: Seen[] = [];
  const known: Readonly<Record<string, Answer>> = {
    'GET /api/session': { json: { name: 'ada', role: 'administrator', kind: 'token' } },
    'GET /api/rollout': refusal(404, 'NO_ROLLOUT', 'nothing was rolled out yet'),
    ...routes,
  };
  const server = createServer((request, response) => {
    void (async () => {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      const path = request.url ?? '';
      seen.push({ method: request.method ?? '', path, body: text === '' ? undefined : JSON.parse(text) });
      const isKnown = request.headers.authorization === `Bearer ${TOKEN}`;
      const route = isKnown
        ? (known[`${request.method} ${path}`] ?? refusal(404, 'NOT_FOUND', `there is no ${path}`))
        : refusal(401, 'UNAUTHENTICATED', 'no');
      if (typeof route === 'function') {
        route(request, response);
        return;
      }
      response.writeHead(route.status ?? 200, { 'content-type': 'application/json' });
      response.end(route.json === undefined ? '' : JSON.stringify(route.json));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const url = `http://127.0.0.1:${address.port}`;
  return {
    url,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function refusal(status: number, code: string, message: string): Answer {
  return { status, json: { error: { code, message } } };
}

/** Starts an event stream and gives how to send on it. */
export function sendEvent(response: ServerResponse, name: string, data: unknown): void {
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** A home folder with a token file. */
export async function makeHome(token = TOKEN) {
  const folder = await mkdtemp(join(tmpdir(), 'floe-cli-'));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, `${token}\n`);
  return {
    folder,
    tokenFile,
    configFile: join(folder, 'floe', 'config.json'),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true });
    },
  };
}

/** The clock of the canned views. A pause takes no time; the limit on the server's silence never comes. */
export const fixedClock: Clock = {
  now: () => NOW,
  monotonic: () => systemClock.monotonic(),
  sinceBoot: () => systemClock.sinceBoot(),
  sleep: async (ms, signal) => {
    if (ms >= SILENCE_MS && signal !== undefined && !signal.aborted) await once(signal, 'abort');
  },
};

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in this process. */
export async function run(argv: readonly string[], env: Readonly<Record<string, string>>, over: Partial<CliDeps> = {}): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(argv, {
    env,
    stdin: Readable.from([]),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    fetch,
    clock: fixedClock,
    random: () => 0.5,
    exec,
    signal: new AbortController().signal,
    ...over,
  });
  return { code, stdout, stderr };
}
