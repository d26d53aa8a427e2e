import { isContactBack, SERVER_MISSED, type AgentEvent } from '@floe/model';
import { planActivation, REBOOT_TAKES_MS, switchedByHand, type Job } from './job.ts';
import { isByHand, waitForOtherSwitches } from './others.ts';

/** Goes back to the previous system: first the boot loader, then the running system. */
export const rollBack: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, settings, logger, clock } = deps;
  const { before, activation, verdict } = journal;
  const failed = (code: string, message: string): AgentEvent => ({ type: 'rollback-failed', epoch, tookMs: 0, detail: { code, message } });
  if (before === null || before.toplevel === null) return failed('NO_PREVIOUS_SYSTEM', 'there is no earlier system to roll back to');
  const plan = await planActivation(deps, journal, release.toplevel);
  const { watchdog } = machine;
  if (watchdog !== null) {
    // A switch of an earlier run or of the watchdog holds the lock, and may write the boot loader: wait for its end.
    await watchdog.settled(activation, signal);
    if (plan !== null && verdict === 'over') {
      // The verdict of a trial is "passed", with which the watchdog of a switch leaves it alone.
      await watchdog.endTrialIn(plan, plan.switchMs).catch((error: unknown) => logger.warn('the rollback has no watchdog', { error }));
    } else if (plan !== null && verdict !== 'unwanted') {
      // A full disk must not prevent the rollback.
      await watchdog.claim(activation, 'undo').catch((error: unknown) => logger.warn('the verdict cannot be written', { error }));
      // In case the agent stops here, the watchdog covers the rollback, too. After a restart the boot guard does.
      const rollbackPlan = { ...plan, verdictMs: plan.switchMs };
      if (journal.boot === null)
        await watchdog.arm(rollbackPlan, { isFirst: false }).catch((error: unknown) => logger.warn('the rollback has no watchdog', { error }));
    }
  }
  await waitForOtherSwitches(deps, 'the rollback', signal);
  const found = await machine.observe();
  if (await isByHand(deps, journal, found, release.toplevel)) return switchedByHand(deps, found.current);
  // The boot loader first: from here on a power failure leads to the previous system.
  const named = found.profile?.toplevel;
  if (journal.boot !== null) await machine.boot?.unstage(activation);
  // A user may have set the default of the boot loader, too: keep it.
  const isUsersDefault = journal.override !== null && named !== release.toplevel;
  // The boot loader may know the new system, whatever the profile says (an earlier try may have stopped half way): write it again.
  const mayKnowNew = journal.boot !== null || verdict === 'unwanted' || journal.attempt > 0;
  if (before.profile !== null && !isUsersDefault && (named !== before.profile || mayKnowNew)) {
    await machine.setProfile(before.profile);
    const boot = await machine.switchTo(before.profile, 'boot', { activation, isRollback: true, signal });
    if (boot.kind === 'failed')
      return failed('BOOT_NOT_SET', `the previous system could not be made the default of the boot loader: ${boot.detail.message}`);
  }
  // A staged system that was not started needs no switch back, and a user's own switch is kept.
  const isUntried = verdict === 'superseded' && found.current !== release.toplevel;
  const isSwitched = !isUntried && (found.current !== before.toplevel || verdict === 'failed' || verdict === null);
  if (isSwitched) {
    const outcome = await machine.switchTo(before.toplevel, 'test', { activation, isRollback: true, signal });
    if (outcome.kind === 'failed') {
      const message = `the switch to the previous system failed: ${outcome.detail.message}`;
      if (journal.boot === null || found.current === before.toplevel || !(await machine.boot?.rebootBack(activation)))
        return failed(outcome.detail.code, message);
      // A system that needs a restart to begin may need one to end. The boot loader knows the previous system already.
      logger.warn('restarting the machine to leave a system that failed', { epoch });
      await clock.sleep(REBOOT_TAKES_MS, signal);
      return failed('REBOOT_FAILED', `${message}; and the machine did not restart`);
    }
    const { current } = await machine.observe();
    if (current !== before.toplevel) return failed('CURRENT_SYSTEM_DIFFERS', `after the rollback, the machine runs ${current ?? 'nothing'}`);
  }
  await watchdog?.disarm();
  // Checked only when it decides: was it the new system that cut the server off?
  const met = verdict === 'no-contact' ? await deps.contact(settings.contactTimeoutMs, signal) : null;
  const hasContact = met === null || isContactBack(met.contact, { hadNetwork: journal.detail?.code === SERVER_MISSED });
  return { type: 'rolled-back', epoch, tookMs: 0, hasContact };
};
