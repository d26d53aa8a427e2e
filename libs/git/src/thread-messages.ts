import { FloeError, isFloeError, type ErrorData, type LogFields } from '@floe/runtime';
import type { SshLogin } from './git-transport.ts';
import type { RepositoryLimits } from './limits.ts';
import type { FetchProgress, MirrorOperations } from './mirror-types.ts';

/** The data with which the thread is started. */
export interface ThreadData {
  readonly dir: string;
  readonly url: string;
  readonly branch: string;
  readonly tokenSetting: string;
  readonly ssh: SshLogin | undefined;
  readonly limits: RepositoryLimits;
}

/** Messages to the thread: one call at a time, and the cancellation of the current one. */
export type ThreadRequest =
  | {
      [Name in keyof MirrorOperations]: {
        readonly kind: 'call';
        readonly id: number;
        readonly name: Name;
        readonly args: Parameters<MirrorOperations[Name]>;
      };
    }[keyof MirrorOperations]
  | { readonly kind: 'cancel'; readonly id: number };

/** Messages from the thread. */
export type ThreadReply =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: ThreadFailure }
  /** Progress: the call is alive. */
  | { readonly kind: 'alive' }
  | { readonly kind: 'progress'; readonly progress: FetchProgress }
  | { readonly kind: 'default-branch'; readonly name: string }
  | { readonly kind: 'warning'; readonly message: string; readonly fields: LogFields };

/** An error in a form that can be posted between threads, with the messages of its causes. */
export interface ThreadFailure {
  readonly code: string | undefined;
  readonly message: string;
  readonly retryable: boolean;
  readonly data: ErrorData;
  readonly cause: ThreadFailure | undefined;
}

/** Converts an error for posting. */
export function packError(error: unknown): ThreadFailure {
  const isError = error instanceof Error;
  const failure = isFloeError(error) ? error : undefined;
  return {
    code: failure?.code,
    message: isError ? error.message : String(error),
    retryable: failure?.retryable ?? false,
    data: failure?.data ?? {},
    cause: isError && error.cause !== undefined ? packError(error.cause) : undefined,
  };
}

/** Restores a posted error. */
export function unpackError(failure: ThreadFailure): Error {
  const cause = failure.cause && unpackError(failure.cause);
  if (failure.code === undefined) return new Error(failure.message, { cause });
  return new FloeError(failure.code, failure.message, { retryable: failure.retryable, data: failure.data, cause });
}
