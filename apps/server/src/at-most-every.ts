import type { Clock } from '@floe/runtime';

/** The same function, run at most once in `everyMs`: who asks sooner gets the last answer, or waits for the one under way. */
export function atMostEvery<Result>(clock: Clock, everyMs: number, run: () => Promise<Result>): () => Promise<Result> {
  let last: { readonly at: number; readonly result: Promise<Result> } | undefined;
  return async () => {
    const at = clock.monotonic();
    if (last === undefined || at - last.at >= everyMs) last = { at, result: run() };
    return await last.result;
  };
}
