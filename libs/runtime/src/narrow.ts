/** An item that was refused alone, and the error. */
export interface Culprit<Item> {
  readonly item: Item;
  readonly error: unknown;
}

/** When this many items of a batch were refused alone, the rest is refused with them, without further search. */
const USUAL_CULPRITS = 20;

/**
 * Runs `attempt` for all items together. When it fails with an error about the items (`isTheirs`), tries halves, until each
 * failing item is alone. Returns the failing items; for all others `attempt` succeeded, in order. Takes about 2 log2(n) attempts
 * for one culprit. Other errors (the database does not answer) are thrown: then the whole call may be repeated, so `attempt` must
 * be repeatable.
 */
export async function narrow<Item>(
  items: readonly Item[],
  attempt: (some: readonly Item[]) => Promise<void>,
  isTheirs: (error: unknown) => boolean,
  maxCulprits = USUAL_CULPRITS,
): Promise<readonly Culprit<Item>[]> {
  const culprits: Culprit<Item>[] = [];
  async function search(some: readonly Item[]): Promise<void> {
    if (some.length === 0) return;
    try {
      await attempt(some);
    } catch (error) {
      if (!isTheirs(error)) throw error;
      if (some.length === 1 || culprits.length >= maxCulprits) {
        culprits.push(...some.map((item) => ({ item, error })));
        return;
      }
      const middle = Math.ceil(some.length / 2);
      await search(some.slice(0, middle));
      await search(some.slice(middle));
    }
  }
  await search(items);
  return culprits;
}
