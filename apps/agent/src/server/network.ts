import { withoutTrailingSlashes } from '@floe/runtime';

/** A small file that every Nix cache has at its root. */
const CACHE_INFO = 'nix-cache-info';
const TRY_MS = 5_000;

/** Whether any of the Nix caches answers, whatever its status: then the network works. Caches that are folders do not count. */
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
