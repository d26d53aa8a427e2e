import { promotedIn, resolve, revertOf } from '@floe/model';
import type { CurrentRollout, FleetHost } from './records.ts';

/** The same hosts, read when the rollout was elsewhere, with the answers of `resolve()` for where it is now. */
export function resolveAgain(hosts: readonly FleetHost[], rollout: CurrentRollout): readonly FleetHost[] {
  const isPromoted = promotedIn(rollout);
  const revert = revertOf(rollout);
  return hosts.map((each) => {
    const before = each.situation;
    const isRingPromoted = isPromoted(each.row.host);
    const isSame = before.isRingPromoted === isRingPromoted && before.revert?.by === revert?.by && before.revert?.reason === revert?.reason;
    if (isSame) return each;
    const situation = { ...before, isRingPromoted, revert };
    return { ...each, situation, desired: resolve(situation) };
  });
}
