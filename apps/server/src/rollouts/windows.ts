import type { RolloutCourse, RolloutFacts, RolloutPolicy } from '@floe/model';
import { openMsBetween, ringWindowState } from '@floe/runtime';

/** For each ring, whether changes may begin now, and how long they might since the ring began. */
export function windowFacts({ rings }: RolloutPolicy, { ringSince }: RolloutCourse, now: number): RolloutFacts['windows'] {
  return rings.map(({ windows }) => ({
    isOpen: ringWindowState(windows, now).isOpen,
    openMs: openMsBetween(windows, Math.min(ringSince, now), now),
  }));
}
