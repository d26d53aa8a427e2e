import { isAbort, type Logger } from '@floe/runtime';

/**
 * For what only improves a step (an order, tidying up): whatever becomes of it, the step goes on with `instead`, and the
 * log says why. What a step needs is never run by this.
 */
export async function bestEffort<T>(logger: Logger, what: string, instead: T, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!isAbort(error)) logger.warn('something that only helps failed; it goes on without', { what, error });
    return instead;
  }
}
