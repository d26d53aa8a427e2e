import { describeError, FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { PostOutcome, RefusalCode, RetryCode } from './status.ts';

/** GitHub's minimum wait after a limit without a time (docs.github.com, "Rate limits for the REST API"). */
const UNNAMED_LIMIT_MS = 60_000;
/** GitHub's limits are per hour. A request for a longer pause is a mistake, and is not followed. */
const MAX_WAIT_MS = 3_600_000;

/** The used parts of an error of @octokit/request. `response` is missing when there was no answer. */
const RequestFailure = v.object({
  status: v.number(),
  response: v.object({ headers: v.record(v.string(), v.unknown()), data: v.unknown() }),
});
const Message = v.object({ message: v.string(), errors: v.optional(v.array(v.unknown())) });

/** The outcome of posting a status when a request to GitHub failed. */
export function judgeGithubFailure(error: unknown, now: number): Exclude<PostOutcome, { kind: 'sent' }> {
  if (error instanceof FloeError) return refused('access', 'CREDENTIALS_REFUSED', describeError(error));
  const parsed = v.safeParse(RequestFailure, error);
  if (!parsed.success) return retry('FORGE_UNREACHABLE', `GitHub does not answer: ${describeError(error)}`, undefined, true);
  const { status, response } = parsed.output;
  const headers = new Headers(Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]));
  const said = messageOf(response.data);
  const afterMs = waitAskedFor(headers, now);

  if (status === 429 || (status === 403 && isLimit(headers, said))) {
    return retry('RATE_LIMITED', `GitHub's rate limit is exceeded (${status}): ${said}`, afterMs ?? UNNAMED_LIMIT_MS, false);
  }
  if (status >= 500 || status === 408) return retry('FORGE_FAILED', `GitHub failed (${status}): ${said}`, afterMs, true);
  switch (status) {
    case 401:
      return refused(
        'access',
        'CREDENTIALS_REFUSED',
        `GitHub does not accept the credentials (401): ${said}; create a new token, or check the App's id and key`,
      );
    case 403:
      return refused('access', 'FORBIDDEN', `GitHub does not allow it (403): ${said}; give the token or App the permission "Commit statuses: write"`);
    case 404:
    case 410:
    case 451:
      return refused(
        'access',
        'REPOSITORY_NOT_FOUND',
        `GitHub does not find the repository or installation (${status}): ${said}; check its name, and that the token or App has access to it`,
      );
    case 400:
    case 422:
      return refused('status', 'STATUS_REJECTED', `GitHub rejects this status (${status}): ${said}`);
    default:
      return unexpectedAnswer(status);
  }
}

/** Codes of Node.js and undici for a connection that never came about. */
const NEVER_CONNECTED: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** True when the request cannot have reached anybody. */
export function neverLeft(error: unknown): boolean {
  for (let each = error, depth = 0; each instanceof Error && depth < 10; each = each.cause, depth += 1) {
    if ('code' in each && NEVER_CONNECTED.has(each.code)) return true;
  }
  return false;
}

/** An answer that GitHub does not document: probably from another server, or a proxy. */
export function unexpectedAnswer(status: number): Exclude<PostOutcome, { kind: 'sent' }> {
  return refused('access', 'ANSWER_UNEXPECTED', `the answer ${status} does not come from GitHub's API: check the URL of the API`);
}

/**
 * How long the answer asks to wait, in ms: Retry-After (seconds or a date), otherwise until the reset of an exhausted limit.
 * Dates are compared with the answer's own date, so that a wrong clock on either side does not matter.
 */
function waitAskedFor(headers: Headers, now: number): number | undefined {
  const date = Date.parse(headers.get('date') ?? '');
  const answeredAt = Number.isNaN(date) ? now : date;
  const after = headers.get('retry-after');
  if (after !== null) {
    const waitMs = /^\d+$/.test(after.trim()) ? Number(after) * 1000 : Date.parse(after) - answeredAt;
    if (!Number.isNaN(waitMs)) return bounded(waitMs);
  }
  const reset = headers.get('x-ratelimit-reset');
  if (headers.get('x-ratelimit-remaining') !== '0' || reset === null || !/^\d+$/.test(reset)) return undefined;
  return bounded(Number(reset) * 1000 - answeredAt);
}

function bounded(waitMs: number): number {
  return Math.min(MAX_WAIT_MS, Math.max(0, waitMs));
}

/** GitHub answers 403 both for "not allowed" and for "too many requests". */
function isLimit(headers: Headers, said: string): boolean {
  return headers.has('retry-after') || headers.get('x-ratelimit-remaining') === '0' || /rate limit/i.test(said);
}

function messageOf(data: unknown): string {
  const parsed = v.safeParse(Message, data);
  if (!parsed.success) return 'without a reason';
  const details = (parsed.output.errors ?? []).map((detail) => (typeof detail === 'string' ? detail : JSON.stringify(detail)));
  return [parsed.output.message, ...details].join('; ').slice(0, 500);
}

function retry<Code extends RetryCode>(
  code: Code,
  message: string,
  afterMs: number | undefined,
  isMissed: boolean,
): Extract<PostOutcome, { kind: 'retry' }> & { readonly code: Code } {
  return { kind: 'retry', code, message, afterMs, isMissed };
}

function refused(concerns: 'status' | 'access', code: RefusalCode, message: string): Exclude<PostOutcome, { kind: 'sent' }> {
  return { kind: 'refused', concerns, code, message };
}
