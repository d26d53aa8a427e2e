/**
 * Reads once for all who ask at about the same time: one read is under way, and whoever asks meanwhile shares the next. So nobody gets
 * what was read before they asked.
 */
export function sharedRead<Result>(read: () => Promise<Result>): () => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<Result> | undefined;
  async function readAfter(before: Promise<unknown>): Promise<Result> {
    // Whoever shares it is told of its failure.
    await before.catch(() => undefined);
    next = undefined;
    return await read();
  }
  return async () => {
    if (next === undefined) {
      next = readAfter(last);
      last = next;
    }
    return await next;
  };
}
