import { isTimeout, reasonOf } from '@floe/notify';

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
    const text = await readText(response);
    if (text === undefined) return none(`answered HTTP ${status} with more than ${MAX_BYTES / 1024} KiB`);
    const value = parsed(text);
    if (value === undefined) return none(`answered HTTP ${status}, which is not JSON${text.trim() === '' ? '' : `: ${text}`}`);
    return { kind: 'json', status, value };
  } catch (error) {
    return none(isTimeout(error) ? 'did not answer in time' : `could not be reached: ${reasonOf(error)}`);
  }
}

/** Leaving the loop cancels the stream and closes the connection. */
async function readText(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
