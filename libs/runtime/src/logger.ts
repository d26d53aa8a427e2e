import { describeError } from './errors.ts';
import { LogLimit } from './log-limit.ts';
import { escapeSteering } from './text.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** A property and not a method, so that a level may be chosen first. */
type Log = (message: string, fields?: LogFields) => void;

/** JSON lines: a static message, with the facts in fields. An `error` field is written as its message chain and code. */
export interface Logger {
  readonly debug: Log;
  readonly info: Log;
  readonly warn: Log;
  readonly error: Log;
  child(fields: LogFields): Logger;
}

/** A value that is never printed: `JSON.stringify`, template strings and `util.inspect` all show `[redacted]`. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  /** The value itself, for the call that needs it. */
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '[redacted]';
  }
  toJSON(): string {
    return '[redacted]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[redacted]';
  }
}

function printable(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? value.code : undefined;
  return { message: describeError(value), ...(code === undefined ? {} : { code }) };
}

/** A line that cannot be serialised (a cycle, a bigint) is written without its fields: logging never throws. */
function toJson(line: Record<string, unknown>): string {
  try {
    return JSON.stringify(line);
  } catch (error) {
    return JSON.stringify({ time: line['time'], level: line['level'], message: line['message'], unprintable: describeError(error) });
  }
}

/** A logger that passes each line, without its newline, to `write`; `limit` bounds the lines of each message. */
export function createLogger(options: {
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly now?: () => number;
  readonly fields?: LogFields;
  readonly limit?: LogLimit;
}): Logger {
  const now = options.now ?? Date.now;
  const threshold = LOG_LEVELS.indexOf(options.level);
  const base = options.fields ?? {};
  function log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const time = now();
    const allowance = options.limit?.allow(message, time) ?? { kind: 'write', leftOut: 0 };
    if (allowance.kind === 'omit') return;
    const line: Record<string, unknown> = { time: new Date(time).toISOString(), level, message };
    if (allowance.kind === 'last') line['note'] = 'more lines with this message are suppressed for up to a minute';
    else if (allowance.leftOut > 0) line['leftOut'] = allowance.leftOut;
    for (const [key, value] of Object.entries({ ...base, ...fields })) line[key] = printable(value);
    options.write(escapeSteering(toJson(line)));
  }
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
    child: (fields) => createLogger({ ...options, fields: { ...base, ...fields } }),
  };
}

/** JSON lines on standard error, which the service manager stores; limited per message. */
export function stderrLogger(level: LogLevel, fields: LogFields = {}): Logger {
  return createLogger({ level, fields, write: (line) => process.stderr.write(`${line}\n`), limit: new LogLimit() });
}

/** A logger that writes nothing. */
export const silentLogger: Logger = createLogger({ level: 'error', write: () => undefined });
