import { gitError, type GitError } from './errors.ts';
import { shownText } from './text.ts';

/** What the server said in place of what was asked for. */
export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The path that it came from, when redirects led elsewhere. */
  readonly redirectedTo: string | undefined;
  /** The beginning of its body, when that is plain text, as git shows it. */
  readonly text: string;
}

export interface AskedFor {
  readonly url: string;
  readonly tokenSetting: string;
  readonly hasToken: boolean;
}

const MAX_WORDS = 300;
const MAX_RETRY_AFTER_MS = 3600_000;

/** The failure behind an answer with a status other than 200. The status decides; the server's words are only shown. */
export function translateStatus({ status, headers, text }: RefusedAnswer, { url, tokenSetting, hasToken }: AskedFor): GitError {
  const data = { url, status };
  const words = wordsOf(text);
  const said = words === '' ? '' : `; it says: ${words}`;
  const retryAfterMs = readRetryAfter(headers);
  if (status === 429 || ((status === 403 || status === 503) && retryAfterMs !== undefined) || (status === 403 && isRateSpent(headers))) {
    const when = retryAfterMs === undefined ? 'later' : `in ${Math.ceil(retryAfterMs / 1000)} s`;
    return gitError('REPOSITORY_BUSY', `${url} takes no more requests for now (HTTP status ${status}); it is asked again ${when}${said}`, {
      data: { ...data, retryAfterMs },
    });
  }
  if (status === 401 || status === 403) {
    const message = hasToken
      ? `${url} refuses the token: check that the one in ${tokenSetting} is valid, not expired and may read the repository; a new one is used at the next fetch, on NixOS after systemctl restart floe-server`
      : `${url} wants a token: set ${tokenSetting} to a file with one that may read the repository`;
    return gitError('REPOSITORY_UNAUTHORIZED', `authentication failed: ${message}${said}`, { data });
  }
  if (status === 404 || status === 410) {
    const access = hasToken ? 'and that the token may read the repository' : `and, for a private repository, set ${tokenSetting}`;
    return gitError('REPOSITORY_NOT_FOUND', `there is no repository at ${url}: check FLOE_REPOSITORY_URL, ${access}${said}`, { data });
  }
  return gitError('REPOSITORY_UNREACHABLE', `${url} answered with HTTP status ${status}; it is tried again${said}`, { data });
}

/** The failure behind an answer with status 200 that is of another type than asked for. */
export function translateType({ headers, redirectedTo }: RefusedAnswer, { url, tokenSetting, hasToken }: AskedFor): GitError {
  if (headers.get('content-type')?.split(';')[0] !== 'text/html') return notGit(url);
  const from = redirectedTo === undefined ? '' : ` from ${shownText(redirectedTo, 200)}`;
  const token = hasToken ? `check the token in ${tokenSetting}` : `set ${tokenSetting}`;
  return gitError(
    'REPOSITORY_NOT_FOUND',
    `${url} answers with a web page${from}, not as a git repository: set FLOE_REPOSITORY_URL to the address that "git clone" takes; if the page is one to sign in, ${token}; if it is of a network that wants a log-in, let this server through`,
    { data: { url } },
  );
}

/** What answers is no git server. */
export function notGit(url: string, cause?: unknown): GitError {
  return gitError(
    'REPOSITORY_NOT_FOUND',
    `${url} answers, but not as a git repository: set FLOE_REPOSITORY_URL to the address that "git clone" takes`,
    { data: { url }, cause },
  );
}

/** The server ended the conversation with a message of git's protocol. */
export function refusal(url: string, text: string): GitError {
  return gitError('REPOSITORY_REFUSED', `${url} refuses; it says: ${wordsOf(text)}; it is tried again`, { data: { url } });
}

function wordsOf(text: string): string {
  return shownText(text.replaceAll(/\s+/g, ' '), MAX_WORDS);
}

function isRateSpent(headers: Headers): boolean {
  return headers.get('x-ratelimit-remaining')?.trim() === '0';
}

/** Seconds, or a date (RFC 9110, 10.2.3); the date is compared with the server's own, since clocks differ. */
function readRetryAfter(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(headers.get('date') ?? '');
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined;
}
