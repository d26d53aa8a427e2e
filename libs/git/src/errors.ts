import { FloeError, isAbort, isFloeError, type ErrorData } from '@floe/runtime';

/** What can go wrong with a mirror. Each says in its message what to do. */
export const GIT_ERROR_CODES = [
  /** The server does not answer, or not as a server that works. Retryable. */
  'REPOSITORY_UNREACHABLE',
  /** The server refuses the token, or wants one. */
  'REPOSITORY_UNAUTHORIZED',
  'REPOSITORY_NOT_FOUND',
  /** The server sends us to another address, which only an administrator may follow. */
  'REPOSITORY_MOVED',
  'REPOSITORY_URL_UNSUPPORTED',
  'BRANCH_NOT_FOUND',
  'BRANCH_NAME_INVALID',
  /** The mirror has no such commit: it was never fetched. */
  'COMMIT_NOT_FOUND',
  /** Retryable. */
  'GIT_TIMED_OUT',
  /** The thread that does the work ended in the middle of it. Retryable. */
  'GIT_WORKER_STOPPED',
  /** The mirror's folder is damaged; the next fetch makes it anew. Retryable. */
  'MIRROR_BROKEN',
  /** The mirror's folder holds something that is not a mirror; it is left alone. */
  'MIRROR_FOLDER_TAKEN',
  /** The disk is full, or the folder may not be written. Retryable. */
  'MIRROR_UNWRITABLE',
] as const;
export type GitErrorCode = (typeof GIT_ERROR_CODES)[number];
export type GitError = FloeError<GitErrorCode>;

const RETRYABLE: ReadonlySet<GitErrorCode> = new Set([
  'REPOSITORY_UNREACHABLE',
  'GIT_TIMED_OUT',
  'GIT_WORKER_STOPPED',
  'MIRROR_BROKEN',
  'MIRROR_UNWRITABLE',
]);

/** A failure of this package; whether it is retryable follows from its code. */
export function gitError(code: GitErrorCode, message: string, details: { data?: ErrorData; cause?: unknown } = {}): GitError {
  return new FloeError(code, message, { retryable: RETRYABLE.has(code), ...details });
}

/** The code that Node and isomorphic-git put on their errors. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** True for a failure that says all it has to say: translated already, or asked for. */
export function isTranslated(error: unknown): boolean {
  return isFloeError(error) || isAbort(error);
}

const UNWRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']);

/** The failure behind an error of the file system that making the mirror anew would not cure, if it is one. */
export function translateFolderError(error: unknown, dir: string): GitError | undefined {
  const code = codeOf(error);
  if (code === undefined || !UNWRITABLE.has(code)) return undefined;
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'the disk is full: free some space' : `give the service write access to it (${code})`;
  return gitError('MIRROR_UNWRITABLE', `the mirror in ${dir} cannot be written: ${reason}`, { data: { dir, reason: code }, cause: error });
}

/** The failure behind an error of isomorphic-git while it spoke to the server; undefined when it is not about that. */
export function translateRemoteError(error: unknown, url: string, hasToken: boolean): GitError | undefined {
  const data = { url };
  switch (codeOf(error)) {
    case 'UserCanceledError':
      return unauthorized(url, true, 401, error);
    case 'HttpError':
      return translateStatus(error, url, hasToken);
    case 'SmartHttpError':
    case 'ParseError':
    case 'EmptyServerResponseError':
      return gitError(
        'REPOSITORY_NOT_FOUND',
        `${url} answers, but not as a git repository: set FLOE_REPOSITORY_URL to the address that "git clone" takes`,
        { data, cause: error },
      );
    default:
      return undefined;
  }
}

/** True for an error of isomorphic-git about an answer that ends too early. */
export function isCutShort(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ParseError' || code === 'EmptyServerResponseError';
}

function translateStatus(error: unknown, url: string, hasToken: boolean): GitError {
  const status = httpStatus(error);
  if (status === 401 || status === 403) return unauthorized(url, hasToken, status, error);
  if (status === 404 || status === 410) {
    const access = hasToken ? 'and that the token may read the repository' : 'and, for a private repository, set FLOE_REPOSITORY_TOKEN_FILE';
    return gitError('REPOSITORY_NOT_FOUND', `there is no repository at ${url}: check FLOE_REPOSITORY_URL, ${access}`, {
      data: { url, status },
      cause: error,
    });
  }
  return gitError('REPOSITORY_UNREACHABLE', `${url} answered with HTTP status ${status}`, { data: { url, status }, cause: error });
}

function unauthorized(url: string, hasToken: boolean, status: number, cause: unknown): GitError {
  const message = hasToken
    ? `${url} refuses the token: check that the one in FLOE_REPOSITORY_TOKEN_FILE is valid, not expired and may read the repository`
    : `${url} wants a token: set FLOE_REPOSITORY_TOKEN_FILE to a file with one that may read the repository`;
  return gitError('REPOSITORY_UNAUTHORIZED', message, { data: { url, status }, cause });
}

function httpStatus(error: unknown): number {
  const data: unknown = error instanceof Error && 'data' in error ? error.data : undefined;
  const status: unknown = typeof data === 'object' && data !== null && 'statusCode' in data ? data.statusCode : undefined;
  return typeof status === 'number' ? status : 0;
}
