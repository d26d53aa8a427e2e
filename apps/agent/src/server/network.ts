import { readBoundedText, withoutTrailingSlashes } from '@floe/runtime';

/** A small file that every Nix cache has at its root. */
const CACHE_INFO = 'nix-cache-info';
/** How one begins, in whatever order its lines are. */
const ITS_LINES = /^(?:StoreDir|WantMassQuery|Priority):/;
const MAX_BYTES = 4096;
const TRY_MS = 5_000;

/**
 * Whether one of the Nix caches answers as a cache does: then the network works and leads there. The login page of a hotel, a proxy's error
 * or a DNS server that lies answers, too, and proves nothing; so does a redirect. Caches that are folders do not count.
 */
export async function isNetworkThere(substituters: readonly string[], signal: AbortSignal): Promise<boolean> {
  const urls = substituters.filter((url) => /^https?:/.test(url)).map((url) => `${withoutTrailingSlashes(url.replace(/[?].*$/, ''))}/${CACHE_INFO}`);
  const answers = urls.map(async (url) => {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    if (response.status === 200) return ITS_LINES.test(await readBoundedText(response, MAX_BYTES));
    await response.body?.cancel();
    return false;
  });
  const settled = await Promise.allSettled(answers);
  return settled.some((answer) => answer.status === 'fulfilled' && answer.value);
}
