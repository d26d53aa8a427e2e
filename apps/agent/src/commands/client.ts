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
  RequestRefusal,
  RollingBack,
  rootSocketPath,
  type LaterRequest,
  type Notice,
} from '../local/protocol.ts';

const TIMEOUT_MS = 15_000;
/** Comparing closures reads Nix's records of two whole systems. */
const CHANGES_TIMEOUT_MS = 120_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const MAX_LINE_CHARACTERS = 64 * 1024;

/** The requests of commands and desktops to the running agent. */
export interface AgentClient {
  status(): Promise<LocalStatus>;
  later(request: LaterRequest): Promise<Deferred>;
  now(): Promise<Accepted>;
  rollback(): Promise<RollingBack>;
  resume(): Promise<Accepted>;
  changes(): Promise<Changes>;
  /** The notices, until the agent ends or `signal` aborts. `canShow`: whether this desktop can show them. */
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
    // The connection broke, or `signal` aborted: both end the stream.
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
    if (isNotListening(error)) throw notRunning(socketPath);
    if (code === 'EACCES' || code === 'EPERM') throw await notAllowed(socketPath, readGroups);
    throw noAnswer(socketPath, error);
  }
}

/** The socket that users cannot block. An agent without a group, or of an older version, does not have it. */
async function openAsRoot(socketPath: string, request: Request): Promise<IncomingMessage | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  try {
    return await send(rootSocketPath(socketPath), request);
  } catch (error) {
    if (isNotListening(error)) return undefined;
    throw error;
  }
}

function isNotListening(error: unknown): boolean {
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
    const refusal = v.safeParse(RequestRefusal, json);
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
    `floe-agent does not run here: nothing answers on ${socketPath}. Start it with "sudo systemctl start floe-agent"; "journalctl -u floe-agent" shows why it ended`,
    { retryable: true },
  );
}

async function notAllowed(socketPath: string, readGroups: ReadGroups): Promise<FloeError<'NOT_ALLOWED'>> {
  const found = await stat(socketPath).catch(() => undefined);
  // Mode 0660 allows a group; 0600 only root, whatever the file's group is.
  const isForGroup = found !== undefined && (found.mode & 0o060) !== 0 && found.gid !== 0;
  const text = isForGroup ? await readGroups().catch(() => '') : '';
  const group = isForGroup ? (groupName(text, found.gid) ?? `with the number ${found.gid}`) : undefined;
  const message =
    group === undefined
      ? 'only root may use this command on this machine: use sudo'
      : `only root and the group ${group} may use this command: use sudo, or ask your administrator to add you to the group ${group} (then log in again)`;
  return new FloeError('NOT_ALLOWED', message, { data: { group } });
}

function noAnswer(socketPath: string, cause: unknown): FloeError<'NO_ANSWER'> {
  const isLate =
    cause instanceof Error &&
    (cause.name === 'TimeoutError' || (isAbort(cause) && cause.cause instanceof Error && cause.cause.name === 'TimeoutError'));
  const what = isLate ? 'floe-agent does not answer in time' : 'the connection to floe-agent was lost';
  return new FloeError('NO_ANSWER', `${what} (${socketPath}): try again, or see "journalctl -u floe-agent"`, { retryable: true, cause });
}

function unexpected(what: string): FloeError<'ANSWER_UNEXPECTED'> {
  return new FloeError('ANSWER_UNEXPECTED', `this command cannot read floe-agent's answer (${what}): do both have the same version?`);
}
