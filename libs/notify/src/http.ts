import { fetchReason, isTimeout } from '@floe/runtime';
import type { SendOutcome } from './message.ts';

/** As much of an answer as helps a person. */
const MAX_ANSWER_BYTES = 2_048;
/** The longest that a target can make us wait. */
const MAX_AFTER_MS = 3_600_000;

export interface HttpRequest {
  readonly method: 'POST' | 'PUT';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Sends one request. A redirect is a failure and not followed: the request has a secret or a signature, and goes where the administrator
 * said and nowhere else. Of the answer only the beginning is read.
 */
export async function deliver({ url, ...request }: HttpRequest, signal: AbortSignal): Promise<SendOutcome> {
  let response: Response;
  try {
    const headers = { 'content-type': 'application/json', 'user-agent': 'floe', ...request.headers };
    response = await fetch(url, { ...request, headers, redirect: 'manual', signal });
  } catch (error) {
    return { kind: 'failed', reason: isTimeout(error) ? 'did not answer in time' : `could not be reached: ${fetchReason(error)}` };
  }
  const { status } = response;
  // The status decides: what follows it may be endless.
  const answer = await beginningOf(response);
  if (response.ok) return { kind: 'sent', answer: `HTTP ${status}${answer === '' ? '' : `: ${answer}`}` };
  if (status >= 300 && status < 400)
    return { kind: 'failed', reason: `answered HTTP ${status}, a redirect, which is not followed: set the address to where it leads` };
  const afterMs = retryAfterMs(response.headers.get('retry-after'));
  return { kind: 'failed', reason: `answered HTTP ${status}${answer === '' ? '' : `: ${answer}`}`, ...(afterMs === undefined ? {} : { afterMs }) };
}

/** Leaving the loop cancels the stream and closes the connection. */
async function beginningOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk.slice(0, MAX_ANSWER_BYTES - size));
      size += chunk.length;
      if (size >= MAX_ANSWER_BYTES || chunks.length >= 64) break;
    }
  } catch {
    // The answer broke off: its status was there.
  }
  return Buffer.concat(chunks).toString('utf8').trim();
}

/** In seconds; a date is not worth a parser. */
function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Math.min(MAX_AFTER_MS, Number(header) * 1000) : undefined;
}
