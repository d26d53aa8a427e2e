import type { HostName, StorePath } from '../brands.ts';
import { isLost, type EarlierFailure, type RingHost } from '../rollout/progress.ts';
import { awaitedName, type WorldHost } from './world-host.ts';
import { releaseIn, type WorldRevision } from './world-revision.ts';

/** What is known of a fleet. */
interface Known {
  readonly revisions: readonly WorldRevision[];
  readonly acknowledged: ReadonlySet<string>;
  readonly now: number;
  ringOf(host: WorldHost, name?: HostName): number;
}

/** The commit that changed the host last, by its system. */
export function changeOf(revisions: readonly WorldRevision[], name: HostName, toplevel: StorePath): number | undefined {
  return revisions.find(({ toplevels }) => toplevels.get(name) === toplevel)?.sequence;
}

/** What failed on it, and is not counted as its own: it has another system in the rollout, or that is stable for it. */
export function failedBefore({ revisions, acknowledged, now }: Known, host: WorldHost, current: StorePath | undefined): readonly EarlierFailure[] {
  const { went, seen, isConnected } = host;
  const lost = went !== undefined && isLost({ ...seen, isConnected, went, toplevel: went.toplevel }, now) ? [went.toplevel] : [];
  return [...new Set([...host.quarantined, ...lost])].flatMap((toplevel) => {
    const change = changeOf(revisions, host.name, toplevel);
    const isOwn = toplevel === current && toplevel !== host.stable?.toplevel;
    const isAcknowledged = acknowledged.has(`${host.name} ${toplevel}`);
    return isOwn || change === undefined ? [] : [{ toplevel, change, failure: undefined, isAcknowledged }];
  });
}

const NOTHING_SAID = { timeZone: undefined, isEligible: false, isBrieflyAway: false, failure: undefined, isAcknowledged: false } as const;

/** Of a machine that waits for its rename, or that left the flake: what failed on it, and a name without a machine (O31). */
export function renamedFacts(world: Known, host: WorldHost, newest: WorldRevision): readonly RingHost[] {
  const { name, platform } = host;
  const isAsked = host.isEnrolled && host.pin === undefined && host.hold === undefined && !host.isOverridden;
  const failed = isAsked ? failedBefore(world, host, undefined) : [];
  const gone = failed.slice(0, 1).map(({ toplevel }): RingHost => {
    return { ...NOTHING_SAID, host: name, ring: world.ringOf(host), toplevel, platform, progress: 'waiting', failedBefore: failed };
  });
  const next = awaitedName(host);
  const release = next && releaseIn(newest, { name: next });
  if (next === undefined || release === undefined) return gone;
  const { toplevel } = release;
  const change = changeOf(world.revisions, next, toplevel);
  const unenrolled = {
    host: next,
    ring: world.ringOf(host, next),
    toplevel,
    change,
    platform: undefined,
    progress: 'away',
    failedBefore: [],
  } as const;
  return [...gone, { ...NOTHING_SAID, ...unenrolled }];
}
