import { gatesOf, probesOf, type HostName, type RolloutStep } from '@floe/model';
import { ringHosts, type CurrentRollout, type Fleet } from '@floe/store';
import { assert } from './assert.ts';
import type { SimulatedHost } from './simulated-host.ts';

/** A machine that is there for so long is connected, but for the moments after the server was killed. */
const CONNECTED_AFTER_MS = 3 * 60_000;

/**
 * The gate of a ring passed: enough are verified even if all fail that are on their way, as the machines themselves know it. The server does
 * not see for a while after it was killed who is there.
 */
export function checkPassed(
  { from: course }: RolloutStep,
  { rollout, hosts }: Fleet,
  machines: (host: HostName) => SimulatedHost | undefined,
  now: number,
): void {
  if (rollout === undefined || rollout.orders.hotfix !== undefined) return;
  const { successPercent, deadlineMs = Infinity } = gatesOf(rollout.policy, course);
  // Who has not started is not waited for at the deadline.
  if (now - course.ringSince >= deadlineMs) return;
  const asked = ringHosts(rollout, hosts, now).filter(({ ring, isEligible }) => isEligible && ring === course.ring);
  const isThere = (host: HostName): boolean => {
    const machine = machines(host);
    return machine?.isOnline === true && now - machine.onlineSince > CONNECTED_AFTER_MS;
  };
  const onTheWay = asked.filter(({ host, progress }) => progress === 'in-flight' || progress === 'to-come' || (progress === 'away' && isThere(host)));
  const verified = asked.filter(({ progress }) => progress === 'verified').length;
  const failed = asked.filter(({ progress, isAcknowledged }) => progress === 'failed' && !isAcknowledged).length;
  const isEnough = successPercent > 0 && verified * 100 >= successPercent * (verified + failed + onTheWay.length);
  assert(
    onTheWay.length === 0 || isEnough,
    `O3: ring ${course.ring} passes with ${verified} verified, though ${onTheWay.length} are on their way, ${onTheWay[0]?.host} among them`,
  );
}

/** The server looks again in time, though hints were lost. */
const LOOKED_MS = 20 * 60_000;

/** A soak that is over ends its ring soon, also when nobody says anything. What a probe answers may take longer. */
export function checkSoaked(rollout: CurrentRollout | undefined, now: number): void {
  if (rollout?.state !== 'SOAKING' || probesOf(rollout.policy, rollout.course).length > 0) return;
  const { soakMs } = gatesOf(rollout.policy, rollout.course);
  const lateMs = now - rollout.course.since - soakMs;
  assert(lateMs <= LOOKED_MS, `O15: ring ${rollout.course.ring} still soaks, ${Math.round(lateMs / 60_000)} minutes after its soak was over`);
}
