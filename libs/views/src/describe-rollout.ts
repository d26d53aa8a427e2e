import { hasUnreportedTrouble, runsSomewhere, type HostStanding, type RolloutCounts, type StatusText } from '@floe/model';
import { isLargeFleet, listNames, progressOf } from './hosts-in-words.ts';
import { stillMade } from './rollout-words.ts';
import { standingName } from './standing.ts';

/** Names of hosts by standing, to be shown after their number. */
export type RolloutNames = Partial<Readonly<Record<HostStanding, readonly string[]>>>;

/** The standings that a description counts besides `in-sync`. Removed hosts are not part of a rollout. */
type Counted = Exclude<HostStanding, 'in-sync' | 'removed'>;

/** Returns the list. A list that lacks a counted standing does not compile. */
function listAll<const List extends readonly Counted[]>(list: [Exclude<Counted, List[number]>] extends [never] ? List : never): List {
  return list;
}

/** In the order of a description, the most urgent first. */
export const COUNTED_STANDINGS = listAll([
  'rolled-back',
  'failed',
  'drifted',
  'cloned',
  'behind',
  'not-built',
  'waiting',
  'queued',
  'kept-back',
  'local-override',
  'pinned',
  'trial',
  'away',
  'not-enrolled',
  'not-ours',
  'no-release',
  'revoked',
  'under-way',
]);

/** A description that would be longer with names has none. */
const ROOM_FOR_NAMES = 140;

export interface RolloutProgress {
  /** It was complete before: hosts that go on later do not make it pending again. */
  readonly isComplete?: boolean;
  /** So many of those that are away may be back at once. */
  readonly leaving?: number;
  /** So many are still built. */
  readonly building?: number;
  /** So many are still evaluated, and are in no count. */
  readonly evaluating?: number;
}

/**
 * Where a rollout stands. A host that needs a person makes it a failure at once: it stays so until someone acts. Hosts that
 * wait, are away, not enrolled or behind do not stand in the way of success, but are told, and at least one host must be
 * seen to run it.
 */
export function describeRollout(counts: RolloutCounts, names: RolloutNames = {}, progress: RolloutProgress = {}): StatusText {
  const withNames = sentence(counts, names, progress);
  return { state: stateOf(counts, progress), description: [...withNames].length <= ROOM_FOR_NAMES ? withNames : sentence(counts, {}, progress) };
}

/**
 * What is left on a commit when a newer one took its place: the verdict that it came to, or that it came to none, with how far it
 * had come. `before`: where it stood then, as far as that was recorded.
 */
export function describeSuperseded(supersededBy: string | undefined, before?: StatusText): StatusText {
  if (before !== undefined && before.state !== 'pending') return before;
  const by = `superseded by ${supersededBy === undefined ? 'a newer commit' : supersededBy.slice(0, 7)}`;
  return { state: 'error', description: before === undefined ? by : `${by}: ${before.description}` };
}

function stateOf(counts: RolloutCounts, { isComplete = false, leaving = 0, building = 0, evaluating = 0 }: RolloutProgress): StatusText['state'] {
  if (hasUnreportedTrouble(counts)) return 'failure';
  if (counts['under-way'] + leaving + building + evaluating > 0 && !isComplete) return 'pending';
  return runsSomewhere(counts) ? 'success' : 'pending';
}

/** Whoever is still built has no turn to wait for: of those only the number is told. */
function sentence(all: RolloutCounts, names: RolloutNames, { building = 0, evaluating = 0 }: RolloutProgress): string {
  const counts = { ...all, queued: Math.max(0, all.queued - building) };
  // Where the share is told in percent, an exact number beside it would change with every host all the same.
  const isRough = isLargeFleet(counts.total) && counts['under-way'] > 0;
  const told = COUNTED_STANDINGS.filter((standing) => counts[standing] > 0 && !(isRough && (standing === 'under-way' || standing === 'waiting')));
  const rest = told.map((standing) => {
    const named = names[standing] ?? [];
    return `${counts[standing]} ${standingName(standing)}${named.length === 0 ? '' : `: ${listNames(named)}`}`;
  });
  return [whoRunsIt(counts), ...rest, ...stillMade({ building, evaluating })].join(', ');
}

function whoRunsIt(counts: RolloutCounts): string {
  const { total } = counts;
  const onIt = counts['in-sync'];
  if (total === 0) return 'no host is left in the flake';
  if (onIt === total) return total === 1 ? 'the only host runs it' : `all ${total} hosts run it`;
  const share = counts['under-way'] > 0 ? progressOf(onIt, total) : `${onIt} of ${total}`;
  return `${share} ${total === 1 ? 'host' : 'hosts'} ${onIt === 1 || total === 1 ? 'runs' : 'run'} it`;
}
