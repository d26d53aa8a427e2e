import { gitError, type GitError } from './errors.ts';
import { shownText } from './text.ts';

/** The answer of a server that is not the one expected. */
export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The path after redirects, if it differs. */
  readonly redirectedTo: string | undefined;
  /** The beginning of a plain text body, which git would show. */
  readonly text: string;
}

export interface AskedFor {
  readonly url: string;
  readonly tokenSetting: string;
  readonly hasToken: boolean;
}

const MAX_WORDS = 300;
const MAX_RETRY_AFTER_MS = 3600_000;

/** The error for an answer with a status other than 200. The status decides; the server's text is only shown. */
export function translateStatus({ status, headers, text }: RefusedAnswer, { url, tokenSetting, hasToken }: AskedFor): GitError {
  const data = { url, status };
  const words = wordsOf(text);
  const said = words === '' ? '' : `; it says: ${words}`;
  const retryAfterMs = readRetryAfter(headers);
  if (status === 429 || ((status === 403 || status === 503) && retryAfterMs !== undefined) || (status === 403 && isRateSpent(headers))) {
    const when = retryAfterMs === undefined ? 'later' : `in ${Math.ceil(retryAfterMs / 1000)} s`;
    return gitError('REPOSITORY_BUSY', `${url} accepts no more requests for now (HTTP status ${status}); Floe asks again ${when}${said}`, {
      data: { ...data, retryAfterMs },
    });
  }
  if (status === 401 || status === 403) {
    const message = hasToken
      ? `${url} refuses the token: check that the one in ${tokenSetting} is valid, not expired and may read the repository; a new one is used at the next fetch, on NixOS after systemctl restart floe-server`
      : `${url} requires a token: set ${tokenSetting} to a file with one that may read the repository`;
    return gitError('REPOSITORY_UNAUTHORIZED', `authentication failed: ${message}${said}`, { data });
  }
  if (status === 404 || status === 410) {
    const access = hasToken ? 'and that the token may read the repository' : `and, for a private repository, set ${tokenSetting}`;
    return gitError('REPOSITORY_NOT_FOUND', `there is no repository at ${url}: check FLOE_REPOSITORY_URL, ${access}${said}`, { data });
  }
  return gitError('REPOSITORY_UNREACHABLE', `${url} answered with HTTP status ${status}; Floe tries again${said}`, { data });
}

/** The error for an answer with status 200 and an unexpected content type. */
export function translateType({ headers, redirectedTo }: RefusedAnswer, { url, tokenSetting, hasToken }: AskedFor): GitError {
  if (headers.get('content-type')?.split(';')[0] !== 'text/html') return notGit(url);
  const from = redirectedTo === undefined ? '' : ` from ${shownText(redirectedTo, 200)}`;
  const token = hasToken ? `check the token in ${tokenSetting}` : `set ${tokenSetting}`;
  return gitError(
    'REPOSITORY_NOT_FOUND',
    `${url} answers with a web page${from}, not as a git repository: set FLOE_REPOSITORY_URL to the address that "git clone" takes; if it is a sign-in page, ${token}; if it is a network's log-in page, let this server through`,
    { data: { url } },
  );
}

/** The error when the other side is not a git server. */
export function notGit(url: string, cause?: unknown): GitError {
  return gitError(
    'REPOSITORY_NOT_FOUND',
    `${url} answers, but not as a git repository: set FLOE_REPOSITORY_URL to the address that "git clone" takes`,
    { data: { url }, cause },
  );
}

/** The error when the server ended the conversation by a message of git's protocol. */
export function refusal(url: string, text: string): GitError {
  return gitError('REPOSITORY_REFUSED', `${url} refuses the request; it says: ${wordsOf(text)}; Floe tries again`, { data: { url } });
}

/** What somebody else said, for a message: one line of limited length. */
export function wordsOf(text: string): string {
  return shownText(text.replaceAll(/\s+/g, ' '), MAX_WORDS);
}

function isRateSpent(headers: Headers): boolean {
  return headers.get('x-ratelimit-remaining')?.trim() === '0';
}

/** Seconds, or a date (RFC 9110, 10.2.3). The date is compared with the server's own, because clocks differ. */
function readRetryAfter(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(headers.get('date') ?? '');
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined;
}
