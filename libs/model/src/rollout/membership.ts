import { storableText } from '../bounds.ts';
import type { HostName } from '../brands.ts';
import { nearest } from '../nearest.ts';
import { isGlob, matchesGlob } from './glob.ts';
import type { RolloutPolicy } from './policy.ts';

/** What is known of a host when rings are filled. */
export interface RingCandidate {
  readonly host: HostName;
  /** Of its own configuration. */
  readonly labels: readonly string[];
  /** The ring that its own configuration names. */
  readonly ring?: string | undefined;
  /** The name that its machine had before, by its own configuration. */
  readonly formerHost?: HostName | undefined;
  /** The time zone of its own configuration, for windows that go by that. */
  readonly timeZone?: string | undefined;
}

/** The rule that put a host into its ring. */
export type MembershipRule =
  /** The host's own configuration names the ring. */
  | { readonly by: 'own' }
  | { readonly by: 'name' }
  | { readonly by: 'glob'; readonly pattern: string }
  | { readonly by: 'label'; readonly label: string }
  /** Up to `percent`, counted from the first ring. */
  | { readonly by: 'share'; readonly percent: number }
  /** No rule names it, so it is in the last ring. */
  | { readonly by: 'rest' };

/** A mistake about one host. It has a ring nevertheless. */
export interface MembershipProblem {
  readonly host: HostName;
  readonly message: string;
}

export interface RingAssignment {
  /** The index in `policy.rings`, for each host. */
  readonly ringOf: ReadonlyMap<HostName, number>;
  readonly because: ReadonlyMap<HostName, MembershipRule>;
  readonly problems: readonly MembershipProblem[];
}

/** How many ring names a message lists. */
const MAX_LISTED = 10;
/** A ring's name has 40 characters, but a host's configuration may say anything. */
const MAX_SHOWN = 80;

/**
 * The ring of each host. A host's own configuration comes first, then its name, a glob, a label and its share; who is in none is in the
 * last ring. Where one rule fits several rings, the first of them counts. The result for a host depends on the policy and this host
 * only, so other hosts can come and go.
 */
export function assignRings(policy: Pick<RolloutPolicy, 'rings' | 'labels'>, hosts: readonly RingCandidate[]): RingAssignment {
  const find = ringFinder(policy);
  const ringOf = new Map<HostName, number>();
  const because = new Map<HostName, MembershipRule>();
  const problems: MembershipProblem[] = [];
  for (const candidate of hosts) {
    const { ring, rule, problem } = find(candidate);
    ringOf.set(candidate.host, ring);
    because.set(candidate.host, rule);
    if (problem !== undefined) problems.push({ host: candidate.host, message: problem });
  }
  return { ringOf, because, problems };
}

/** A ring that a host is not in, although a rule fits. */
interface OtherRing {
  readonly ring: number;
  readonly rule: MembershipRule;
}

/**
 * Hosts that two rings lay claim to: a pattern or a label of theirs fits a later ring as well, or their own configuration names one ring,
 * and the policy names them in another.
 */
export function otherRings(
  policy: Pick<RolloutPolicy, 'rings' | 'labels'>,
  hosts: readonly RingCandidate[],
): ReadonlyMap<HostName, readonly OtherRing[]> {
  const find = ringFinder(policy);
  return new Map(
    hosts.map((candidate) => {
      const { ring, rule } = find(candidate);
      const { host } = candidate;
      const all = policy.rings.flatMap(({ members }, index): OtherRing[] => {
        if (index === ring) return [];
        if (rule.by === 'own') return members.hosts.includes(host) ? [{ ring: index, rule: { by: 'name' } }] : [];
        if (rule.by === 'glob') {
          const pattern = members.hosts.find((each) => isGlob(each) && matchesGlob(each, host));
          return pattern === undefined ? [] : [{ ring: index, rule: { by: 'glob', pattern } }];
        }
        if (rule.by !== 'label') return [];
        const label = labelsOf(policy, candidate).find((each) => members.labels.includes(each));
        return label === undefined ? [] : [{ ring: index, rule: { by: 'label', label } }];
      });
      return [host, all];
    }),
  );
}

/** The labels of a host: those of its own configuration, and those that the policy gives to it. Each once. */
export function labelsOf(policy: Pick<RolloutPolicy, 'labels'>, { host, labels }: Pick<RingCandidate, 'host' | 'labels'>): readonly string[] {
  // A host may be called `constructor`.
  const given = Object.hasOwn(policy.labels, host) ? policy.labels[host] : undefined;
  return [...new Set([...labels, ...(given ?? [])])];
}

interface Placed {
  readonly ring: number;
  readonly rule: MembershipRule;
  readonly problem?: string;
}

function ringFinder(policy: Pick<RolloutPolicy, 'rings' | 'labels'>): (candidate: RingCandidate) => Placed {
  const { rings } = policy;
  const last = rings.length - 1;
  const byRingName = firstOf(rings.map(({ name }, ring) => [name, ring] as const));
  const patterns = rings.flatMap(({ members }, ring) => members.hosts.map((pattern) => [pattern, ring] as const));
  const byName = firstOf(patterns.filter(([pattern]) => !isGlob(pattern)));
  const globs = patterns.filter(([pattern]) => isGlob(pattern));
  const byLabel = firstOf(rings.flatMap(({ members }, ring) => members.labels.map((label) => [label, ring] as const)));
  const shares = cumulativeShares(policy);

  /** By the policy alone, whatever the host's own configuration says. */
  function byPolicy(candidate: RingCandidate): Placed {
    const { host } = candidate;
    const named = byName.get(host);
    if (named !== undefined) return { ring: named, rule: { by: 'name' } };
    const glob = globs.find(([pattern]) => matchesGlob(pattern, host));
    if (glob !== undefined) return { ring: glob[1], rule: { by: 'glob', pattern: glob[0] } };
    const labelled = labelsOf(policy, candidate)
      .flatMap((label) => {
        const ring = byLabel.get(label);
        return ring === undefined ? [] : [{ ring, label }];
      })
      // By ring and then by text, so that the order of a host's labels does not matter.
      .toSorted((a, b) => a.ring - b.ring || (a.label < b.label ? -1 : 1))[0];
    if (labelled !== undefined) return { ring: labelled.ring, rule: { by: 'label', label: labelled.label } };
    const percent = shareOfHost(host);
    const share = shares.find(({ upTo }) => percent < upTo);
    return share === undefined ? { ring: last, rule: { by: 'rest' } } : { ring: share.ring, rule: { by: 'share', percent: share.upTo } };
  }

  return (candidate) => {
    if (candidate.ring === undefined) return byPolicy(candidate);
    const own = byRingName.get(candidate.ring);
    if (own !== undefined) return { ring: own, rule: { by: 'own' } };
    return {
      ring: last,
      rule: { by: 'rest' },
      problem: `its configuration names the ring "${storableText(candidate.ring, MAX_SHOWN)}", which the policy does not have; ${meant(candidate.ring, rings)}`,
    };
  };
}

function meant(name: string, rings: RolloutPolicy['rings']): string {
  const names = rings.map((ring) => ring.name);
  const [first] = nearest(name, names);
  if (first !== undefined) return `did you mean ${first}?`;
  if (names.length === 1) return `its only ring is ${names[0]}`;
  return `the rings are ${names.slice(0, MAX_LISTED).join(', ')}${names.length > MAX_LISTED ? ', …' : ''}`;
}

/** The first value of each key. */
function firstOf(entries: readonly (readonly [string, number])[]): ReadonlyMap<string, number> {
  return new Map(entries.toReversed());
}

/** The end of each ring's part of the whole. Ending one ring's part begins the next one's, so a larger share never moves a host to a later ring. */
function cumulativeShares({ rings }: Pick<RolloutPolicy, 'rings'>): readonly { readonly ring: number; readonly upTo: number }[] {
  let upTo = 0;
  return rings.flatMap(({ members: { share } }, ring) => {
    if (share === undefined) return [];
    upTo += share;
    return [{ ring, upTo }];
  });
}

const ALL_PERCENT = 100;

/** Where a host stands from 0 to 100 (exclusive). It depends on the name alone, and must never change: hosts would change their ring. */
export function shareOfHost(host: HostName): number {
  return (hash32(host) / 2 ** 32) * ALL_PERCENT;
}

/**
 * FNV-1a of 32 bits over UTF-16 units, then the finalizer of MurmurHash3: names that differ only in their last digit are close to each
 * other in FNV alone.
 */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
