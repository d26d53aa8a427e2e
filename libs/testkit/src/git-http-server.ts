import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';

/** A ref that a push changed. `before` is undefined for a new ref, `after` for a deleted one. */
export interface RefUpdate {
  readonly ref: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface GitHttpHandlerOptions {
  /** The folder whose bare repositories (`<name>.git`) are served. */
  readonly projectRoot: string;
  /** Whether a request may proceed; otherwise it is answered with 401. Default: everyone may read and push. */
  readonly authorise?: (credentials: BasicCredentials | undefined, repository: string) => boolean;
  /**
   * Called when a push arrives, with the repository's folder name (`fleet.git`). What it returns is called with the refs that
   * the push changed: after the pusher has its answer, so whether to tell of the push is to be decided before.
   */
  readonly onPush?: (repository: string) => ((updates: readonly RefUpdate[]) => void) | undefined;
}

/** A listener for Node's HTTP server. */
export interface GitHttpHandler {
  (req: IncomingMessage, res: ServerResponse): void;
  /** Resolves when the programs of all requests so far have ended: they outlive a disconnected client. */
  settled(): Promise<void>;
}

export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** The environment in which git reads no configuration of the machine or the user, and never prompts. */
export const ISOLATED_GIT_ENV = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
} as const;

const REQUEST_PATH = /^\/([\w-][\w.-]*\.git)(\/(?:info\/refs|git-upload-pack|git-receive-pack|HEAD|objects\/.+))$/;
const MAX_CGI_HEADER_BYTES = 64 * 1024;

/**
 * Serves the bare repositories of a folder over git's smart HTTP: each request is one run of `git http-backend`, with
 * the bodies streamed both ways. Repositories lie directly in the folder and their names end in `.git`.
 */
export function createGitHttpHandler(options: GitHttpHandlerOptions): GitHttpHandler {
  const pushes = new Map<string, Promise<void>>();

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://localhost');
    const match = REQUEST_PATH.exec(url.pathname);
    if (!match?.[1] || !match[2]) return refuse(res, 404, 'no such repository');
    const repository = match[1];
    const credentials = parseBasicCredentials(req.headers.authorization);
    if (options.authorise && !options.authorise(credentials, repository)) {
      res.setHeader('WWW-Authenticate', 'Basic realm="git"');
      return refuse(res, 401, 'the credentials are missing or wrong');
    }
    const names = await readdir(options.projectRoot);
    if (!names.includes(repository)) return refuse(res, 404, 'no such repository');
    const run = (): Promise<void> => runBackend(req, res, cgiEnvironment(options.projectRoot, req, url));
    if (req.method !== 'POST' || match[2] !== '/git-receive-pack') return run();
    const tell = options.onPush?.(repository);
    // One push at a time per repository, so that each change of a ref is reported once.
    const turn = (pushes.get(repository) ?? Promise.resolve()).then(async () => {
      const folder = join(options.projectRoot, repository);
      const before = await readRefs(folder);
      await run();
      const updates = compareRefs(before, await readRefs(folder));
      if (updates.length > 0) tell?.(updates);
    });
    const settled = turn.catch(() => undefined);
    pushes.set(repository, settled);
    await turn;
  }

  const running = new Set<Promise<void>>();
  function listener(req: IncomingMessage, res: ServerResponse): void {
    const answered = serve(req, res).catch((error: unknown) => {
      if (res.headersSent) res.destroy();
      else refuse(res, 500, error instanceof Error ? error.message : 'the request failed');
    });
    running.add(answered);
    void answered.finally(() => running.delete(answered));
  }
  return Object.assign(listener, {
    async settled() {
      await Promise.all(running);
    },
  });
}

function refuse(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

/** The user name and password of a `Basic` Authorization header. */
export function parseBasicCredentials(header: string | undefined): BasicCredentials | undefined {
  const match = /^Basic ([\w+/=-]+)$/i.exec(header ?? '');
  if (!match?.[1]) return undefined;
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function cgiEnvironment(projectRoot: string, req: IncomingMessage, url: URL): NodeJS.ProcessEnv {
  const header = (name: string): string | undefined => req.headers[name]?.toString();
  const variables: Record<string, string | undefined> = {
    ...ISOLATED_GIT_ENV,
    GIT_PROJECT_ROOT: projectRoot,
    GIT_HTTP_EXPORT_ALL: '1',
    // Whoever `authorise` admits may push; http-backend requires a REMOTE_USER for that.
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'http.receivepack',
    GIT_CONFIG_VALUE_0: 'true',
    GATEWAY_INTERFACE: 'CGI/1.1',
    SERVER_PROTOCOL: 'HTTP/1.1',
    REQUEST_METHOD: req.method,
    PATH_INFO: url.pathname,
    QUERY_STRING: url.search.slice(1),
    REMOTE_ADDR: req.socket.remoteAddress,
    CONTENT_TYPE: header('content-type'),
    CONTENT_LENGTH: header('content-length'),
    HTTP_CONTENT_ENCODING: header('content-encoding'),
    GIT_PROTOCOL: header('git-protocol'),
  };
  return { ...process.env, ...variables };
}

/** Runs one CGI request. Resolves when the program has ended, also when the client disconnected. */
function runBackend(req: IncomingMessage, res: ServerResponse, env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child: ChildProcessWithoutNullStreams = spawn('git', ['http-backend'], { env, stdio: 'pipe' });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-4096);
    });
    child.stdin.on('error', () => undefined); // EPIPE: the program did not read its input; its answer says why
    req.on('error', () => child.kill());
    req.pipe(child.stdin);
    res.on('close', () => {
      if (!res.writableFinished) child.kill();
    });
    relayResponse(child, res);
    child.on('error', reject);
    child.on('close', (code) => {
      if (!res.headersSent && !res.destroyed) {
        reject(new Error(`git http-backend ended with ${code} and no answer: ${stderr.trim()}`));
        return;
      }
      if (!res.writableEnded) res.end();
      resolve();
    });
  });
}

/** Converts the CGI header block of the program's output into the response's head and streams the rest. */
function relayResponse(child: ChildProcessWithoutNullStreams, res: ServerResponse): void {
  let head = Buffer.alloc(0);
  function onData(chunk: Buffer): void {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (head.length > MAX_CGI_HEADER_BYTES) child.kill();
      return;
    }
    child.stdout.off('data', onData);
    child.stdout.pause();
    let status = 200;
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).trim();
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
      else res.setHeader(name, value);
    }
    res.writeHead(status);
    const rest = head.subarray(end + 4);
    if (rest.length > 0) res.write(rest);
    child.stdout.pipe(res);
  }
  child.stdout.on('data', onData);
}

async function readRefs(folder: string): Promise<ReadonlyMap<string, string>> {
  const args = ['--git-dir', folder, 'for-each-ref', '--format=%(objectname) %(refname)'];
  const result = await execInTest('git', args, { env: { ...process.env, ...ISOLATED_GIT_ENV } });
  if (result.exitCode !== 0) throw new Error(`git for-each-ref failed: ${result.stderr.trim()}`);
  const lines = result.stdout.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(line.indexOf(' ') + 1), line.slice(0, line.indexOf(' '))]));
}

function compareRefs(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): RefUpdate[] {
  const refs = [...new Set([...before.keys(), ...after.keys()])].toSorted();
  return refs.map((ref) => ({ ref, before: before.get(ref), after: after.get(ref) })).filter((update) => update.before !== update.after);
}
