import { isOn, judgeContact, SERVER_AWAY, timeLimit, type AgentDetail, type AgentEvent, type AgentJournal, type StorePath } from '@floe/model';
import type { CacheTrust } from '@floe/nix';
import { describeError, isFloeError } from '@floe/runtime';
import { checkHealth } from '../health/health-checks.ts';
import type { MachineWatchdog } from '../machines/machine.ts';
import { cacheOf, contactLimitMs, planActivation, proxyOf, healthLimits, switchedByHand, type Job, type JobDeps } from './job.ts';
import { isByHand, lockInTheWay, waitForOtherSwitches } from './others.ts';

/** No verdict was written before the watchdog's deadline. */
export const WATCHDOG_ROLLED_BACK: AgentDetail = {
  code: 'WATCHDOG',
  message: 'the agent reached no verdict in time, so the watchdog rolled back to the previous system',
};

/** Notes about a system that passed the checks. */
const JUDGED_LOCALLY: AgentDetail = {
  code: SERVER_AWAY,
  message: 'the server did not answer in time, but the network works: only the local checks decided',
};
/** The same where somebody else answered; see {@link judgeContact}. */
const elsewhere = (stranger: string): AgentDetail => ({
  code: SERVER_AWAY,
  message: `this network does not lead to the server (${stranger}): only the local checks decided`,
});
const NO_BASELINE: AgentDetail = {
  code: 'UNITS_UNKNOWN',
  message: 'systemd did not list the failed units before the switch, so the units that fail now could not be compared',
};

/** The watchdog ends a trial this long after the agent should have, in ms. */
const TRIAL_MARGIN_MS = 60_000;

/** Switches with a watchdog armed. The change lasts until the next start of the machine. */
export const activate: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, logger } = deps;
  const plan = await planActivation(deps, journal, release.toplevel);
  // The watchdog of an earlier activation may still be running.
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
      detail: { code, message: `the agent does not switch without a watchdog: ${describeError(error)}` },
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

/** Whether the system works: its own checks, failed units, contact with server and caches. The verdict is on disk before it is reported. */
export const verify: Job = async (deps, journal, { epoch, release, trial }, signal) => {
  const { machine, settings, clock } = deps;
  const failed = (detail: AgentDetail, isContactLost = false): AgentEvent => ({ type: 'verify-failed', epoch, tookMs: 0, detail, isContactLost });
  const observed = await machine.observe();
  if (observed.current !== release.toplevel) {
    // This change leads to no third system: a user chose it.
    const isUsersChoice =
      machine.watchdog !== null && (await isByHand(deps, journal, observed, release.toplevel)) && !(await hasWatchdogDecided(deps, journal));
    if (isUsersChoice) return switchedByHand(deps, observed.current);
    return failed({ code: 'CURRENT_SYSTEM_DIFFERS', message: `the switch reported success, but the machine runs ${observed.current ?? 'nothing'}` });
  }
  const contactMs = contactLimitMs({ isStart: journal.boot !== null }, settings);
  const [health, { contact, stranger }, cache] = await Promise.all([
    checkHealth(deps, release.toplevel, { ...healthLimits(settings), signal }),
    deps.contact(contactMs, signal),
    checkCache(deps, journal, release.toplevel, signal),
    clock.sleep(settings.settleMs, signal),
  ]);
  if (health !== null) return failed(health);
  const known = journal.before?.failedUnits ?? null;
  const failedUnits = known === null ? [] : await machine.failedUnits();
  if (failedUnits === null) return failed({ code: 'UNITS_UNKNOWN', message: 'since the switch, systemd does not list the failed units' });
  const newlyFailed = failedUnits.filter((unit) => known?.includes(unit) !== true);
  if (newlyFailed.length > 0) return failed({ code: 'UNITS_FAILED', message: `failed since the switch: ${newlyFailed.join(', ')}` });
  if (contact === 'refused') {
    const message =
      'the server answers, but it refuses this agent, or its directive fails the checks of this system: are the keys, the host name and the repository right?';
    return failed({ code: 'SERVER_REFUSES', message }, true);
  }
  if (contact === 'trusted' && cache !== 'trusted') {
    const what =
      cache === 'absent' ? 'none of its caches answers and has this system' : 'its caches have this system, but not signed by one of its keys';
    return failed({ code: 'CACHE_REFUSES', message: `with the caches and keys of this system no download would be possible: ${what}` }, true);
  }
  const { before } = journal;
  const judged = judgeContact(contact, {
    isSameServer: (before?.serverUrl ?? settings.serverUrl) === settings.serverUrl,
    hasSameCaches: (before?.cache ?? cacheOf(settings)) === cacheOf(settings),
    hasSameProxy: before?.network === undefined || before.network.proxy === proxyOf(settings),
  });
  if (judged === 'lost') {
    const others = stranger === null ? '' : `; ${stranger}`;
    return failed(
      { code: 'NO_CONTACT', message: `the server did not answer on a new connection within ${timeLimit(contactMs)} of the switch${others}` },
      true,
    );
  }
  // Once more, just before the verdict: a user may have switched during the checks.
  const last = (await machine.observe()).current;
  if (last !== release.toplevel && machine.watchdog !== null && !(await hasWatchdogDecided(deps, journal))) {
    return switchedByHand(deps, last);
  }
  if (trial !== null && machine.watchdog !== null) {
    // Before the verdict: from then on the watchdog of the switch leaves it alone.
    const plan = await planActivation(deps, journal, release.toplevel);
    if (plan !== null) await machine.watchdog.endTrialIn(plan, Math.max(0, trial.endsAtUptimeMs - clock.sinceBoot()) + TRIAL_MARGIN_MS);
  }
  if (machine.watchdog !== null && (await claimPassed(deps, machine.watchdog, journal.activation, signal)) === 'undo') {
    await machine.watchdog.settled(journal.activation, signal);
    return { type: 'watchdog-rolled-back', epoch, detail: WATCHDOG_ROLLED_BACK };
  }
  const hasBaseline = known !== null || machine.watchdog === null;
  const note = judged === 'proved' ? (hasBaseline ? null : NO_BASELINE) : stranger === null ? JUDGED_LOCALLY : elsewhere(stranger);
  return { type: 'verified', epoch, tookMs: 0, note };
};

/** Makes the system the default of the boot loader. */
export const commit: Job = async (deps, { activation, before, boot: staged }, { epoch, release }, signal) => {
  const { machine } = deps;
  const { toplevel } = release;
  const failed = (code: string, message: string): AgentEvent => ({ type: 'commit-failed', epoch, tookMs: 0, detail: { code, message } });
  await waitForOtherSwitches(deps, 'the commit', signal);
  const found = await machine.observe();
  if (found.current !== toplevel) {
    // Since the verdict, either the machine started the old system, or a user switched.
    const isStart = (await machine.boot?.boots(activation))?.isNewBoot !== false && (staged === null || found.current === found.booted);
    if (isStart) return { type: 'restarted', isNewBoot: true, isOnTarget: false, fellBack: false };
    return switchedByHand(deps, found.current);
  }
  if (found.profile?.toplevel !== toplevel) await machine.setProfile(toplevel);
  const boot = await machine.switchTo(toplevel, 'boot', { activation, signal });
  if (boot.kind === 'failed') {
    // The profile means what the machine starts: it must agree with the boot loader.
    if (before?.profile != null && before.profile !== toplevel) await machine.setProfile(before.profile);
    return failed('BOOT_NOT_SET', `the system works, but could not be made the default of the boot loader: ${boot.detail.message}`);
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

/** Tries the caches and keys of the new system if they differ from those before: no push could correct wrong ones. */
async function checkCache(deps: JobDeps, { before }: AgentJournal, toplevel: StorePath, signal: AbortSignal): Promise<CacheTrust> {
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

/** Whether the watchdog has claimed the verdict. */
async function hasWatchdogDecided({ machine }: JobDeps, { activation }: AgentJournal): Promise<boolean> {
  return (await machine.watchdog?.verdict(activation)) === 'undo';
}

/** The verdict must be on disk: while the disk is full this retries, until the watchdog's deadline. */
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
