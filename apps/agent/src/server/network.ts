import { readBoundedText, withoutTrailingSlashes } from '@floe/runtime';
import { describeStatus, describeStranger } from './other-answer.ts';

/** A small file that every Nix cache has at its root. */
const CACHE_INFO = 'nix-cache-info';
/** How one begins, in whatever order its lines are. */
const ITS_LINES = /^(?:StoreDir|WantMassQuery|Priority):/;
const MAX_BYTES = 4096;
const TRY_MS = 5_000;

/** Who answers at the addresses of the Nix caches. */
export type WhoAnswers =
  /** A cache: the network works and leads there. */
  | { readonly kind: 'cache' }
  /** Something else: the login page of a hotel, a proxy's error, a DNS server that lies. It proves nothing. */
  | { readonly kind: 'other'; readonly url: string; /** In words. */ readonly who: string }
  | { readonly kind: 'nobody' };

/** Asks all caches at once. A redirect is not followed. Caches that are folders do not count. */
export async function whoAnswers(substituters: readonly string[], signal: AbortSignal): Promise<WhoAnswers> {
  const urls = substituters.filter((url) => /^https?:/.test(url)).map((url) => withoutTrailingSlashes(url.replace(/[?].*$/, '')));
  const answers = await Promise.all(urls.map(async (url) => await ask(url, signal)));
  const order: readonly WhoAnswers['kind'][] = ['cache', 'other', 'nobody'];
  return answers.toSorted((one, other) => order.indexOf(one.kind) - order.indexOf(other.kind))[0] ?? { kind: 'nobody' };
}

/** Whether one of the caches answers as a cache does. */
export async function isNetworkThere(substituters: readonly string[], signal: AbortSignal): Promise<boolean> {
  return (await whoAnswers(substituters, signal)).kind === 'cache';
}

async function ask(url: string, signal: AbortSignal): Promise<WhoAnswers> {
  let status: number | undefined;
  try {
    const response = await fetch(`${url}/${CACHE_INFO}`, { redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    ({ status } = response);
    if (status === 200 && ITS_LINES.test(await readBoundedText(response, MAX_BYTES))) return { kind: 'cache' };
    const location = response.headers.get('location');
    if (!response.bodyUsed) await response.body?.cancel();
    return { kind: 'other', url, who: describeStatus(status, location) };
  } catch (error) {
    const who = status === undefined ? describeStranger(error) : describeStatus(status);
    return who === undefined ? { kind: 'nobody' } : { kind: 'other', url, who };
  }
}
