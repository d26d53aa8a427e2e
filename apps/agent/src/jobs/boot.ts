import type { AgentDetail, AgentEvent } from '@floe/model';
import { planActivation, NO_BOOT_GUARD, REBOOT_TAKES_MS, type Job } from './job.ts';

/** Makes the system that of the next start, for once or under guard. */
export const stageBoot: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine } = deps;
  const plan = await planActivation(deps, journal, release.toplevel);
  const failed = (detail: AgentDetail): AgentEvent => ({ type: 'boot-stage-failed', epoch, tookMs: 0, detail });
  if (machine.boot === null || plan === null) return failed({ code: 'NOT_BOOTABLE', message: 'this machine starts no systems' });
  if (!(await machine.boot.hasGuard(release.toplevel))) return failed(NO_BOOT_GUARD);
  const outcome = await machine.boot.stage(plan, signal);
  if (outcome.kind === 'failed') {
    await machine.setProfile(plan.beforeProfile);
    const restored = await machine.switchTo(plan.beforeProfile, 'boot', { activation: plan.activation, isRollback: true, signal });
    // While the boot loader may start the new system, its guard stays.
    if (restored.kind === 'switched') await machine.watchdog?.disarm();
    return failed({ code: 'BOOT_NOT_SET', message: `it could not be made the system of the next start: ${outcome.detail.message}` });
  }
  const how = outcome.how === 'one-shot' ? 'once, by the boot loader' : 'under guard';
  return { type: 'boot-staged', epoch, tookMs: 0, detail: { code: 'AWAITS_RESTART', message: `the next start of the machine tries it (${how})` } };
};

export const reboot: Job = async ({ machine, logger, clock }, _journal, { epoch, release }, signal) => {
  logger.warn('restarting the machine', { epoch, toplevel: release.toplevel });
  await machine.boot?.reboot();
  // This agent is ended by it. A machine that is still there after a while was not restarted.
  await clock.sleep(REBOOT_TAKES_MS, signal);
  return { type: 'reboot-failed', epoch, tookMs: 0, detail: { code: 'REBOOT_FAILED', message: 'the machine was to restart, and did not' } };
};
