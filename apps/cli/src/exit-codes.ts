import { isAbort, isFloeError } from '@floe/runtime';

/** What `floe` ends with. Documented in its help; scripts depend on them. */
export const EXIT_CODES = {
  ok: 0,
  failed: 1,
  usage: 2,
  unauthorized: 3,
  unreachable: 4,
  notFound: 5,
  /** `floe status --exit-code`: something needs a person. */
  needsAttention: 10,
  /** Stopped by Ctrl-C, as shells count it. */
  interrupted: 130,
} as const;

const CODES: Readonly<Record<string, number>> = {
  USAGE: EXIT_CODES.usage,
  NOT_LOGGED_IN: EXIT_CODES.unauthorized,
  UNAUTHENTICATED: EXIT_CODES.unauthorized,
  FORBIDDEN: EXIT_CODES.unauthorized,
  SERVER_UNREACHABLE: EXIT_CODES.unreachable,
  NOT_FOUND: EXIT_CODES.notFound,
  INTERRUPTED: EXIT_CODES.interrupted,
};

/** The one place that turns an error into an exit code. */
export function exitCodeOf(error: unknown): number {
  if (isAbort(error)) return EXIT_CODES.interrupted;
  return isFloeError(error) ? (CODES[error.code] ?? EXIT_CODES.failed) : EXIT_CODES.failed;
}
