import { describeError, isFloeError, type Logger } from '@floe/runtime';
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** The form of every answer that is not 2xx: `ApiError` of libs/protocol. */
export function refuse(c: Context, status: ContentfulStatusCode, code: string, message: string) {
  return c.json({ error: { code, message } }, status);
}

/** The client went away in the middle of its request. */
export class RequestBrokenOff extends Error {
  override readonly name = 'RequestBrokenOff';
}

/** Converts an error of a route to an answer. */
export function answerError(logger: Logger, error: unknown, c: Context) {
  if (isFloeError(error)) {
    if (error.retryable) {
      logger.warn('a request failed for now', { path: c.req.path, error });
      c.header('retry-after', '2');
      return refuse(c, 503, error.code, `${describeError(error)}; try again`);
    }
    return refuse(c, 400, error.code, error.message);
  }
  // Hono's own refusals. Its validator has no other with 400; the body is not repeated, because it may have a token.
  if (error instanceof HTTPException && error.status === 400)
    return refuse(c, 400, 'REQUEST_INVALID', 'the body of the request is not JSON: it must be a set of keys and values, such as {"key": "value"}');
  if (error instanceof HTTPException) return refuse(c, error.status, 'BAD_REQUEST', error.message);
  // The client is gone.
  if (error instanceof RequestBrokenOff || (error instanceof Error && 'code' in error && error.code === 'ECONNRESET')) {
    logger.debug('a request was broken off', { path: c.req.path });
    return refuse(c, 400, 'REQUEST_BROKEN_OFF', 'the request was broken off');
  }
  logger.error('a request failed', { path: c.req.path, error });
  return refuse(c, 500, 'INTERNAL', 'the server failed: see its log');
}
