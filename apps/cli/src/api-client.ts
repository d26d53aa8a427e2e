import { ApiError } from '@floe/protocol';
import { FloeError, isAbort, isFloeError, readBoundedText, type Secret } from '@floe/runtime';
import * as v from 'valibot';

/** How long an answer may take. Event streams have their own limit. */
const ANSWER_MS = 30_000;
/** A view of ten thousand hosts is about 10 MB; a refusal is a sentence. Limited, because the other side may send endlessly. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** The server's HTTP API. Each answer is parsed by its schema; see {@link refusalOf} for the errors. */
export interface ApiClient {
  readonly serverUrl: string;
  get<Schema extends v.GenericSchema>(path: string, schema: Schema): Promise<v.InferOutput<Schema>>;
  /** `answerMs`: of what takes longer than other requests. */
  post<Schema extends v.GenericSchema>(path: string, body: object, schema: Schema, answerMs?: number): Promise<v.InferOutput<Schema>>;
  /** A change whose answer has no content. */
  send(method: 'POST' | 'DELETE', path: string, body: object): Promise<void>;
  /** The body of an event stream, or of another type, until `signal` aborts. */
  openStream(path: string, signal: AbortSignal, mediaType?: string): Promise<ReadableStream<Uint8Array>>;
}

export interface ApiClientOptions {
  readonly serverUrl: string;
  readonly token: Secret;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal;
}

export function createApiClient(options: ApiClientOptions): ApiClient {
  const { serverUrl, token } = options;

  async function request(method: string, path: string, body: object | undefined, accept: string, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await options.fetch(`${serverUrl}${path}`, {
        method,
        headers: {
          accept,
          authorization: `Bearer ${token.reveal()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'manual',
        signal,
      });
    } catch (cause) {
      if (options.signal.aborted) throw new FloeError('INTERRUPTED', 'stopped', { cause });
      throw unreachable(serverUrl, cause);
    }
    if (!response.ok) throw await refusalOf(response, serverUrl);
    return response;
  }

  async function answer<Schema extends v.GenericSchema>(
    method: string,
    path: string,
    body: object | undefined,
    schema: Schema,
    answerMs = ANSWER_MS,
  ): Promise<v.InferOutput<Schema>> {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(answerMs)]);
    const response = await request(method, path, body, 'application/json', signal);
    let json: unknown;
    try {
      json = JSON.parse(await readBoundedText(response, MAX_ANSWER_BYTES));
    } catch (cause) {
      if (isFloeError(cause, 'ANSWER_TOO_LONG')) throw notFloe(serverUrl, `${path} is too long`, cause);
      if (signal.aborted || !(cause instanceof SyntaxError)) throw unreachable(serverUrl, cause);
      throw notFloe(serverUrl, `${path} is not JSON`, cause);
    }
    const parsed = v.safeParse(schema, json);
    if (!parsed.success) throw notFloe(serverUrl, `${path} does not match its schema: ${v.summarize(parsed.issues)}`);
    return parsed.output;
  }

  return {
    serverUrl,
    get: (path, schema) => answer('GET', path, undefined, schema),
    post: (path, body, schema, answerMs) => answer('POST', path, body, schema, answerMs),
    async send(method, path, body) {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(ANSWER_MS)]);
      const response = await request(method, path, body, 'application/json', signal);
      await response.body?.cancel();
    },
    async openStream(path, signal, mediaType = 'text/event-stream') {
      const response = await request('GET', path, undefined, mediaType, signal);
      if (response.body === null || response.headers.get('content-type')?.startsWith(mediaType) !== true) {
        throw notFloe(serverUrl, `${path} is not of the type ${mediaType}`);
      }
      return response.body;
    },
  };
}

function notFloe(serverUrl: string, what: string, cause?: unknown): FloeError {
  return new FloeError('ANSWER_MALFORMED', `the answer to ${what}. Is ${serverUrl} a Floe server of the same version as this command?`, { cause });
}

function adviceFor(code: string): string {
  if (code === 'CERT_HAS_EXPIRED')
    return 'its certificate, or that of its authority, has expired, or the clock here is wrong: renew it where TLS ends, at the proxy';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another name: check the URL';
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code))
    return 'its certificate is not trusted here: for a private authority set NODE_EXTRA_CA_CERTS to its file';
  return 'check the URL, the network and that the server runs';
}

function unreachable(serverUrl: string, cause: unknown): FloeError {
  const code = reasonOf(cause);
  return new FloeError('SERVER_UNREACHABLE', `cannot reach ${serverUrl} (${code}): ${adviceFor(code)}`, {
    retryable: true,
    data: { serverUrl },
    cause,
  });
}

function reasonOf(error: unknown): string {
  let current: unknown = error;
  while (current instanceof Error) {
    if (current.name === 'TimeoutError') return `no answer within ${ANSWER_MS / 1000} s`;
    if (isAbort(current)) return 'silent for too long';
    if ('code' in current && typeof current.code === 'string') return current.code;
    current = current.cause;
  }
  return rootMessage(error);
}

/** `fetch` says "fetch failed"; the reason is in the cause behind it. */
function rootMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : rootMessage(error.cause);
}

/**
 * What an answer other than 2xx means: `UNAUTHENTICATED`, `FORBIDDEN`, `NOT_FOUND`, `SERVER_UNREACHABLE` (a gateway
 * says so), `SERVER_FAILED`, `REFUSED`. The server's own code is in `data.serverCode`.
 */
async function refusalOf(response: Response, serverUrl: string): Promise<FloeError> {
  const { status } = response;
  if (status >= 300 && status < 400) {
    await response.body?.cancel();
    return notFloe(serverUrl, `the request is a redirect to ${response.headers.get('location') ?? 'nowhere'}: log in with that URL`);
  }
  const text = await readBoundedText(response, MAX_REFUSAL_BYTES).catch(() => '');
  const error = parseApiError(text);
  const data = { status, serverCode: error?.code };
  if (status === 401)
    return new FloeError(
      'UNAUTHENTICATED',
      `${serverUrl} does not accept the token: it is unknown, expired or was revoked. Ask an administrator of the server for one (the first is in admin-token of its data folder), then run: floe login ${serverUrl}`,
      { data },
    );
  if (error === undefined) {
    if (status >= 502 && status <= 504) {
      return new FloeError('SERVER_UNREACHABLE', `the gateway at ${serverUrl} does not reach the server (HTTP ${status}): check that it runs`, {
        retryable: true,
        data,
      });
    }
    return notFloe(serverUrl, `the request is HTTP ${status} without a reason`);
  }
  if (status === 403) return new FloeError('FORBIDDEN', error.message, { data });
  // The server's word for a path that it does not have, where other things are missing by their names.
  if (status === 404 && error.code === 'NOT_FOUND') return notFloe(serverUrl, `the answer is "${error.message}"`);
  if (status === 404) return new FloeError('NOT_FOUND', error.message, { data });
  if (status >= 500) return new FloeError('SERVER_FAILED', `the server failed: ${error.message}`, { retryable: true, data });
  return new FloeError('REFUSED', error.message, { data });
}

function parseApiError(text: string): ApiError['error'] | undefined {
  try {
    const parsed = v.safeParse(ApiError, JSON.parse(text));
    return parsed.success ? parsed.output.error : undefined;
  } catch {
    return undefined;
  }
}
