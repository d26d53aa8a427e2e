import { FloeError, isAbort, isFloeError, type ErrorData } from '@floe/runtime';

/** The errors of a mirror. Each message says what to do. */
export const GIT_ERROR_CODES = [
  /** The server does not answer, or its answer is broken. Retryable. */
  'REPOSITORY_UNREACHABLE',
  /** The server refuses by a message of git's protocol, which is quoted. Retryable: the text is for people and decides nothing. */
  'REPOSITORY_REFUSED',
  /** The server asks for a pause; `retryAfterMs` in the data is its length, if known. Retryable. */
  'REPOSITORY_BUSY',
  /** The server refuses the token, or requires one. */
  'REPOSITORY_UNAUTHORIZED',
  'REPOSITORY_NOT_FOUND',
  /** The server redirects to another origin. Only an administrator may change the address. */
  'REPOSITORY_MOVED',
  'REPOSITORY_URL_UNSUPPORTED',
  /** The repository is of an unsupported kind: in SHA-256 format, or a shallow clone. */
  'REPOSITORY_UNSUPPORTED',
  /** A limit was exceeded; the message names the limit and its setting. */
  'REPOSITORY_TOO_LARGE',
  /** The mirror was recreated for this head, and the new download cannot be read either. */
  'REPOSITORY_DAMAGED',
  /** The head is not a commit, or one that git itself rejects. */
  'COMMIT_UNREADABLE',
  /** What the commit says of its submodules cannot be followed. */
  'SUBMODULES_REFUSED',
  'BRANCH_NOT_FOUND',
  'BRANCH_NAME_INVALID',
  /** The mirror does not contain the commit: it was never fetched. */
  'COMMIT_NOT_FOUND',
  /** Retryable. */
  'GIT_TIMED_OUT',
  /** The worker thread died during the operation. Retryable. */
  'GIT_WORKER_STOPPED',
  /** The mirror's folder is damaged; the next fetch replaces it. Retryable. */
  'MIRROR_BROKEN',
  /** The mirror's folder contains something other than a mirror; it is not touched. */
  'MIRROR_FOLDER_TAKEN',
  /** The disk is full, or the folder is not writable. Retryable. */
  'MIRROR_UNWRITABLE',
] as const;
export type GitErrorCode = (typeof GIT_ERROR_CODES)[number];
export type GitError = FloeError<GitErrorCode>;

const RETRYABLE: ReadonlySet<GitErrorCode> = new Set([
  'REPOSITORY_UNREACHABLE',
  'REPOSITORY_REFUSED',
  'REPOSITORY_BUSY',
  'GIT_TIMED_OUT',
  'GIT_WORKER_STOPPED',
  'MIRROR_BROKEN',
  'MIRROR_UNWRITABLE',
]);

/** An error of this package. Its code decides whether it is retryable. */
export function gitError(code: GitErrorCode, message: string, details: { data?: ErrorData; cause?: unknown } = {}): GitError {
  return new FloeError(code, message, { retryable: RETRYABLE.has(code), ...details });
}

/** The code of a Node error. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** True for an error that needs no translation: a FloeError, or an abort. */
export function isTranslated(error: unknown): boolean {
  return isFloeError(error) || isAbort(error);
}

const UNWRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']);

/** The file system error that recreating the mirror would not fix, translated; undefined for others. */
export function translateFolderError(error: unknown, dir: string): GitError | undefined {
  const code = codeOf(error);
  if (code === undefined || !UNWRITABLE.has(code)) return undefined;
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'the disk is full: free some space' : `give the service write access to it (${code})`;
  return gitError('MIRROR_UNWRITABLE', `the mirror in ${dir} cannot be written: ${reason}`, { data: { dir, reason: code }, cause: error });
}

/** Removes the token from a server's text: a server may repeat the token that it refused. */
export function hideToken(error: unknown, token: string): void {
  if (!isFloeError(error) || token === '') return;
  for (const form of [token, Buffer.from(`x-access-token:${token}`).toString('base64')]) error.message = error.message.replaceAll(form, '[redacted]');
}
