import {
  comparePolicies,
  compareRings,
  downloadWords,
  gatesInWords,
  idleGatesInWords,
  labelsOf,
  notifyWords,
  otherRings,
  presenceLimitWords,
  shrinkWords,
  type HostName,
  type PolicyInForce,
} from '@floe/model';
import { membershipWords } from '@floe/views';
import { formatBlock, formatTable, type Cell, type Tone, type View } from './terminal.ts';

/** The rings with their gates, and who is in which ring, and why. */
export function formatPolicy(read: PolicyInForce, knowsHosts: boolean, view: View): string {
  const parts = read.policy.rings.map((ring, index) => {
    const title = knowsHosts ? `${ring.name}: ${hostCount(membersOf(read, index).length)}` : ring.name;
    return `${view.style('strong', `Ring ${title}`)}\n${formatBlock([...gatesInWords(ring), idleGatesInWords(ring).join(', ')].join('\n').trimEnd())}`;
  });
  parts.push(`${view.style('strong', 'Fleet')}\n${formatBlock(fleetLines(read).join('\n'))}`);
  if (read.hosts.length > 0) parts.push(formatMembers(read, view));
  return parts.join('\n\n');
}

function hostCount(count: number): string {
  return count === 1 ? '1 host' : `${count} hosts`;
}

/** What each field of the policy comes to, also where it is the default. */
export function fleetLines({ policy }: Pick<PolicyInForce, 'policy'>): readonly string[] {
  const { maxInFlight, budgets, checks, steppingStones, shrink, presence, downloads } = policy;
  return [
    maxInFlight === undefined ? 'no limit of hosts at once' : `at most ${maxInFlight} at once`,
    ...budgets.map(({ label, atMost }) => `at most ${atMost} at once with the label ${label}`),
    checks.length === 0 ? 'no checks before a release' : `built before a release: ${checks.join(', ')}`,
    steppingStones.length === 0 ? 'no stepping stones' : `run before anything newer: ${steppingStones.join(', ')}`,
    downloadWords(downloads),
    `a commit is ${shrinkWords(shrink)}`,
    presenceLimitWords(presence),
    ...notifyWords(policy),
  ];
}

function membersOf({ assignment }: PolicyInForce, ring: number): readonly string[] {
  return [...assignment.ringOf].filter(([, index]) => index === ring).map(([host]) => host);
}

function formatMembers(read: PolicyInForce, view: View): string {
  const members = membersInOrder(read);
  const hasLabels = members.some(({ labels }) => labels.length > 0);
  const rows = members.map(({ host, ring, why, labels }): Cell[] => [
    { text: host },
    { text: ring },
    ...(hasLabels ? [{ text: labels.join(' '), tone: 'quiet' as const }] : []),
    { text: why },
  ]);
  return formatTable(['HOST', 'RING', ...(hasLabels ? ['LABELS'] : []), 'WHY'], rows, view, hasLabels ? ['LABELS'] : []);
}

/** One host, for people and for JSON. */
export interface RingMember {
  readonly host: string;
  readonly ring: string;
  readonly why: string;
  readonly labels: readonly string[];
}

/** More are a pattern that fits everything. */
const MAX_OTHER_RINGS = 3;

/** By ring, and by name as people count. */
export function membersInOrder({ policy, hosts, assignment }: PolicyInForce): readonly RingMember[] {
  const others = otherRings(policy, hosts);
  const alsoFits = (host: HostName): readonly string[] =>
    (others.get(host) ?? []).slice(0, MAX_OTHER_RINGS).map(({ ring, rule }) => `not in ring ${policy.rings[ring]?.name}: ${membershipWords(rule)}`);
  return hosts
    .map((each) => ({ each, index: assignment.ringOf.get(each.host) ?? policy.rings.length - 1 }))
    .toSorted((a, b) => a.index - b.index || a.each.host.localeCompare(b.each.host, 'en', { numeric: true }))
    .map(({ each, index }) => ({
      host: each.host,
      ring: policy.rings[index]?.name ?? '',
      why: [membershipWords(assignment.because.get(each.host) ?? { by: 'rest' }), ...alsoFits(each.host)].join('; '),
      labels: labelsOf(policy, each),
    }));
}

/** A host that is in another ring than before. */
export interface MovedHost {
  readonly host: string;
  readonly from: string;
  readonly to: string;
  readonly why: string;
}

export function movedHosts(before: PolicyInForce, after: PolicyInForce): readonly MovedHost[] {
  return compareRings(before, after)
    .map(({ host, from, to, rule }) => ({
      host,
      from: before.policy.rings[from]?.name ?? '',
      to: after.policy.rings[to]?.name ?? '',
      why: membershipWords(rule),
    }))
    .toSorted((a, b) => a.host.localeCompare(b.host, 'en', { numeric: true }));
}

const TONES = { weaker: 'bad', stronger: 'good', other: 'quiet' } as const satisfies Record<string, Tone>;

/** What is weaker and stronger than before, and who moves. */
export function formatPolicyChanges(before: PolicyInForce, after: PolicyInForce, since: string, view: View): string {
  const title = view.style('strong', `Changes since ${since}`);
  const changes = comparePolicies(before, after);
  if (changes.length === 0) return `${title}\n  none`;
  const rows = changes.map(({ direction, text }): Cell[] => [{ text: direction, tone: TONES[direction] }, { text }]);
  const moves = movedHosts(before, after).map(({ host, from, to, why }): Cell[] => [{ text: host }, { text: from }, { text: to }, { text: why }]);
  return [
    `${title}\n${formatTable(['CHANGE', 'WHAT'], rows, view)}`,
    ...(moves.length === 0 ? [] : [formatTable(['HOST', 'FROM', 'TO', 'WHY'], moves, view)]),
  ].join('\n\n');
}
