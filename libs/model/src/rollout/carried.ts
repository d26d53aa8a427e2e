import type { RingHost } from './progress.ts';

/**
 * Failures with earlier commits that the rollout contains: hosts are still to get such a commit, nobody runs it, and the host that tried it
 * has something newer by now. Each as a host of the rollout that failed. Otherwise a commit that only changes the canary that failed would
 * bring the others what failed on it.
 */
export function carriedFailures(hosts: readonly RingHost[]): readonly RingHost[] {
  if (hosts.every(({ failedBefore }) => failedBefore === undefined)) return [];
  const isToCome = ({ isEligible, progress }: RingHost): boolean => isEligible && progress !== 'verified' && progress !== 'failed';
  const toCome = new Set(hosts.filter(isToCome).map(({ change }) => change));
  for (const { progress, change } of hosts) if (progress === 'verified') toCome.delete(change);
  return hosts.flatMap(({ failedBefore = [], ...host }) =>
    failedBefore
      .filter(({ change }) => toCome.has(change))
      .map((earlier): RingHost => ({ ...host, ...earlier, isEligible: true, progress: 'failed', isBrieflyAway: false })),
  );
}
