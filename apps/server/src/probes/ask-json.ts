import { fetchReason, isFloeError, isTimeout, readBoundedText } from '@floe/runtime';

/** The longest answer that is read. */
const MAX_BYTES = 256 * 1024;

export type JsonAnswer =
  | { readonly kind: 'json'; readonly status: number; readonly value: unknown }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * Asks for JSON. A redirect is not followed: the request has a signature or a password, and goes where the administrator said and nowhere
 * else. An answer without end is cut off.
 */
export async function askJson(url: string, request: RequestInit & { readonly signal: AbortSignal }): Promise<JsonAnswer> {
  const none = (reason: string): JsonAnswer => ({ kind: 'none', reason });
  try {
    const headers = { accept: 'application/json', 'user-agent': 'floe', ...(request.headers as Readonly<Record<string, string>> | undefined) };
    const response = await fetch(url, { ...request, headers, redirect: 'manual' });
    const { status } = response;
    if (status >= 300 && status < 400) {
      await response.body?.cancel();
      return none(`answered HTTP ${status}, a redirect, which is not followed: set the address to where it leads`);
    }
    const text = await readBoundedText(response, MAX_BYTES);
    const value = parsed(text);
    if (value === undefined) return none(`answered HTTP ${status}, which is not JSON${text.trim() === '' ? '' : `: ${text}`}`);
    return { kind: 'json', status, value };
  } catch (error) {
    if (isFloeError(error, 'ANSWER_TOO_LONG')) return none(`answered with more than ${MAX_BYTES / 1024} KiB`);
    return none(isTimeout(error) ? 'did not answer in time' : `could not be reached: ${fetchReason(error)}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
