import type { HostName } from '../brands.ts';
import { labelsOf, type MembershipRule, type RingAssignment, type RingCandidate } from './membership.ts';
import type { RolloutPolicy } from './policy.ts';

/** A policy with the hosts that it puts into its rings. */
export interface FilledRings {
  readonly policy: Pick<RolloutPolicy, 'rings' | 'labels'>;
  readonly assignment: Pick<RingAssignment, 'ringOf' | 'because'>;
}

/** A host as the last complete rollout that had it left it. */
export interface KnownHost {
  readonly host: HostName;
  /** The name that its ring has now; undefined: that ring is gone. */
  readonly ring: string | undefined;
  readonly labels: readonly string[];
  /** As its own configuration says. */
  readonly timeZone?: string | undefined;
}

/** The hosts of a complete rollout as it leaves them. */
export function hostsAsLeft({ policy, hosts, assignment }: FilledRings & { readonly hosts: readonly RingCandidate[] }): readonly KnownHost[] {
  return hosts.map((each) => ({
    host: each.host,
    ring: policy.rings[assignment.ringOf.get(each.host) ?? policy.rings.length]?.name,
    labels: labelsOf(policy, each),
    timeZone: each.timeZone,
  }));
}

/**
 * `before`, with the hosts of `after` as they were in the last complete rollout that had them. One that left the flake, or did not evaluate,
 * is no new one when it is back, nor is one that says which name its machine had before: whoever has that name moves with it. A host with a
 * place of its own does not lose it by such a word: where the two places differ, it comes from neither.
 */
export function withKnownHosts<Before extends FilledRings & { readonly hosts: readonly RingCandidate[] }>(
  before: Before,
  after: FilledRings & { readonly hosts: readonly RingCandidate[] },
  known: readonly KnownHost[],
): Before {
  const places = new Map([...hostsAsLeft(before), ...known].map((each) => [each.host, each]));
  const renamed = after.hosts.flatMap(({ host, formerHost }): KnownHost[] => {
    const place = formerHost === undefined || after.assignment.ringOf.has(formerHost) ? undefined : places.get(formerHost);
    if (place === undefined) return [];
    const own = places.get(host);
    return [own === undefined ? { ...place, host } : ofBoth(own, place)];
  });
  const isRenamed = new Set(renamed.map(({ host }) => host));
  const back = [...known.filter(({ host }) => after.assignment.ringOf.has(host) && !isRenamed.has(host)), ...renamed];
  const names = new Set(back.map(({ host }) => host));
  const { policy, hosts, assignment } = before;
  const pairs = pairRings(policy, after.policy);
  // Those that a complete rollout of `after` itself left have the names of its rings. -1 for a ring that is gone.
  const indexOf = (name: string | undefined): number => {
    const own = policy.rings.findIndex((ring) => ring.name === name);
    return own >= 0 ? own : (pairs.get(after.policy.rings.findIndex((ring) => ring.name === name)) ?? -1);
  };
  const ringOf = new Map([...assignment.ringOf, ...back.map(({ host, ring }) => [host, indexOf(ring)] as const)]);
  return { ...before, hosts: [...hosts.filter(({ host }) => !names.has(host)), ...back], assignment: { ...assignment, ringOf } };
}

function ofBoth(own: KnownHost, former: KnownHost): KnownHost {
  return { ...own, ring: own.ring === former.ring ? own.ring : undefined, labels: [...new Set([...own.labels, ...former.labels])] };
}

/** The names of the rings of `after`, by those that the same rings had before. */
export function renamedRings(before: Pick<RolloutPolicy, 'rings'>, after: Pick<RolloutPolicy, 'rings'>): ReadonlyMap<string, string> {
  return new Map(
    [...pairRings(before, after)].flatMap(([to, from]) => {
      const [was, is] = [before.rings[from]?.name, after.rings[to]?.name];
      return was === undefined || is === undefined ? [] : [[was, is] as const];
    }),
  );
}

/** A host that is in another ring than before. */
export interface RingMove {
  readonly host: HostName;
  /** Indices in the rings from before and after; `from` is -1 when its ring is gone. */
  readonly from: number;
  readonly to: number;
  /** The rule that puts it there now. */
  readonly rule: MembershipRule;
}

/**
 * Which ring of `after` (index) is which of `before` (index): the one of the same name. A ring whose name is gone is taken as renamed when
 * a new name has its place; else it has no entry.
 */
export function pairRings(before: Pick<RolloutPolicy, 'rings'>, after: Pick<RolloutPolicy, 'rings'>): ReadonlyMap<number, number> {
  const indexBefore = new Map(before.rings.map(({ name }, index) => [name, index]));
  const namesAfter = new Set(after.rings.map(({ name }) => name));
  return new Map(
    after.rings.flatMap(({ name }, index): (readonly [number, number])[] => {
      const same = indexBefore.get(name);
      if (same !== undefined) return [[index, same]];
      const replaced = before.rings[index];
      const isRenamed = before.rings.length === after.rings.length && replaced !== undefined && !namesAfter.has(replaced.name);
      return isRenamed ? [[index, index]] : [];
    }),
  );
}

/** The hosts that are in another ring than before, in the order of `after`. Hosts that came or left did not move, nor did those of a renamed ring. */
export function compareRings(before: FilledRings, after: FilledRings): readonly RingMove[] {
  const pairs = pairRings(before.policy, after.policy);
  return [...after.assignment.ringOf].flatMap(([host, to]): RingMove[] => {
    const from = before.assignment.ringOf.get(host);
    const rule = after.assignment.because.get(host);
    return from === undefined || rule === undefined || pairs.get(to) === from ? [] : [{ host, from, to, rule }];
  });
}
