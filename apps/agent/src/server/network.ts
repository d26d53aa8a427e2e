import { storeHash, type StorePath } from '@floe/model';
import { isFloeError, readBoundedText, withoutTrailingSlashes } from '@floe/runtime';
import { describeStatus, describeStranger } from './other-answer.ts';

/** A small file that every Nix cache has at its root. */
const CACHE_INFO = 'nix-cache-info';
/** How one begins, in whatever order its lines are. */
const ITS_LINES = /^(?:StoreDir|WantMassQuery|Priority):/;
/** A line of each file that says what a cache has of a store path. */
const LINE_OF_PATH = /^StorePath: /m;
const MAX_BYTES = 4096;
/** Of the other file, which names all that its path refers to. */
const MAX_PATH_BYTES = 1024 * 1024;
const TRY_MS = 5_000;

/** Who answers at the addresses of the Nix caches. */
export type WhoAnswers =
  /** A cache: the network works and leads there. */
  | { readonly kind: 'cache' }
  /** Something else: the login page of a hotel, a proxy's error, a DNS server that lies. It proves nothing. */
  | { readonly kind: 'other'; readonly url: string; /** In words. */ readonly who: string }
  | { readonly kind: 'nobody' };

export interface Asked {
  readonly serverUrl: string;
  readonly substituters: readonly string[];
  /** Also what they say of this one: something may answer for what a cache has alone. */
  readonly about?: StorePath | undefined;
}

/**
 * Asks all caches at once. A redirect is not followed. Caches that are folders do not count. Where nobody answers by https://, the hosts are
 * asked without it.
 */
export async function whoAnswers({ serverUrl, substituters, about }: Asked, signal: AbortSignal, plainPort = 80): Promise<WhoAnswers> {
  const urls = substituters.filter((url) => /^https?:/.test(url)).map((url) => withoutTrailingSlashes(url.replace(/[?].*$/, '')));
  const answer = firstOf(await Promise.all(urls.map(async (url) => await ask(url, about, signal))));
  if (answer.kind !== 'nobody') return answer;
  const hosts = new Set([serverUrl, ...urls].filter((url) => url.startsWith('https:')).map((url) => new URL(url).hostname));
  return firstOf(await Promise.all([...hosts].map(async (host) => await askPlainly(`http://${host}:${plainPort}`, signal))));
}

function firstOf(answers: readonly WhoAnswers[]): WhoAnswers {
  const order: readonly WhoAnswers['kind'][] = ['cache', 'other', 'nobody'];
  return answers.toSorted((one, other) => order.indexOf(one.kind) - order.indexOf(other.kind))[0] ?? { kind: 'nobody' };
}

/**
 * A portal drops what is encrypted, and answers what is not. Only what a portal says counts: a page, a login, or that another host is to be
 * asked. A server's own port 80 sends to its own https://, or has something else there.
 */
async function askPlainly(url: string, signal: AbortSignal): Promise<WhoAnswers> {
  try {
    const response = await fetch(`${url}/${CACHE_INFO}`, { redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    await response.body?.cancel();
    const { status, ok } = response;
    const location = URL.parse(response.headers.get('location') ?? '', url);
    const isElsewhere = status >= 300 && status < 400 && location !== null && location.hostname !== new URL(url).hostname;
    return ok || status === 511 || isElsewhere ? { kind: 'other', url, who: describeStatus(status, location?.href) } : { kind: 'nobody' };
  } catch {
    return { kind: 'nobody' };
  }
}

async function ask(url: string, about: StorePath | undefined, signal: AbortSignal): Promise<WhoAnswers> {
  let status: number | undefined;
  try {
    const response = await fetch(`${url}/${CACHE_INFO}`, { redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    ({ status } = response);
    if (status === 200 && ITS_LINES.test(await readBoundedText(response, MAX_BYTES)))
      return (about === undefined ? undefined : await askAbout(url, about, signal)) ?? { kind: 'cache' };
    const location = response.headers.get('location');
    if (!response.bodyUsed) await response.body?.cancel();
    return { kind: 'other', url, who: describeStatus(status, location) };
  } catch (error) {
    const who = status === undefined ? describeStranger(error) : describeStatus(status);
    return who === undefined ? { kind: 'nobody' } : { kind: 'other', url, who };
  }
}

/**
 * Who answers in place of a cache that is there, when it is asked for one store path. A redirect is followed, as Nix does. Undefined: the cache, or
 * nobody.
 */
async function askAbout(url: string, path: StorePath, signal: AbortSignal): Promise<WhoAnswers | undefined> {
  try {
    const response = await fetch(`${url}/${storeHash(path)}.narinfo`, { signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    const { status } = response;
    const isOther = status === 200 ? !(await isOfPath(response)) : status === 511;
    if (!response.bodyUsed) await response.body?.cancel();
    return isOther ? { kind: 'other', url, who: describeStatus(status) } : undefined;
  } catch {
    return undefined;
  }
}

async function isOfPath(response: Response): Promise<boolean> {
  try {
    return LINE_OF_PATH.test(await readBoundedText(response, MAX_PATH_BYTES));
  } catch (error) {
    if (isFloeError(error, 'ANSWER_TOO_LONG')) return false;
    throw error;
  }
}
