import type { AgentDetail, AgentEvent } from '@floe/model';
import { STATE_FORGETS } from '../machines/machine.ts';
import { planActivation, NO_BOOT_GUARD, REBOOT_TAKES_MS, type Job } from './job.ts';

/** Stages the system for the next start: as a one-time boot entry, or as the default with the boot guard. */
export const stageBoot: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine } = deps;
  const plan = await planActivation(deps, journal, release.toplevel);
  const failed = (detail: AgentDetail): AgentEvent => ({ type: 'boot-stage-failed', epoch, tookMs: 0, detail });
  if (machine.boot === null || plan === null)
    return failed({ code: 'NOT_BOOTABLE', message: 'this machine has no boot loader that the agent could use' });
  if (!(await machine.boot.hasGuard(release.toplevel))) return failed(NO_BOOT_GUARD);
  const outcome = await machine.boot.stage(plan, signal);
  if (outcome.kind === 'failed') {
    await machine.setProfile(plan.beforeProfile);
    const restored = await machine.switchTo(plan.beforeProfile, 'boot', { activation: plan.activation, isRollback: true, signal });
    // As long as the boot loader may start the new system, the boot guard stays.
    if (restored.kind === 'switched') await machine.watchdog?.disarm();
    const { code, message } = outcome.detail;
    return failed({ code: code === STATE_FORGETS ? code : 'BOOT_NOT_SET', message: `the system could not be staged for the next start: ${message}` });
  }
  const how = outcome.how === 'one-shot' ? 'by a one-time boot entry' : 'with the boot guard';
  return { type: 'boot-staged', epoch, tookMs: 0, detail: { code: 'AWAITS_RESTART', message: `the next start of the machine runs it (${how})` } };
};

export const reboot: Job = async ({ machine, logger, clock }, _journal, { epoch, release }, signal) => {
  logger.warn('restarting the machine', { epoch, toplevel: release.toplevel });
  await machine.boot?.reboot();
  // The restart ends this agent. If it still runs after a while, there was no restart.
  await clock.sleep(REBOOT_TAKES_MS, signal);
  return { type: 'reboot-failed', epoch, tookMs: 0, detail: { code: 'REBOOT_FAILED', message: 'the machine should have restarted, but did not' } };
};
