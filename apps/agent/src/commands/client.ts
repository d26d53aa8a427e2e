import type { IncomingMessage } from 'node:http';
import { stat } from 'node:fs/promises';
import { FloeError, isAbort } from '@floe/runtime';
import * as v from 'valibot';
import { groupName, readEtcGroup, type ReadGroups } from '../local/group.ts';
import {
  Accepted,
  Changes,
  Deferred,
  LocalStatus,
  NoticeLine,
  Refusal,
  RollingBack,
  rootSocketPath,
  type LaterRequest,
  type Notice,
} from '../local/protocol.ts';

const TIMEOUT_MS = 15_000;
/** Comparing closures reads the whole register of two systems. */
const CHANGES_TIMEOUT_MS = 120_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const MAX_LINE_CHARACTERS = 64 * 1024;

/** What a command or a desktop asks of the running agent. */
export interface AgentClient {
  status(): Promise<LocalStatus>;
  later(request: LaterRequest): Promise<Deferred>;
  now(): Promise<Accepted>;
  rollback(): Promise<RollingBack>;
  resume(): Promise<Accepted>;
  changes(): Promise<Changes>;
  /** Until the agent ends, or `signal` aborts. `canShow`: whether this is a desktop that shows notices to someone. */
  follow(canShow: boolean, signal: AbortSignal): AsyncIterable<Notice | null>;
}

export interface ClientOptions {
  readonly socketPath: string;
  readonly signal: AbortSignal;
  /** Default: /etc/group. */
  readonly readGroups?: ReadGroups;
}

/**
 * Talks to the agent over its socket. All calls throw AGENT_NOT_RUNNING, NOT_ALLOWED, ANSWER_UNEXPECTED, NO_ANSWER, or
 * a refusal's own code, with messages that say what to do.
 */
export function createAgentClient(options: ClientOptions): AgentClient {
  async function ask<T>(
    method: 'GET' | 'POST',
    path: string,
    schema: v.GenericSchema<unknown, T>,
    body?: object,
    timeoutMs = TIMEOUT_MS,
  ): Promise<T> {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
    const response = await open(options, { method, path, body, signal });
    const text = await readAll(response, options.socketPath);
    return parseAnswer(schema, response.statusCode ?? 0, text);
  }
  return {
    status: async () => await ask('GET', '/status', LocalStatus),
    later: async (request) => await ask('POST', '/later', Deferred, request),
    now: async () => await ask('POST', '/now', Accepted),
    rollback: async () => await ask('POST', '/rollback', RollingBack),
    resume: async () => await ask('POST', '/resume', Accepted),
    changes: async () => await ask('GET', '/changes', Changes, undefined, CHANGES_TIMEOUT_MS),
    follow: (canShow, signal) => follow(options, canShow, signal),
  };
}

async function* follow(options: ClientOptions, canShow: boolean, stop: AbortSignal): AsyncGenerator<Notice | null> {
  const signal = AbortSignal.any([options.signal, stop]);
  const response = await open(options, { method: 'GET', path: canShow ? '/events' : '/events?shows=no', signal });
  if (response.statusCode !== 200) parseAnswer(NoticeLine, response.statusCode ?? 0, await readAll(response, options.socketPath));
  response.setEncoding('utf8');
  let partial = '';
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (partial + chunk).split('\n');
      partial = lines.pop() ?? '';
      if (partial.length > MAX_LINE_CHARACTERS) throw unexpected('a line without an end');
      for (const line of lines) yield parseAnswer(NoticeLine, 200, line).notice;
    }
  } catch (error) {
    // The stream ended in the middle, or was told to: both are its end.
    if (isAbort(error) || (error as NodeJS.ErrnoException).code === 'ECONNRESET') return;
    throw error;
  }
}

interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: object | undefined;
  readonly signal: AbortSignal;
}

/** Sends a request; returns when the answer begins. */
async function open({ socketPath, readGroups = readEtcGroup }: ClientOptions, request: Request): Promise<IncomingMessage> {
  try {
    return (await openAsRoot(socketPath, request)) ?? (await send(socketPath, request));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isNobodyThere(error)) throw notRunning(socketPath);
    if (code === 'EACCES' || code === 'EPERM') throw await notAllowed(socketPath, readGroups);
    throw noAnswer(socketPath, error);
  }
}

/** Where nobody else can be in root's way. An agent that lets no group in, or is of an older version, has no such socket. */
async function openAsRoot(socketPath: string, request: Request): Promise<IncomingMessage | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  try {
    return await send(rootSocketPath(socketPath), request);
  } catch (error) {
    if (isNobodyThere(error)) return undefined;
    throw error;
  }
}

function isNobodyThere(error: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

async function send(socketPath: string, { method, path, body, signal }: Request): Promise<IncomingMessage> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = text === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const request = process.getBuiltinModule('node:http').request({ socketPath, method, path, headers, signal, agent: false }, resolve);
    request.on('error', reject);
    request.end(text);
  });
}

async function readAll(response: IncomingMessage, socketPath: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) throw unexpected('an answer that is too long');
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof FloeError ? error : noAnswer(socketPath, error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseAnswer<T>(schema: v.GenericSchema<unknown, T>, status: number, text: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw unexpected(`status ${status} and no JSON`);
  }
  if (status !== 200) {
    const refusal = v.safeParse(Refusal, json);
    if (!refusal.success) throw unexpected(`status ${status}`);
    throw new FloeError(refusal.output.code, refusal.output.message);
  }
  const parsed = v.safeParse(schema, json);
  if (!parsed.success) throw unexpected(v.summarize(parsed.issues).slice(0, 500));
  return parsed.output;
}

function notRunning(socketPath: string): FloeError<'AGENT_NOT_RUNNING'> {
  return new FloeError(
    'AGENT_NOT_RUNNING',
    `floe-agent does not run here: nothing answers on ${socketPath}. Start it with "sudo systemctl start floe-agent"; "journalctl -u floe-agent" says why it ended`,
    { retryable: true },
  );
}

async function notAllowed(socketPath: string, readGroups: ReadGroups): Promise<FloeError<'NOT_ALLOWED'>> {
  const found = await stat(socketPath).catch(() => undefined);
  // 0660 names a group; 0600 is root's alone, whatever group the file has.
  const isForGroup = found !== undefined && (found.mode & 0o060) !== 0 && found.gid !== 0;
  const text = isForGroup ? await readGroups().catch(() => '') : '';
  const group = isForGroup ? (groupName(text, found.gid) ?? `with the number ${found.gid}`) : undefined;
  const message =
    group === undefined
      ? 'only root may talk to floe-agent on this machine: use sudo'
      : `only root and the group ${group} may talk to floe-agent: use sudo, or ask your administrator to put you into the group ${group} (and log in anew)`;
  return new FloeError('NOT_ALLOWED', message, { data: { group } });
}

function noAnswer(socketPath: string, cause: unknown): FloeError<'NO_ANSWER'> {
  const isLate =
    cause instanceof Error &&
    (cause.name === 'TimeoutError' || (isAbort(cause) && cause.cause instanceof Error && cause.cause.name === 'TimeoutError'));
  const what = isLate ? 'floe-agent does not answer in time' : 'the connection to floe-agent was lost';
  return new FloeError('NO_ANSWER', `${what} (${socketPath}): try again, and look at "journalctl -u floe-agent"`, { retryable: true, cause });
}

function unexpected(what: string): FloeError<'ANSWER_UNEXPECTED'> {
  return new FloeError('ANSWER_UNEXPECTED', `floe-agent answered in a form that this command does not know (${what}): is it of the same version?`);
}
