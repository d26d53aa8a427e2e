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
  /**
   * Not now. `afterMs`: what the forge asked for; undefined: it did not say. `isMissed`: the status was on its way when the
   * answer went missing, so that it may stand on the forge, or come to stand there later, on top of a newer one.
   */
  | {
      readonly kind: 'retry';
      readonly code: RetryCode;
      readonly message: string;
      readonly afterMs: number | undefined;
      readonly isMissed: boolean;
    }
  /**
   * A repeat is refused too until something changes. `concerns: 'status'`: this status alone; `'access'`: the token, the
   * App or the repository, and so for every status, until an administrator changes it.
   */
  | { readonly kind: 'refused'; readonly concerns: 'status' | 'access'; readonly code: RefusalCode; readonly message: string };

export type RetryCode = 'RATE_LIMITED' | 'FORGE_FAILED' | 'FORGE_UNREACHABLE';
export type RefusalCode = 'CREDENTIALS_REFUSED' | 'FORBIDDEN' | 'REPOSITORY_NOT_FOUND' | 'STATUS_REJECTED' | 'ANSWER_UNEXPECTED';

/** What a forge shows of one context of a commit. */
export type ReadOutcome =
  /** `status`: what it recorded last; undefined: nothing yet. */
  | { readonly kind: 'read'; readonly status: Omit<OutgoingStatus, 'sha' | 'context'> | undefined }
  /** The forge asks to be left alone for now. */
  | (Extract<PostOutcome, { kind: 'retry' }> & { readonly code: 'RATE_LIMITED' })
  /** It could not be learned. Whoever must know that a status stands repeats it instead. */
  | { readonly kind: 'unknown'; readonly message: string };

/** The commit statuses of one repository of one forge. Neither call throws because of the forge or the network. */
export interface CommitStatuses {
  /** Repeating a status that was sent does no harm. */
  post(status: OutgoingStatus, signal: AbortSignal): Promise<PostOutcome>;
  read(status: Pick<OutgoingStatus, 'sha' | 'context'>, signal: AbortSignal): Promise<ReadOutcome>;
  /** True when what was read is what a post of `status` would leave there: a forge cuts what is too long for it. */
  isSame(read: Omit<OutgoingStatus, 'sha' | 'context'>, status: OutgoingStatus): boolean;
}
