/**
 * How much of windows may still be looked at, counted in pieces: times from which until which a window is active. What is slower counts
 * as many. Nothing finds the times of a window without one, because a repository says which windows there are.
 */
export interface LookBudget {
  spend(pieces: number): void;
  /** For what is kept once it is found: it counts once. */
  spendOnce(what: string, pieces: number): void;
  /** There is nothing left: what was found since then is not all. */
  isSpent(): boolean;
}

/** So many pieces are looked at in about 0.1 s. */
export const MAX_PIECES = 300_000;

export function lookBudget(pieces = MAX_PIECES): LookBudget {
  let left = pieces;
  const seen = new Set<string>();
  return {
    spend(some) {
      left -= some;
    },
    spendOnce(what, some) {
      if (left < 0 || seen.has(what)) return;
      seen.add(what);
      left -= some;
    },
    isSpent: () => left < 0,
  };
}
