import { windowsIn, windowsOfRing, type RingHost, type RolloutCourse, type RolloutFacts, type RolloutPolicy } from '@floe/model';
import { openMsBetween, ringWindowState, type RingWindowState } from '@floe/runtime';

/** For each ring, whether changes of some of its hosts may begin now, and how long they might since the ring began. */
export function windowFacts(
  { rings }: RolloutPolicy,
  { ringSince }: RolloutCourse,
  hosts: readonly RingHost[],
  now: number,
): RolloutFacts['windows'] {
  return rings.map(({ windows }, ring) => {
    const given = windowsOfRing(
      windows,
      hosts.filter((host) => host.ring === ring),
    );
    return { isOpen: ringWindowState(given, now).isOpen, openMs: openMsBetween(given, Math.min(ringSince, now), now) };
  });
}

/** The windows of a ring for one of its hosts. */
export function hostWindowState({ rings }: RolloutPolicy, ring: number, timeZone: string | undefined, now: number): RingWindowState {
  return ringWindowState([windowsIn(rings[ring]?.windows ?? [], timeZone)], now);
}
