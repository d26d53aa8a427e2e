import { FloeError, isFloeError } from '@floe/runtime';
import { DrizzleQueryError } from 'drizzle-orm';

/** The network, or a server that goes down or comes up: Node's and postgres.js's own codes. */
const CONNECTION_CODES = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT', // the unix socket is not there
]);

/**
 * SQLSTATEs after which the same call may succeed later (postgresql.org/docs/current/errcodes-appendix.html): connection
 * exceptions, insufficient resources, shutdown and recovery, serialization failure and deadlock, lock or statement
 * timeout, and a write to a standby during a failover.
 */
const RETRYABLE_SQLSTATE = /^(08...|53...|57P0[1-5]|57014|40001|40P01|55P03|25006)$/;

function driverCode(error: unknown): string | undefined {
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
}

/**
 * A driver's error as ours, where it is a failure; a bug (broken SQL, a constraint that should hold) stays what it is.
 * `isClosed`: the store was disposed, so whatever the driver says is that.
 */
export function translateError(error: unknown, isClosed: boolean): unknown {
  if (isFloeError(error)) return error;
  const code = driverCode(error);
  if (isClosed) return new FloeError('STORE_UNREACHABLE', 'the store was closed', { retryable: true, cause: error });
  if (code === undefined || !(CONNECTION_CODES.has(code) || RETRYABLE_SQLSTATE.test(code))) return error;
  // Drizzle's message is the whole query with its parameters: not for a log.
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  return new FloeError('STORE_UNREACHABLE', 'the database does not answer; it is tried again', { retryable: true, data: { code }, cause });
}

type AsyncMethods = { readonly [name: string]: (...args: never[]) => Promise<unknown> };

/** The same methods, with the errors of the database translated: the one place where that happens. */
export function translating<Group extends object>(group: Group & AsyncMethodsOf<Group>, isClosed: () => boolean): Group {
  return new Proxy(group, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        try {
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        } catch (error) {
          throw translateError(error, isClosed());
        }
      };
    },
  });
}

type AsyncMethodsOf<Group> = { readonly [Name in keyof Group]: Group[Name] extends AsyncMethods[string] ? Group[Name] : never };

/** A row that a caller names and that is not there: a bug of the caller. */
export function missingRow(what: string, id: string): FloeError {
  return new FloeError('STORE_ROW_MISSING', `there is no ${what} ${id}`, { data: { what, id } });
}
