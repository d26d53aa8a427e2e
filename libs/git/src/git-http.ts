import { isAbort } from '@floe/runtime';
import { gitError } from './errors.ts';
import type { GitTransport, TransportOptions } from './git-transport.ts';
import { translateStatus, translateType } from './http-errors.ts';

type GitHttpOptions = Pick<TransportOptions, 'url' | 'token' | 'tokenSetting' | 'signal'>;

const MAX_REDIRECTS = 5;
/** The limit for the body of an error. */
const MAX_TEXT_BYTES = 1024;
const DISCOVERY_PATH = '/info/refs?service=git-upload-pack';

/**
 * Git's HTTP over Node's fetch. The token is sent with the first request. A redirect within the origin holds for the whole
 * conversation (forges redirect renamed repositories); a redirect to another origin is refused, so that the token never goes to
 * another server. Node limits the headers of an answer (16 KiB), and the caller limits silence by the signal.
 */
export function createGitHttp(options: GitHttpOptions): GitTransport {
  const { url, token } = options;
  let base = url;

  async function send(path: string, init: RequestInit, type: string): Promise<AsyncIterable<Uint8Array>> {
    const headers = new Headers(init.headers);
    headers.set('user-agent', 'git/floe');
    if (token !== undefined) headers.set('authorization', `Basic ${Buffer.from(`x-access-token:${token.reveal()}`).toString('base64')}`);
    const { response, at } = await follow(`${base}${path}`, { ...init, headers }, options);
    if (at.endsWith(path)) base = at.slice(0, -path.length);
    if (response.status !== 200 || response.headers.get('content-type')?.split(';')[0] !== type || response.body === null) {
      const { status, headers: answered } = response;
      // The status decides, so an unreadable body does not matter.
      const text = await firstWords(response, options).catch(() => '');
      options.signal.throwIfAborted();
      const redirectedTo = at === `${url}${path}` ? undefined : new URL(at).pathname;
      const asked = { url, tokenSetting: options.tokenSetting, hasToken: token !== undefined };
      throw (status === 200 ? translateType : translateStatus)({ status, headers: answered, redirectedTo, text }, asked);
    }
    return readBody(response.body, options);
  }

  return {
    discover: async () => await send(DISCOVERY_PATH, {}, 'application/x-git-upload-pack-advertisement'),
    uploadPack: async (body) =>
      await send(
        '/git-upload-pack',
        {
          method: 'POST',
          body,
          headers: { 'content-type': 'application/x-git-upload-pack-request', accept: 'application/x-git-upload-pack-result' },
        },
        'application/x-git-upload-pack-result',
      ),
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
}

/** The beginning of a plain text body; empty for other types. */
async function firstWords(response: Response, options: GitHttpOptions): Promise<string> {
  const type = response.headers.get('content-type')?.split(';')[0];
  if (type !== 'text/plain' || response.body === null) {
    await discard(response);
    return '';
  }
  let text = Buffer.alloc(0);
  for await (const chunk of readBody(response.body, options)) {
    text = Buffer.concat([text, chunk]);
    if (text.length > MAX_TEXT_BYTES) break;
  }
  return text.toString('utf8', 0, MAX_TEXT_BYTES);
}

async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

async function follow(first: string, init: RequestInit, options: GitHttpOptions): Promise<{ readonly response: Response; readonly at: string }> {
  let at = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const response = await reach(options, async () => await fetch(at, { ...init, redirect: 'manual', signal: options.signal }));
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    if (location === null) return { response, at };
    await discard(response);
    const next = URL.canParse(location, at) ? new URL(location, at) : undefined;
    if (next?.origin !== new URL(at).origin) {
      const moved = next === undefined ? 'an invalid address' : `${next.origin}${next.pathname}`.replace(/\/info\/refs$/, '').slice(0, 500);
      throw gitError('REPOSITORY_MOVED', `${options.url} redirects to ${moved}: if that is correct, set FLOE_REPOSITORY_URL to it`, {
        data: { url: options.url, location: moved },
      });
    }
    at = next.href;
  }
  throw gitError('REPOSITORY_UNREACHABLE', `${options.url} redirects more than ${MAX_REDIRECTS} times`, { data: { url: options.url } });
}

async function* readBody(body: ReadableStream<Uint8Array>, options: GitHttpOptions): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reach(options, async () => await reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    // Cancels the body when the reader stops early, however much is left.
    await reader.cancel().catch(() => undefined);
  }
}

/** Runs a step of the conversation, and translates its errors. */
async function reach<Result>(options: GitHttpOptions, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (cause) {
    if (isAbort(cause) || options.signal.aborted) throw cause;
    // Node's fetch says only "fetch failed"; the reason is in the cause.
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const said = reason instanceof Error ? ('code' in reason && String(reason.code)) || reason.message : String(reason);
    // For a proxy that requires a password (407), fetch gives no reason.
    const text = said === '' ? 'no usable answer; is there a proxy in between?' : said;
    throw gitError('REPOSITORY_UNREACHABLE', `${options.url} could not be reached (${text}): check the network, the server and FLOE_REPOSITORY_URL`, {
      data: { url: options.url, reason: text },
      cause,
    });
  }
}
