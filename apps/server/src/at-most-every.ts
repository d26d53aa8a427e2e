import type { Clock } from '@floe/runtime';

/** Limits a function to one run per `everyMs`: calls in between get the last result, or that of the run under way. */
export function atMostEvery<Result>(clock: Clock, everyMs: number, run: () => Promise<Result>): () => Promise<Result> {
  let last: { readonly at: number; readonly result: Promise<Result> } | undefined;
  return async () => {
    const at = clock.monotonic();
    if (last === undefined || at - last.at >= everyMs) last = { at, result: run() };
    return await last.result;
  };
}
