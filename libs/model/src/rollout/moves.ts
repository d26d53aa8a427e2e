import type { HostName } from '../brands.ts';
import type { MembershipRule, RingAssignment } from './membership.ts';
import type { RolloutPolicy } from './policy.ts';

/** A policy with the hosts that it puts into its rings. */
export interface FilledRings {
  readonly policy: Pick<RolloutPolicy, 'rings'>;
  readonly assignment: Pick<RingAssignment, 'ringOf' | 'because'>;
}

/** A host that is in another ring than before. */
export interface RingMove {
  readonly host: HostName;
  /** Indices in the rings from before and after. */
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
