import type { CommitSha, StatusText } from '@floe/model';

/** A status as it goes to a forge. */
export interface OutgoingStatus extends StatusText {
  readonly sha: CommitSha;
  readonly context: string;
  /** Where the sentence leads when clicked. */
  readonly targetUrl: string;
}

/** What became of a status that was given to a forge. */
export type PostOutcome =
  /** The forge has it. */
  | { readonly kind: 'sent' }
  /** Not now. `afterMs`: what the forge asked for; undefined: it did not say. */
  | { readonly kind: 'retry'; readonly code: RetryCode; readonly message: string; readonly afterMs: number | undefined }
  /**
   * A repeat is refused too until something changes. `concerns: 'status'`: this status alone; `'access'`: the token, the
   * App or the repository, hence every status, until an administrator changes it.
   */
  | { readonly kind: 'refused'; readonly concerns: 'status' | 'access'; readonly code: RefusalCode; readonly message: string };

export type RetryCode = 'RATE_LIMITED' | 'FORGE_FAILED' | 'FORGE_UNREACHABLE';
export type RefusalCode = 'CREDENTIALS_REFUSED' | 'FORBIDDEN' | 'REPOSITORY_NOT_FOUND' | 'STATUS_REJECTED' | 'ANSWER_UNEXPECTED';

/** Posts commit statuses to one repository of one forge. */
export interface CommitStatuses {
  /** Never throws because of the forge or the network. Repeating a status that was sent does no harm. */
  post(status: OutgoingStatus, signal: AbortSignal): Promise<PostOutcome>;
}
