/** What was refused alone, and why. */
export interface Culprit<Item> {
  readonly item: Item;
  readonly error: unknown;
}

/** A batch in which so many were refused alone is not searched any further: the rest of it is refused with them. */
const USUAL_CULPRITS = 20;

/**
 * Does `attempt` for all items at once; when it fails with an error that is about the items (`isTheirs`), tries halves,
 * until those that fail are alone. Returns them; for all others `attempt` was done once, and in order. Costs about
 * 2 log2(n) tries for one culprit. An error that is not theirs (the database is away) is thrown: what was done by then
 * may be done again, so `attempt` must be one that can be repeated.
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
