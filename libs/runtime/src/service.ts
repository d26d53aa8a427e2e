import { describeError, isFloeError } from './errors.ts';
import type { Logger } from './logger.ts';

const USAGE_ERROR = 2;

/** Aborts when whoever started the process ends it. */
export function untilStopped(): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopping.abort());
  return stopping.signal;
}

/**
 * An unhandled rejection is a bug, but nothing waits for it: it ends one task, not the service. (An uncaught exception is different: the state
 * is unknown then, and the process ends.)
 */
export function surviveRejections(logger: Pick<Logger, 'error'>): void {
  process.on('unhandledRejection', (error) =>
    logger.error('a promise was rejected without a handler: this is a bug', { error, stack: error instanceof Error ? error.stack : undefined }),
  );
}

/** Says why a service cannot start, or ended, and sets the exit status. `inWords`: messages as they are for this installation. */
export function failService(error: unknown, inWords: (message: string) => string): void {
  const isUsage = isFloeError(error, 'CONFIG_INVALID') || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  // Includes the code, by which the manual can be searched.
  const code = isFloeError(error) && !isUsage ? `${error.code}: ` : '';
  process.stderr.write(`${isUsage || isFloeError(error) ? `${code}${inWords(describeError(error))}` : String((error as Error).stack)}\n`);
  process.exitCode = isUsage ? USAGE_ERROR : 1;
}
