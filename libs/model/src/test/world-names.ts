import type { HostName } from '../brands.ts';
import type { ReleaseRef } from '../resolve.ts';
import type { RolloutCourse } from '../rollout/course.ts';
import type { WorldHost } from './world-host.ts';
import type { WorldRevision } from './world-revision.ts';

// What a rename moves.

/** With the same number. */
export function unusedName(host: HostName, names: ReadonlySet<HostName>): HostName {
  const letters = [...names].filter((name) => name.slice(1) === host.slice(1)).map((name) => name.codePointAt(0) ?? 0);
  return `${String.fromCodePoint(Math.max(...letters) + 1)}${host.slice(1)}` as HostName;
}

/** Everything that commits had for the machine is of its new name; of a commit that had both names, its own stays. */
export function moveInRevisions(revisions: readonly WorldRevision[], from: HostName, to: HostName): void {
  for (const { toplevels, coming, unknown, bad } of revisions) {
    const own = toplevels.get(from);
    if (own === undefined) continue;
    toplevels.set(to, own);
    toplevels.delete(from);
    for (const names of [coming, unknown, bad]) {
      names.delete(to);
      if (names.delete(from)) names.add(to);
    }
  }
}

/** What it was told, is pinned to or is proved to run is the same under its new name. */
export function moveReleases(host: WorldHost, to: HostName): void {
  const moved = <Release extends ReleaseRef>(release: Release): Release => ({ ...release, host: to, id: `${to}@${release.sequence}` });
  host.stable = host.stable && moved(host.stable);
  host.hold = host.hold && moved(host.hold);
  host.pin = host.pin && moved(host.pin);
  host.directed = host.directed && moved(host.directed);
  host.stones = host.stones.map((stone) => ({ ...moved(stone), name: `${to}@${stone.sequence}` }));
}

/** A pause names hosts. */
export function moveInCourse(course: RolloutCourse, from: HostName, to: HostName): RolloutCourse {
  const { pause } = course;
  if (pause?.cause !== 'failures') return course;
  return { ...course, pause: { ...pause, failures: pause.failures.map((each) => (each.host === from ? { ...each, host: to } : each)) } };
}

/** That a person saw what failed on it. */
export function moveAcknowledged(acknowledged: Set<string>, from: HostName, to: HostName): void {
  for (const key of [...acknowledged].filter((each) => each.startsWith(`${from} `))) {
    acknowledged.delete(key);
    acknowledged.add(`${to} ${key.slice(from.length + 1)}`);
  }
}
