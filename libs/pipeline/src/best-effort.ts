import { isAbort, type Logger } from '@floe/runtime';

/**
 * Runs an action that only improves a step (an order, cleaning up). If it fails, the step goes on with `instead`, and the log
 * says why. Never for what a step depends on.
 */
export async function bestEffort<T>(logger: Logger, what: string, instead: T, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!isAbort(error)) logger.warn('an optional part of a step failed; the step continues without it', { what, error });
    return instead;
  }
}
