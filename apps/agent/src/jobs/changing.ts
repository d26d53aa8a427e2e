import {
  isOn,
  SERVER_AWAY,
  SERVER_MISSED,
  timeLimit,
  type AgentDetail,
  type AgentEvent,
  type AgentJournal,
  type Observed,
  type StorePath,
} from '@floe/model';
import type { CacheTrust } from '@floe/nix';
import { describeError, isFloeError } from '@floe/runtime';
import { checkHealth } from '../health/health-checks.ts';
import type { MachineWatchdog } from '../machines/machine.ts';
import { cacheOf, contactLimitMs, planActivation, healthLimits, REBOOT_TAKES_MS, switchedByHand, switchHeld, type Job, type JobDeps } from './job.ts';

/** The watchdog was first. */
export const WATCHDOG_WAS_FIRST: AgentDetail = {
  code: 'WATCHDOG',
  message: 'no verdict came in time: the watchdog put the system before back',
};

/** What a person should know of a system that was found to work. */
const JUDGED_LOCALLY: AgentDetail = { code: SERVER_AWAY, message: 'the server said nothing in time, the network works: judged by the local checks' };
const NO_BASELINE: AgentDetail = {
  code: 'UNITS_UNKNOWN',
  message: 'systemd did not say before the switch which units had failed: those that fail now were not looked at',
};

/** Switches, with a watchdog armed, until the next start of the machine. */
export const activate: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, logger } = deps;
  const plan = await planActivation(deps, journal, release.toplevel);
  // What watched over an earlier activation may be at work.
  await machine.watchdog?.settled(journal.activation, signal);
  try {
    if (plan !== null) await machine.watchdog?.arm(plan, { isFirst: true });
  } catch (error) {
    signal.throwIfAborted();
    const code = isFloeError(error) ? error.code : 'NOT_GUARDED';
    return {
      type: 'not-clear',
      epoch,
      isGone: false,
      detail: { code, message: `nothing is switched without a watchdog: ${describeError(error)}` },
    };
  }
  const outcome = await machine.switchTo(release.toplevel, 'test', { activation: journal.activation, signal });
  if (outcome.kind === 'failed') {
    const { detail } = outcome;
    const lock = await lockInTheWay(deps, release.toplevel, detail);
    if (lock !== null) {
      await machine.watchdog?.disarm();
      return { type: 'not-clear', epoch, isGone: false, detail: lock };
    }
    if (detail.code === 'REBOOT_NEEDED' && plan !== null && machine.boot !== null) return { type: 'restart-needed', epoch, detail };
    return { type: 'switch-failed', epoch, tookMs: 0, detail };
  }
  if (outcome.note !== null) logger.warn('switched, with failed units', { epoch, ...outcome.note });
  return { type: 'switched', epoch, tookMs: 0 };
};

/** Somebody else's switch kept this one from being begun: that says nothing about the system, nor does it go back from theirs. */
async function lockInTheWay({ machine }: JobDeps, toplevel: StorePath, { message }: AgentDetail): Promise<AgentDetail | null> {
  if (!/acquire lock/i.test(message)) return null;
  const heldBy = await machine.switchHeldBy();
  if ((await machine.observe()).current === toplevel) return null;
  return switchHeld(heldBy);
}

/** Waits for switches of others: none keeps its lock for longer than a switch may take, and not many do one after the other. */
async function othersEnded({ machine, clock, logger, settings }: JobDeps, what: string, signal: AbortSignal): Promise<void> {
  let named: string | null = null;
  const deadline = clock.monotonic() + 2 * settings.switchLimitMs;
  for (;;) {
    const heldBy = await machine.switchHeldBy();
    if (heldBy === null || clock.monotonic() > deadline) return;
    if (heldBy !== named) logger.warn(`${what} waits for another switch`, { heldBy });
    named = heldBy;
    await clock.sleep(1_000, signal);
    signal.throwIfAborted();
  }
}

/** Whether the system works, by its own checks and by contact; the verdict is on disk before it is told. */
export const verify: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, settings, clock } = deps;
  const failed = (detail: AgentDetail, isContactLost = false): AgentEvent => ({ type: 'verify-failed', epoch, tookMs: 0, detail, isContactLost });
  const observed = await machine.observe();
  if (observed.current !== release.toplevel) {
    // No switch of this change leads to a third system: somebody chose it since.
    const isTheirs = machine.watchdog !== null && (await isByHand(deps, journal, observed, release.toplevel)) && !(await isUndone(deps, journal));
    if (isTheirs) return switchedByHand(deps, observed.current);
    return failed({ code: 'CURRENT_SYSTEM_DIFFERS', message: `the switch said that it worked, but what runs is ${observed.current ?? 'nothing'}` });
  }
  const contactMs = contactLimitMs({ isStart: journal.boot !== null }, settings);
  const [health, contact, cache] = await Promise.all([
    checkHealth(deps, release.toplevel, { ...healthLimits(settings), signal }),
    deps.contact(contactMs, signal),
    cacheIsProved(deps, journal, release.toplevel, signal),
    clock.sleep(settings.settleMs, signal),
  ]);
  if (health !== null) return failed(health);
  const known = journal.before?.failedUnits ?? null;
  const failedUnits = known === null ? [] : await machine.failedUnits();
  if (failedUnits === null) return failed({ code: 'UNITS_UNKNOWN', message: 'since the switch, systemd does not say which units failed' });
  const newlyFailed = failedUnits.filter((unit) => known?.includes(unit) !== true);
  if (newlyFailed.length > 0) return failed({ code: 'UNITS_FAILED', message: `failed since the switch: ${newlyFailed.join(', ')}` });
  const isSameServer = (journal.before?.serverUrl ?? settings.serverUrl) === settings.serverUrl;
  if (contact === 'refused') {
    const message = 'the server is there, but refuses the agent of this system, or is not believed by it: other keys, host name or repository?';
    return failed({ code: 'SERVER_REFUSES', message }, true);
  }
  if (contact === 'trusted' && cache !== 'trusted') {
    const what = cache === 'absent' ? 'none of its caches answers and has this system' : 'none of its keys signed what its caches have';
    return failed({ code: 'CACHE_REFUSES', message: `by the caches and keys of this system nothing could be downloaded any more: ${what}` }, true);
  }
  if (contact === 'none' || (contact === 'network' && !isSameServer)) {
    return failed(
      { code: 'NO_CONTACT', message: `the server did not answer on a new connection within ${timeLimit(contactMs)} of the switch` },
      true,
    );
  }
  // Once more, just before the verdict: people do not wait for checks.
  const last = (await machine.observe()).current;
  if (last !== release.toplevel && machine.watchdog !== null && !(await isUndone(deps, journal))) {
    return switchedByHand(deps, last);
  }
  if (machine.watchdog !== null && (await claimPassed(deps, machine.watchdog, journal.activation, signal)) === 'undo') {
    await machine.watchdog.settled(journal.activation, signal);
    return { type: 'watchdog-rolled-back', epoch, detail: WATCHDOG_WAS_FIRST };
  }
  const lookedAt = known !== null || machine.watchdog === null;
  return { type: 'verified', epoch, tookMs: 0, note: contact !== 'trusted' ? JUDGED_LOCALLY : lookedAt ? null : NO_BASELINE };
};

/** Makes the system what the machine starts. */
export const commit: Job = async (deps, { activation, before, boot: staged }, { epoch, release }, signal) => {
  const { machine } = deps;
  const { toplevel } = release;
  const failed = (code: string, message: string): AgentEvent => ({ type: 'commit-failed', epoch, tookMs: 0, detail: { code, message } });
  await othersEnded(deps, 'the commit', signal);
  const found = await machine.observe();
  if (found.current !== toplevel) {
    // A start between the verdict and here brought the old system back; or somebody switched to another one.
    const isStart = (await machine.boot?.boots(activation))?.isNewBoot !== false && (staged === null || found.current === found.booted);
    if (isStart) return { type: 'restarted', isNewBoot: true, isOnTarget: false, fellBack: false };
    return switchedByHand(deps, found.current);
  }
  if (found.profile?.toplevel !== toplevel) await machine.setProfile(toplevel);
  const boot = await machine.switchTo(toplevel, 'boot', { activation, signal });
  if (boot.kind === 'failed') {
    // The profile stands for what the machine starts, and must not say more than the boot loader knows.
    if (before?.profile != null && before.profile !== toplevel) await machine.setProfile(before.profile);
    return failed('BOOT_NOT_SET', `the system works, but could not be made what the machine starts: ${boot.detail.message}`);
  }
  const observed = await machine.observe();
  if (!isOn(observed, toplevel)) {
    return failed(
      'NOT_ON_IT',
      `after the switch the machine runs ${observed.current ?? 'nothing'} and its profile is ${observed.profile?.toplevel ?? 'empty'}`,
    );
  }
  await machine.watchdog?.disarm();
  return { type: 'committed', epoch, tookMs: 0 };
};

/** Whether what runs is neither the new system nor one of before, nor what a start of the machine brought: somebody's own choice. */
async function isByHand({ machine }: JobDeps, journal: AgentJournal, { current, booted }: Observed, toplevel: StorePath): Promise<boolean> {
  const { before, verdict, boot, override, activation } = journal;
  if (boot !== null || override !== null || verdict === 'unwanted' || current === null) return false;
  if (current === toplevel || current === before?.toplevel || current === before?.profile) return false;
  return current !== booted || (await machine.boot?.boots(activation))?.isNewBoot === false;
}

/** Puts the system before back, for the next start first. */
export const rollBack: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, settings, logger, clock } = deps;
  const { before, activation, verdict } = journal;
  const failed = (code: string, message: string): AgentEvent => ({ type: 'rollback-failed', epoch, tookMs: 0, detail: { code, message } });
  if (before === null || before.toplevel === null) return failed('NO_PREVIOUS_SYSTEM', 'there is no earlier system to go back to');
  const plan = await planActivation(deps, journal, release.toplevel);
  const { watchdog } = machine;
  if (watchdog !== null) {
    // What an earlier run, or the watchdog, began is waited for: it holds the switch's lock, and may tell the boot loader.
    await watchdog.settled(activation, signal);
    if (plan !== null && verdict !== 'unwanted') {
      // A full disk must not keep it from going.
      await watchdog.claim(activation, 'undo').catch((error: unknown) => logger.warn('the verdict cannot be written', { error }));
      // For the agent that dies here: armed anew, for the boot loader and the switch. A started system has its guard already.
      const way = { ...plan, verdictMs: plan.switchMs };
      if (journal.boot === null)
        await watchdog.arm(way, { isFirst: false }).catch((error: unknown) => logger.warn('the way back is not watched over', { error }));
    }
  }
  await othersEnded(deps, 'the way back', signal);
  const found = await machine.observe();
  if (await isByHand(deps, journal, found, release.toplevel)) return switchedByHand(deps, found.current);
  // First what the machine starts next time: from here on a power cut brings the old system.
  const named = found.profile?.toplevel;
  if (journal.boot !== null) await machine.boot?.unstage(activation);
  // What somebody made the machine start by hand is theirs, too.
  const isTheirs = journal.override !== null && named !== release.toplevel;
  // Where it may have been told of the new one, it is told again, whatever the profile says: an earlier try may have got half way.
  const mayBeTold = journal.boot !== null || verdict === 'unwanted' || journal.attempt > 0;
  if (before.profile !== null && !isTheirs && (named !== before.profile || mayBeTold)) {
    await machine.setProfile(before.profile);
    const boot = await machine.switchTo(before.profile, 'boot', { activation, isRollback: true, signal });
    if (boot.kind === 'failed') return failed('BOOT_NOT_SET', `the system before could not be made what the machine starts: ${boot.detail.message}`);
  }
  // A system that was never started needs no switch back, and what somebody runs by hand is theirs.
  const isUntried = verdict === 'superseded' && found.current !== release.toplevel;
  const isSwitched = !isUntried && (found.current !== before.toplevel || verdict === 'failed' || verdict === null);
  if (isSwitched) {
    const outcome = await machine.switchTo(before.toplevel, 'test', { activation, isRollback: true, signal });
    if (outcome.kind === 'failed') {
      const message = `the system before could not be put back: ${outcome.detail.message}`;
      if (journal.boot === null || found.current === before.toplevel || !(await machine.boot?.rebootBack(activation)))
        return failed(outcome.detail.code, message);
      // What takes a restart to get to may take one to leave; the boot loader was told already.
      logger.warn('restarting the machine to leave a system that failed', { epoch });
      await clock.sleep(REBOOT_TAKES_MS, signal);
      return failed('REBOOT_FAILED', `${message}; and the machine was to restart, and did not`);
    }
    const { current } = await machine.observe();
    if (current !== before.toplevel) return failed('CURRENT_SYSTEM_DIFFERS', `after going back, what runs is ${current ?? 'nothing'}`);
  }
  await watchdog?.disarm();
  // Asked only when it decides something: whether it was the new system that kept the server away.
  const contact = verdict === 'no-contact' ? await deps.contact(settings.contactTimeoutMs, signal) : 'trusted';
  // A system with which the network worked is blamed only if the server is there.
  const hasContact = journal.detail?.code === SERVER_MISSED ? contact !== 'network' && contact !== 'none' : contact !== 'none';
  return { type: 'rolled-back', epoch, tookMs: 0, hasContact };
};

/** Other caches or keys than those that this system was downloaded by are tried: no push could mend wrong ones. */
async function cacheIsProved(deps: JobDeps, { before }: AgentJournal, toplevel: StorePath, signal: AbortSignal): Promise<CacheTrust> {
  const { machine, settings, clock } = deps;
  if ((before?.cache ?? cacheOf(settings)) === cacheOf(settings)) return 'trusted';
  const deadline = clock.monotonic() + settings.contactTimeoutMs;
  const by = { substituters: settings.substituters, trustedPublicKeys: settings.cachePublicKeys, signal };
  for (;;) {
    const trust = await machine.cacheTrust(toplevel, by);
    if (trust !== 'absent' || signal.aborted || clock.monotonic() >= deadline) return trust;
    await clock.sleep(1_000, signal);
  }
}

/** Whether the watchdog was first. */
async function isUndone({ machine }: JobDeps, { activation }: AgentJournal): Promise<boolean> {
  return (await machine.watchdog?.verdict(activation)) === 'undo';
}

/** The verdict must be on disk: while that is full it is tried again, until the watchdog ends it. */
async function claimPassed(
  { clock, logger }: JobDeps,
  watchdog: MachineWatchdog,
  activation: number,
  signal: AbortSignal,
): Promise<'passed' | 'undo'> {
  for (;;) {
    try {
      return await watchdog.claim(activation, 'passed');
    } catch (error) {
      logger.error('the verdict cannot be written (is the disk full?)', { error });
    }
    await clock.sleep(1_000, signal);
    signal.throwIfAborted();
  }
}
