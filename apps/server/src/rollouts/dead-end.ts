import type { RolloutFacts, RolloutFailure } from '@floe/model';
import type { CurrentRollout } from '@floe/store';
import { capitalised, nameMany, ringName, shortSha } from '@floe/views';

interface Resumed {
  readonly sha: string;
  readonly rollout: Pick<CurrentRollout, 'course' | 'policy'>;
  readonly facts: Pick<RolloutFacts, 'hosts'>;
}

/** Nobody is left who could verify it, so that resuming leads nowhere: what will end that. */
export function deadEndWords({ sha, rollout: { course, policy }, facts }: Resumed, seen: readonly Pick<RolloutFailure, 'host'>[]): string {
  const acknowledged = new Set(seen.map(({ host }) => host));
  const left = facts.hosts.filter(
    ({ host, isEligible, isAcknowledged, progress }) => isEligible && !(progress === 'failed' && (isAcknowledged || acknowledged.has(host))),
  );
  const isVerified = left.some(({ progress }) => progress === 'verified');
  const ways = `push another commit, have one try again with: floe retry HOST --reason "…", or end it with: floe rollout abort --reason "…"`;
  if (left.length === 0) return ` But nobody is left who could verify ${shortSha(sha)}: each host that it changes has failed. ${capitalised(ways)}`;
  const here = left.filter(({ ring, progress }) => ring === course.ring && progress !== 'verified');
  if (isVerified || here.length === 0 || here.some(({ progress }) => progress !== 'away')) return '';
  return ` But all that are left in ring ${ringName(policy, course.ring)} are away (${nameMany(here.map(({ host }) => host))}): it goes on when one of them is back. Or ${ways}`;
}
