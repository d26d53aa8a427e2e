/** Pseudo-random numbers: the same seed gives the same plan on every machine. */
export interface Random {
  /** From `from` to `to`, both included. */
  integer(from: number, to: number): number;
  pick<T>(from: readonly [T, ...T[]]): T;
  /** True in `share` of the cases, 0 to 1. */
  chance(share: number): boolean;
}

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for a plan of some hundred decisions. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const integer = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    integer,
    pick: ([first, ...rest]) => [first, ...rest][integer(0, rest.length)] ?? first,
    chance: (share) => next() < share,
  };
}
