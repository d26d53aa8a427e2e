import type { GitHttpRequest, GitHttpResponse, HttpClient } from 'isomorphic-git/http/node';
import { isAbort } from '@floe/runtime';
import { gitError } from './errors.ts';

const DISCOVERY_PATH = '/info/refs?service=git-upload-pack';

export interface GitHttpOptions {
  /** The repository's address, without a slash at its end. */
  readonly url: string;
  readonly signal: AbortSignal;
}

/**
 * The HTTP client of one look at the server, over Node's own fetch. It differs from the one of isomorphic-git in this:
 * - it obeys a signal, and a broken transfer is an error instead of a short pack or a wait without end;
 * - the list of refs is asked for once: fetching right after listing works on the same answer (one round trip less, and
 *   the branch cannot move in between);
 * - redirects within one origin are followed for the whole conversation (forges redirect renamed repositories),
 *   redirects elsewhere are refused, so that the token never goes to another server.
 */
export function createGitHttp(options: GitHttpOptions): HttpClient {
  let discovered: { readonly response: StoredResponse; readonly authorization: string | undefined } | undefined;
  let base = options.url;

  async function request(given: GitHttpRequest): Promise<GitHttpResponse> {
    const isDiscovery = given.url === `${options.url}${DISCOVERY_PATH}`;
    if (isDiscovery && discovered) return replay(discovered.response);
    const headers = new Headers(given.headers);
    if (!headers.has('authorization') && discovered?.authorization !== undefined) {
      headers.set('authorization', discovered.authorization);
    }
    const body = given.body === undefined ? undefined : await collect(given.body);
    const path = given.url.slice(options.url.length);
    const response = await send(`${base}${path}`, { method: given.method ?? 'GET', headers, ...(body && { body }) }, options);
    if (response.url.endsWith(DISCOVERY_PATH)) base = response.url.slice(0, -DISCOVERY_PATH.length);
    if (isDiscovery && response.statusCode === 200) {
      discovered = { response, authorization: headers.get('authorization') ?? undefined };
    }
    return replay(response);
  }
  return { request };
}

interface StoredResponse {
  readonly url: string;
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

function replay(response: StoredResponse): GitHttpResponse {
  async function* once(): AsyncIterableIterator<Uint8Array> {
    yield response.body;
  }
  return { ...response, body: once() };
}

interface SendInit {
  readonly method: string;
  readonly headers: Headers;
  readonly body?: Uint8Array<ArrayBuffer>;
}

const MAX_REDIRECTS = 5;

async function send(url: string, init: SendInit, options: GitHttpOptions): Promise<StoredResponse> {
  let target = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const { response, body } = await sendOnce(target, init, options);
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    if (location === null) {
      return {
        url: target,
        statusCode: response.status,
        statusMessage: response.statusText,
        headers: Object.fromEntries(response.headers),
        body,
      };
    }
    const next = new URL(location, target);
    if (next.origin !== new URL(target).origin) {
      const moved = `${next.origin}${next.pathname}`.replace(/\/info\/refs$/, '');
      throw gitError('REPOSITORY_MOVED', `${options.url} sends us to ${moved}: if that is right, set FLOE_REPOSITORY_URL to it`, {
        data: { url: options.url, location: moved },
      });
    }
    target = next.href;
  }
  throw gitError('REPOSITORY_UNREACHABLE', `${options.url} redirects more than ${MAX_REDIRECTS} times`, { data: { url: options.url } });
}

async function sendOnce(url: string, init: SendInit, options: GitHttpOptions): Promise<{ readonly response: Response; readonly body: Uint8Array }> {
  try {
    const response = await fetch(url, { ...init, redirect: 'manual', signal: options.signal });
    // isomorphic-git holds a whole pack in memory anyway; read here, a transfer that breaks off is an error.
    return { response, body: new Uint8Array(await response.arrayBuffer()) };
  } catch (cause) {
    if (isAbort(cause) || options.signal.aborted) throw cause;
    // Node's fetch says only "fetch failed"; why is in the cause.
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const text = reason instanceof Error ? ('code' in reason && String(reason.code)) || reason.message : String(reason);
    throw gitError('REPOSITORY_UNREACHABLE', `${options.url} could not be reached (${text}): check the network, the server and FLOE_REPOSITORY_URL`, {
      data: { url: options.url, reason: text },
      cause,
    });
  }
}

async function collect(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
