import type { StorePath } from './brands.ts';
import type { ReleaseRef } from './resolve.ts';

/** A release that its host has to run before it gets any newer one of the fleet. */
export interface SteppingStone extends ReleaseRef {
  /** As the policy calls it. */
  readonly name: string;
}

/** How far a host has come. */
export interface StonePassage {
  /** The highest sequence that it was ever told, or has accepted: nothing above a stone is told before it was passed. */
  readonly floor: number;
  /** Which systems it has arrived at. */
  readonly hasArrived: (toplevel: StorePath) => boolean;
}

/** The next stone that the host has not passed. */
export function pendingStone(stones: readonly SteppingStone[], { floor, hasArrived }: StonePassage): SteppingStone | undefined {
  const inOrder = stones.toSorted((one, other) => one.sequence - other.sequence);
  // One that it runs is passed, with those before it.
  const reached = inOrder.findLastIndex(({ sequence, toplevel }) => sequence < floor || hasArrived(toplevel));
  return inOrder[reached + 1];
}
