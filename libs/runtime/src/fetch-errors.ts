import { describeError, isAbort } from './errors.ts';

/** The request ran out of its time, or was cut off. */
export function isTimeout(error: unknown): boolean {
  return isAbort(error) || (error instanceof Error && (error.name === 'TimeoutError' || (error as NodeJS.ErrnoException).code === 'ETIMEDOUT'));
}

/** Why nothing answered: `fetch` says "fetch failed", and the reason is behind it; `http.request` says the reason. It names no path: that may be a secret. */
export function fetchReason(error: unknown): string {
  const { cause, code } = error as { readonly cause?: unknown; readonly code?: unknown };
  if (cause instanceof Error) return describeError(cause);
  return typeof code === 'string' ? describeError(error) : 'the address cannot be used';
}
