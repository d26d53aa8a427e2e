import { createHash } from 'node:crypto';
import { MAX_LOOSENINGS, type Loosening, type PolicyChange } from '@floe/model';

/** Of the first policy after the database was lost: whether it loosens anything is not known. */
export const LOST_POLICY = 'the database was rebuilt, and no earlier policy is known: this one may be weaker';

/** What a policy loosens, each with what stands for it: with one more host it is another thing, which nobody has approved. */
export function looseningsOf(changes: readonly Pick<PolicyChange, 'text' | 'hosts'>[]): readonly Loosening[] {
  const all = changes.map(({ text, hosts = [] }): Loosening => ({ text, id: digest([text, ...hosts.toSorted()]) }));
  if (all.length <= MAX_LOOSENINGS) return all;
  const [named, rest] = [all.slice(0, MAX_LOOSENINGS - 1), all.slice(MAX_LOOSENINGS - 1)];
  return [...named, { text: `${rest.length} further ways, which a comparison of the two policies shows`, id: digest(rest.map(({ id }) => id)) }];
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
