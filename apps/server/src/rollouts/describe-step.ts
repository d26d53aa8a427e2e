import type { RolloutPolicy, RolloutStep } from '@floe/model';
import { describePause } from '@floe/views';

/** A step of a rollout for the audit log, where it is a decision; undefined for the steps in between. */
export function describeStep({ event, to, from }: RolloutStep, policy: RolloutPolicy): string | undefined {
  const name = (ring: number): string => `ring ${policy.rings[ring]?.name ?? ring + 1}`;
  switch (event) {
    case 'passed':
      return policy.rings.length === 1 ? undefined : `${name(to.ring)} has passed its gate`;
    case 'soaked':
      return `${name(to.ring)} is next`;
    case 'finished':
      return 'complete';
    case 'failed':
    case 'paused':
      return to.pause === undefined ? undefined : `paused at ${name(to.ring)}: ${describePause(to.pause)}`;
    case 'resumed':
      return `goes on at ${name(to.ring)}, where it was ${from.state.toLowerCase()}`;
    case 'aborted':
      return 'aborted';
    case 'grown':
      // Those that come and go are no news.
      return from.isReopened === true ? undefined : 'asks a host that was built late, or kept elsewhere when the others were asked';
    case 'changed':
      return `waits again for its approvals at ${name(to.ring)}: a host was built late, and what was approved is not all`;
    case 'begun':
    case 'skipped':
    case 'opened':
    case 'approved':
    case 'left':
    case 'superseded':
      return undefined;
  }
}
