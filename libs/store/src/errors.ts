import { FloeError, isFloeError } from '@floe/runtime';
import { DrizzleQueryError } from 'drizzle-orm';
import * as v from 'valibot';
import { isPassing } from './postgres-codes.ts';

/** The network, or a server that stops or starts: Node's and postgres.js's codes. */
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
  'ENOENT', // the unix socket does not exist
]);

/**
 * SQLSTATEs by which Postgres refuses a value, and not the statement or the connection: data exception, integrity constraint
 * violation, program limit exceeded (an index row, a text or a JSON that is too large). Same source.
 */
const REFUSED_SQLSTATE = /^(22...|23...|54...)$/;

/** Where it happened, as reported by postgres.js and PGlite: names of our tables, never stored values. */
const PLACE_FIELDS = {
  table: ['table_name', 'table'],
  column: ['column_name', 'column'],
  constraint: ['constraint_name', 'constraint'],
};

function driverCode(error: unknown): string | undefined {
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
}

function placeOf(error: unknown): Record<string, string> {
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  if (!(cause instanceof Error)) return {};
  const place = Object.entries(PLACE_FIELDS).flatMap(([field, names]) => {
    const value: unknown = names.map((name): unknown => Reflect.get(cause, name)).find((each) => typeof each === 'string');
    return typeof value === 'string' ? [[field, value.slice(0, 100)] as const] : [];
  });
  return Object.fromEntries(place);
}

/**
 * Translates a driver's error. Its text is dropped: Drizzle's message is the statement with its parameters, and Postgres quotes
 * the value that it refuses. `isClosed`: the store was disposed, which explains any error. `method`: the called method.
 */
export function translateError(error: unknown, isClosed: boolean, method = 'the store'): unknown {
  if (isFloeError(error)) return error;
  const code = driverCode(error);
  if (isClosed) return new FloeError('STORE_UNREACHABLE', 'the store was closed', { retryable: true, cause: error });
  if (code !== undefined && (CONNECTION_CODES.has(code) || isPassing(code))) {
    const cause = error instanceof DrizzleQueryError ? error.cause : error;
    return new FloeError('STORE_UNREACHABLE', 'the database does not answer; Floe tries again', { retryable: true, data: { code }, cause });
  }
  if (v.isValiError(error)) {
    const place = error.issues.map((issue) => v.getDotPath(issue) ?? issue.type).join(', ');
    return new FloeError('STORE_ROW_UNREADABLE', `a row of the database cannot be read (${method}: ${place})`, { data: { method } });
  }
  if (code === undefined && !(error instanceof DrizzleQueryError)) return error;
  const data = { code: code ?? 'none', method, ...placeOf(error) };
  const facts = Object.entries(data).map(([name, value]) => `${name} ${value}`);
  return REFUSED_SQLSTATE.test(data.code)
    ? new FloeError('STORE_DATA_REFUSED', `the database does not take a value (${facts.join(', ')})`, { data })
    : new FloeError('STORE_STATEMENT_REFUSED', `the database does not take a statement (${facts.join(', ')})`, { data });
}

type AsyncMethods = { readonly [name: string]: (...args: never[]) => Promise<unknown> };

/** Wraps methods so that their database errors are translated: the only place where that happens. */
export function translating<Group extends object>(group: Group & AsyncMethodsOf<Group>, isClosed: () => boolean): Group {
  return new Proxy(group, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        try {
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        } catch (error) {
          throw translateError(error, isClosed(), String(name));
        }
      };
    },
  });
}

type AsyncMethodsOf<Group> = { readonly [Name in keyof Group]: Group[Name] extends AsyncMethods[string] ? Group[Name] : never };

/** A row that a caller names does not exist: a bug of the caller. */
export function missingRow(what: string, id: string): FloeError {
  return new FloeError('STORE_ROW_MISSING', `there is no ${what} ${id}`, { data: { what, id } });
}
