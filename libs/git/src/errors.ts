import { FloeError, isAbort, isFloeError, type ErrorData } from '@floe/runtime';

/** What can go wrong with a mirror. Each says in its message what to do. */
export const GIT_ERROR_CODES = [
  /** The server does not answer, or not as a server that works. Retryable. */
  'REPOSITORY_UNREACHABLE',
  /** The server says in git's own way that it will not: in its words. Retryable: they are for people, not for us. */
  'REPOSITORY_REFUSED',
  /** The server wants to be asked later; `retryAfterMs` in the data says when, if it does. Retryable. */
  'REPOSITORY_BUSY',
  /** The server refuses the token, or wants one. */
  'REPOSITORY_UNAUTHORIZED',
  'REPOSITORY_NOT_FOUND',
  /** The server sends us to another address, which only an administrator may follow. */
  'REPOSITORY_MOVED',
  'REPOSITORY_URL_UNSUPPORTED',
  /** A repository of a kind that Floe does not take: in SHA-256, or a shallow clone. */
  'REPOSITORY_UNSUPPORTED',
  /** The server sends more than it may; the message names the limit and its setting. */
  'REPOSITORY_TOO_LARGE',
  /** The mirror was made anew for this head, and what came cannot be used either. */
  'REPOSITORY_DAMAGED',
  /** The head is no commit, or one that git itself would not take. */
  'COMMIT_UNREADABLE',
  'BRANCH_NOT_FOUND',
  'BRANCH_NAME_INVALID',
  /** The mirror has no such commit: it was never fetched. */
  'COMMIT_NOT_FOUND',
  /** Retryable. */
  'GIT_TIMED_OUT',
  /** The thread that does the work ended in the middle of it. Retryable. */
  'GIT_WORKER_STOPPED',
  /** The mirror's folder is damaged; the next fetch replaces it. Retryable. */
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
  'REPOSITORY_REFUSED',
  'REPOSITORY_BUSY',
  'GIT_TIMED_OUT',
  'GIT_WORKER_STOPPED',
  'MIRROR_BROKEN',
  'MIRROR_UNWRITABLE',
]);

/** A failure of this package; whether it is retryable follows from its code. */
export function gitError(code: GitErrorCode, message: string, details: { data?: ErrorData; cause?: unknown } = {}): GitError {
  return new FloeError(code, message, { retryable: RETRYABLE.has(code), ...details });
}

/** The code that Node puts on its errors. */
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

/** Takes a token out of what a server said: one that was refused may be repeated in the refusal. */
export function hideToken(error: unknown, token: string): void {
  if (!isFloeError(error) || token === '') return;
  for (const form of [token, Buffer.from(`x-access-token:${token}`).toString('base64')]) error.message = error.message.replaceAll(form, '[redacted]');
}
