import type { RolloutCounts, RolloutHostStanding } from '@floe/model';
import { isLargeFleet, listNames, MAX_DESCRIPTION_LENGTH, progressOf } from './describe-text.ts';
import type { StatusText } from './status.ts';

/** Names of the hosts in some of the standings, to be told beside their number. */
export type RolloutNames = Partial<Readonly<Record<RolloutHostStanding, readonly string[]>>>;

/** What is told beside the hosts that run it, most urgent first. */
const TOLD: readonly (readonly [RolloutHostStanding, string])[] = [
  ['rolledBack', 'rolled back'],
  ['failed', 'failed'],
  ['behind', 'behind'],
  ['waiting', 'waiting'],
  ['away', 'away'],
  ['notEnrolled', 'not enrolled'],
  ['underWay', 'under way'],
];

/**
 * Where a rollout stands. A host that rolled back or failed makes it a failure at once: it stays so until someone acts.
 * Hosts that wait, are away, not enrolled or behind do not stand in the way of success, but are told, and at least one
 * host must be seen to run it. Once it was complete (`isComplete`), those that go on later do not make it pending again.
 */
export function describeRollout(counts: RolloutCounts, names: RolloutNames = {}, isComplete = false): StatusText {
  const withNames = sentence(counts, names);
  return { state: stateOf(counts, isComplete), description: withNames.length <= MAX_DESCRIPTION_LENGTH ? withNames : sentence(counts, {}) };
}

function stateOf(counts: RolloutCounts, isComplete: boolean): StatusText['state'] {
  if (counts.rolledBack + counts.failed > 0) return 'failure';
  if (counts.underWay > 0 && !isComplete) return 'pending';
  const isSeenSomewhere = counts.onIt > 0 || counts.underWay + counts.waiting + counts.away + counts.notEnrolled === 0;
  return isSeenSomewhere ? 'success' : 'pending';
}

function sentence(counts: RolloutCounts, names: RolloutNames): string {
  // Where the share is told in percent, an exact number beside it would change with every host all the same.
  const isRough = isLargeFleet(counts.total) && counts.underWay > 0;
  const told = TOLD.filter(([standing]) => counts[standing] > 0 && !(isRough && (standing === 'underWay' || standing === 'waiting')));
  const rest = told.map(([standing, word]) => {
    const named = names[standing] ?? [];
    return `${counts[standing]} ${word}${named.length === 0 ? '' : `: ${listNames(named)}`}`;
  });
  return [whoRunsIt(counts), ...rest].join(', ');
}

function whoRunsIt({ onIt, total, underWay }: RolloutCounts): string {
  if (total === 0) return 'no host is left in the flake';
  if (onIt === total) return total === 1 ? 'the only host runs it' : `all ${total} hosts run it`;
  const share = underWay > 0 ? progressOf(onIt, total) : `${onIt} of ${total}`;
  return `${share} ${total === 1 ? 'host' : 'hosts'} ${onIt === 1 || total === 1 ? 'runs' : 'run'} it`;
}
