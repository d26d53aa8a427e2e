import type { Clock } from '@floe/runtime';

/** How long the machine slept, from an arbitrary start, in ms. */
export function asleepMs(clock: Clock): number {
  return clock.sinceBoot() - clock.monotonic();
}
