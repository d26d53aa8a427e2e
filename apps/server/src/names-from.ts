import { isLeftOut, type HostName } from '@floe/model';
import type { Evaluation } from '@floe/store';

/** What the hosts of a revision were called before, by their configurations: each earlier name, with the new one. */
export function namesFrom(evaluations: readonly Pick<Evaluation, 'host' | 'outcome' | 'formerHost'>[]): ReadonlyMap<HostName, HostName> {
  return new Map(
    evaluations.flatMap(({ host, outcome, formerHost }) => (formerHost === undefined || isLeftOut(outcome) ? [] : [[formerHost, host] as const])),
  );
}
