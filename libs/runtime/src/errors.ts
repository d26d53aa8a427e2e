/** Facts of a failure: plain data, safe to log and to show. */
export type ErrorData = Readonly<Record<string, string | number | boolean | null | undefined>>;

/**
 * An expected failure. Callers compare `code`, never the message. `retryable`: the same call may succeed later without any change
 * by a person. `message` says what happened and what to do.
 */
export class FloeError<Code extends string = string> extends Error {
  override readonly name = 'FloeError';
  readonly code: Code;
  readonly retryable: boolean;
  readonly data: ErrorData;

  constructor(code: Code, message: string, options: { retryable?: boolean; data?: ErrorData; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.data = options.data ?? {};
  }
}

/** True when `error` is a {@link FloeError}, and with that `code` when one is given. */
export function isFloeError<Code extends string>(error: unknown, code?: Code): error is FloeError<Code> {
  return error instanceof FloeError && (code === undefined || error.code === code);
}

/** One line for people: the error's message, followed by those of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current instanceof Error && parts.length < 4) {
    const text = current.message === '' ? current.name : current.message;
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current.cause;
  }
  return parts.length === 0 ? String(error) : parts.join(': ');
}

/** True for the error that an aborted signal raises in Node's and our own functions. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || (error as NodeJS.ErrnoException).code === 'ABORT_ERR');
}
