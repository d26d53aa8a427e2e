import { withoutTrailingSlashes } from '@floe/runtime';

/** What each cache has at its root, in bytes hardly worth counting. */
const CACHE_INFO = 'nix-cache-info';
const TRY_MS = 5_000;

/** Whether any of the Nix caches answers, whatever it says: then the network works. A folder says nothing about that. */
export async function isNetworkThere(substituters: readonly string[], signal: AbortSignal): Promise<boolean> {
  const urls = substituters.filter((url) => /^https?:/.test(url)).map((url) => `${withoutTrailingSlashes(url.replace(/[?].*$/, ''))}/${CACHE_INFO}`);
  const answers = urls.map(async (url) => {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(TRY_MS)]) });
    await response.body?.cancel();
    return response.status < 500;
  });
  const settled = await Promise.allSettled(answers);
  return settled.some((answer) => answer.status === 'fulfilled' && answer.value);
}
