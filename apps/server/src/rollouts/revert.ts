import { hasArrived, revertOf, type CommitSha, type HostName } from '@floe/model';
import { MAX_REVERT_NAMES, type RevertView } from '@floe/protocol';
import { lastWordOf, type CurrentRollout, type FleetHost } from '@floe/store';
import { isTooOldToGoBack } from '../host-problem.ts';
import type { RevertScope } from './orders.ts';

/** It was told the release that the current rollout has for it, and no pin or hold keeps it there. */
function isTold({ situation }: FleetHost): boolean {
  const { directed, rollout, stable, pin, hold } = situation;
  return directed !== undefined && directed.id === rollout?.id && directed.id !== stable?.id && pin === undefined && hold === undefined;
}

/** Whom a revert of the rollout that hosts follow is about. Pure. */
export function revertScope(hosts: readonly FleetHost[]): RevertScope {
  const told = hosts.filter(isTold);
  const without = told.filter(({ situation }) => situation.stable === undefined);
  return { count: told.length - without.length, without: without.map(({ row }) => row.host) };
}

/** How far a revert is; undefined: the rollout is not aborted with one. Pure. */
export function viewRevert(rollout: CurrentRollout, hosts: readonly FleetHost[]): RevertView | null {
  if (revertOf(rollout) === undefined) return null;
  const reverting = hosts.flatMap((each) => {
    const { row, desired } = each;
    const isReverting = desired.kind === 'release' && desired.because === 'revert';
    return isReverting ? [{ ...each, isBack: hasArrived(lastWordOf(row), desired.release.toplevel) }] : [];
  });
  const commits = new Set(reverting.map(({ desiredCommit }) => desiredCommit));
  const [commit] = commits;
  const names = (some: readonly FleetHost[]): HostName[] => some.map(({ row }) => row.host).slice(0, MAX_REVERT_NAMES);
  return {
    total: reverting.length,
    back: reverting.filter(({ isBack }) => isBack).length,
    commit: commits.size === 1 ? ((commit satisfies CommitSha | undefined) ?? null) : null,
    // Stable, or what it keeps, is quarantined on it, or it has no stable one.
    without: names(hosts.filter((each) => isTold(each) && each.desired.kind === 'release' && each.desired.because !== 'revert')),
    tooOld: names(reverting.filter(({ row, desired, isBack }) => !isBack && isTooOldToGoBack(row, desired))),
  };
}
