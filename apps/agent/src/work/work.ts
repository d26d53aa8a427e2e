import {
  isOn,
  rollbackTarget,
  type AgentDetail,
  type AgentDirective,
  type AgentEvent,
  type AgentImpact,
  type AgentJournal,
  type AgentWait,
  type AgentWork,
  type StorePath,
} from '@floe/model';
import type { DownloadProgress } from '@floe/nix';
import { describeError, isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import { checkHealth, longestHealthCheckMs, type HealthCheckOptions } from '../health/health-checks.ts';
import type { Contact } from '../server/contact.ts';
import { lackOfRoom, megabytes } from './room.ts';
import type { GuardedActivation, Machine, MachineGuard } from '../machines/machine.ts';

export interface WorkSettings {
  readonly serverUrl: string;
  readonly substituters: readonly string[];
  readonly cachePublicKeys: readonly string[];
  readonly minFreeBytes: number;
  readonly healthGraceMs: number;
  /** Services that crash shortly after their start are given this long to do so, in ms. */
  readonly settleMs: number;
  readonly contactTimeoutMs: number;
  /** A switch that takes longer, in ms, is ended. */
  readonly switchLimitMs: number;
  /** How long the machine may take to start, until the agent runs, in ms. */
  readonly bootLimitMs: number;
}

export interface WorkDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The time that waits are measured by, ms. */
  readonly now: () => number;
  readonly settings: WorkSettings;
  /** Whom this machine reaches on new connections within that time. */
  readonly contact: (timeoutMs: number, signal: AbortSignal) => Promise<Contact>;
  /** Why nothing is to be downloaded now; null: it may be. */
  readonly holdDownload: (journal: AgentJournal) => Promise<AgentDetail | null>;
  /** How disruptive the switch would be, and what it waits for. */
  readonly assess: (journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<Assessment>;
  readonly onProgress: (epoch: number, progress: DownloadProgress) => void;
}

export interface Assessment {
  readonly impact: AgentImpact;
  readonly wait: AgentWait | null;
}

const HEALTH_PASSES = 3;
/** What a busy machine may take beside the limits of the single steps. */
/** A restart that has not ended this agent after so long did not happen. */
const REBOOT_TAKES_MS = 10 * 60_000;
const WATCHDOG_MARGIN_MS = 20_000;

type Job = (deps: WorkDeps, journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<AgentEvent>;

/** How each job's failure is told, when it was not foreseen. */
const FAILURES: Record<AgentWork, (epoch: number, tookMs: number, detail: AgentDetail, error: unknown) => AgentEvent> = {
  inspect: (epoch) => ({ type: 'inspected', epoch, isOnIt: false }),
  download: (epoch, tookMs, detail, error) => ({
    type: 'download-failed',
    epoch,
    tookMs,
    detail,
    isRetryable: !isFloeError(error) || error.retryable,
  }),
  // What a switch would do cannot be found out: it is taken for one that restarts units, and goes ahead.
  assess: (epoch) => ({ type: 'assessed', epoch, impact: 'units', wait: null }),
  precheck: (epoch, _tookMs, detail) => ({ type: 'not-clear', epoch, isGone: false, detail }),
  // A switch that systemd did not run says nothing about the system.
  activate: (epoch, tookMs, detail) =>
    detail.code === 'SWITCH_NOT_STARTED'
      ? { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false }
      : { type: 'switch-failed', epoch, tookMs, detail },
  verify: (epoch, tookMs, detail) => ({ type: 'verify-failed', epoch, tookMs, detail, isContactLost: false }),
  commit: (epoch, tookMs, detail) => ({ type: 'commit-failed', epoch, tookMs, detail }),
  'roll-back': (epoch, tookMs, detail) => ({ type: 'rollback-failed', epoch, tookMs, detail }),
  'stage-boot': (epoch, tookMs, detail) => ({ type: 'boot-stage-failed', epoch, tookMs, detail }),
  reboot: (epoch, tookMs, detail) => ({ type: 'reboot-failed', epoch, tookMs, detail }),
};

/** Does one job of the state machine on the machine; its end, good or bad, is an event. Throws only when aborted. */
export async function performWork(work: AgentWork, deps: WorkDeps, journal: AgentJournal, signal: AbortSignal): Promise<AgentEvent> {
  const { directive } = journal;
  if (directive === null) throw new Error(`there is no directive to ${work} for`);
  const startedAt = deps.clock.monotonic();
  try {
    const event = await JOBS[work](deps, journal, directive, signal);
    signal.throwIfAborted();
    return 'tookMs' in event ? { ...event, tookMs: elapsed(deps.clock, startedAt) } : event;
  } catch (error) {
    signal.throwIfAborted();
    deps.logger.warn('a step failed', { work, epoch: directive.epoch, error });
    const code = isFloeError(error) ? error.code : ((error as NodeJS.ErrnoException).code ?? 'UNEXPECTED');
    return FAILURES[work](directive.epoch, elapsed(deps.clock, startedAt), { code, message: describeError(error) }, error);
  }
}

function elapsed(clock: Clock, startedAt: number): number {
  return Math.round(clock.monotonic() - startedAt);
}

const JOBS: Record<AgentWork, Job> = {
  async inspect({ machine }, _journal, { epoch, release }) {
    return { type: 'inspected', epoch, isOnIt: isOn(await machine.observe(), release.toplevel) };
  },

  async download(deps, journal, { epoch, release }, signal) {
    const { machine, settings } = deps;
    const held = await deps.holdDownload(journal);
    if (held !== null) return { type: 'download-failed', epoch, tookMs: 0, detail: held, isRetryable: true };
    const full = await lackOfRoom(deps, { ...release, signal });
    if (full !== null) return { type: 'download-failed', epoch, tookMs: 0, detail: full, isRetryable: true };
    await machine.download(release.toplevel, {
      substituters: settings.substituters,
      trustedPublicKeys: settings.cachePublicKeys,
      signal,
      onProgress: (progress) => deps.onProgress(epoch, progress),
    });
    return { type: 'downloaded', epoch, tookMs: 0 };
  },

  async assess(deps, journal, directive, signal) {
    return { type: 'assessed', epoch: directive.epoch, ...(await deps.assess(journal, directive, signal)) };
  },

  async precheck(deps, journal, directive, signal) {
    const { machine, settings } = deps;
    const { epoch, release, mode } = directive;
    const { toplevel } = release;
    const notClear = (code: string, message: string, isGone = false): AgentEvent => ({ type: 'not-clear', epoch, isGone, detail: { code, message } });
    const full = await lackOfRoom(deps);
    if (full !== null) return notClear(full.code, full.message);
    const lacking = await machine.bootBytesLacking(toplevel);
    if (lacking > 0) return notClear('BOOT_DISK_FULL', `/boot lacks ${megabytes(lacking)} for its kernel and initrd: remove old generations there`);
    const heldBy = await machine.switchHeldBy();
    if (heldBy !== null) return notClear('SWITCH_HELD', `another switch is under way: ${heldBy} holds its lock; tried again when it has ended`);
    // Once more: minutes may have passed since the server was asked.
    const { impact, wait } = await deps.assess(journal, directive, signal);
    if (wait !== null) return { type: 'assessed', epoch, impact, wait };
    const observed = await machine.observe();
    const before = rollbackTarget(journal, observed, toplevel);
    // What the machine starts after going back; never the new system itself, or one that was put back.
    const named = observed.profile?.toplevel ?? null;
    const profile = named === toplevel || (named !== null && journal.quarantined.includes(named)) ? before : named;
    const keepBefore = before === null ? Promise.resolve() : machine.keep('before', before);
    const [isValid, failedUnits] = await Promise.all([machine.isValid(toplevel), machine.failedUnits(), keepBefore]);
    const misfit = isValid ? await machine.misfit(toplevel) : null;
    if (misfit !== null) return notClear(misfit.code, misfit.message);
    if (!isValid) return notClear('STORE_PATH_GONE', 'the downloaded system is not in the store any more', true);
    const isForBoot = machine.boot !== null && before !== null && (mode === 'boot' || impact === 'reboot');
    return {
      type: 'cleared',
      epoch,
      how: isForBoot ? 'boot' : 'switch',
      before: { toplevel: before, profile, failedUnits, serverUrl: settings.serverUrl },
    };
  },

  async activate(deps, journal, { epoch, release }, signal) {
    const { machine, logger } = deps;
    const plan = await guarded(deps, journal, release.toplevel);
    try {
      if (plan !== null) await machine.guard?.arm(plan, { isFirst: true });
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
      if (detail.code === 'REBOOT_NEEDED' && plan !== null && machine.boot !== null) return { type: 'restart-needed', epoch, detail };
      return { type: 'switch-failed', epoch, tookMs: 0, detail };
    }
    if (outcome.note !== null) logger.warn('switched, with failed units', { epoch, ...outcome.note });
    return { type: 'switched', epoch, tookMs: 0 };
  },

  async verify(deps, journal, { epoch, release }, signal) {
    const { machine, settings, clock } = deps;
    const failed = (detail: AgentDetail, isContactLost = false): AgentEvent => ({ type: 'verify-failed', epoch, tookMs: 0, detail, isContactLost });
    const observed = await machine.observe();
    if (observed.current !== release.toplevel) {
      return failed({ code: 'CURRENT_SYSTEM_DIFFERS', message: `the switch said that it worked, but what runs is ${observed.current ?? 'nothing'}` });
    }
    const [health, contact] = await Promise.all([
      checkHealth(deps, release.toplevel, { ...healthLimits(settings), signal }),
      deps.contact(settings.contactTimeoutMs, signal),
      clock.sleep(settings.settleMs, signal),
    ]);
    if (health !== null) return failed(health);
    const newlyFailed = subtract(await machine.failedUnits(), journal.before?.failedUnits ?? null);
    if (newlyFailed.length > 0) return failed({ code: 'UNITS_FAILED', message: `failed since the switch: ${newlyFailed.join(', ')}` });
    const isSameServer = (journal.before?.serverUrl ?? settings.serverUrl) === settings.serverUrl;
    if (contact === 'none' || (contact === 'network' && !isSameServer)) {
      return failed(
        { code: 'NO_CONTACT', message: `the server did not answer on a new connection within ${settings.contactTimeoutMs / 1000} s of the switch` },
        true,
      );
    }
    // Once more, just before the verdict: people do not wait for checks.
    const last = (await machine.observe()).current;
    if (last !== release.toplevel && machine.guard !== null && !(await isUndone(deps, journal))) {
      return { type: 'overridden', override: { toplevel: last, since: deps.now(), by: 'switch' } };
    }
    if (machine.guard !== null && (await claimPassed(deps, machine.guard, journal.activation, signal)) === 'undo') {
      await machine.guard.settled(journal.activation, signal);
      return { type: 'undone', epoch, detail: WATCHDOG_WAS_FIRST };
    }
    const note =
      contact === 'server' ? null : { code: 'SERVER_AWAY', message: 'the server did not answer, the network works: judged by the local checks' };
    return { type: 'verified', epoch, tookMs: 0, note };
  },

  async commit({ machine }, { activation }, { epoch, release }, signal) {
    const { toplevel } = release;
    const failed = (code: string, message: string): AgentEvent => ({ type: 'commit-failed', epoch, tookMs: 0, detail: { code, message } });
    if ((await machine.observe()).profile?.toplevel !== toplevel) await machine.setProfile(toplevel);
    const boot = await machine.switchTo(toplevel, 'boot', { activation, signal });
    if (boot.kind === 'failed')
      return failed('BOOT_NOT_SET', `the system works, but could not be made what the machine starts: ${boot.detail.message}`);
    let observed = await machine.observe();
    if (observed.current !== toplevel && (await machine.boot?.boots(activation))?.isNewBoot !== false) {
      // A reboot between the verdict and here brought the old system back; this one was proved before.
      await machine.switchTo(toplevel, 'test', { activation, signal });
      observed = await machine.observe();
    }
    if (!isOn(observed, toplevel)) {
      return failed(
        'NOT_ON_IT',
        `after the switch the machine runs ${observed.current ?? 'nothing'} and its profile is ${observed.profile?.toplevel ?? 'empty'}`,
      );
    }
    await machine.guard?.disarm(activation);
    return { type: 'committed', epoch, tookMs: 0 };
  },

  async 'roll-back'(deps, journal, { epoch, release }, signal) {
    const { machine, settings } = deps;
    const { before, activation, verdict } = journal;
    const failed = (code: string, message: string): AgentEvent => ({ type: 'rollback-failed', epoch, tookMs: 0, detail: { code, message } });
    if (before === null || before.toplevel === null) return failed('NO_PREVIOUS_SYSTEM', 'there is no earlier system to go back to');
    const plan = await guarded(deps, journal, release.toplevel);
    const { guard } = machine;
    if (guard !== null) {
      // What an earlier run, or the watchdog, began is waited for: it holds the switch's lock, and may tell the boot loader.
      await guard.settled(activation, signal);
      if (plan !== null && verdict !== 'unwanted') {
        // For the agent that dies here: armed anew, with the whole time for the way back. A full disk must not keep it from going.
        await guard.claim(activation, 'undo').catch((error: unknown) => deps.logger.warn('the verdict cannot be written', { error }));
        await guard.arm(plan, { isFirst: false }).catch((error: unknown) => deps.logger.warn('the way back is not watched over', { error }));
      }
    }
    const found = await machine.observe();
    // First what the machine starts next time: from here on a power cut brings the old system.
    if (before.profile !== null && (found.profile?.toplevel !== before.profile || journal.boot !== null)) {
      if (journal.boot !== null) await machine.boot?.unstage();
      await machine.setProfile(before.profile);
      const boot = await machine.switchTo(before.profile, 'boot', { activation, isRollback: true, signal });
      if (boot.kind === 'failed')
        return failed('BOOT_NOT_SET', `the system before could not be made what the machine starts: ${boot.detail.message}`);
    }
    // A system that was never started needs no switch back, and what somebody runs by hand is theirs.
    const isSwitched = verdict !== 'superseded' && (found.current !== before.toplevel || verdict === 'failed' || verdict === null);
    if (isSwitched) {
      const outcome = await machine.switchTo(before.toplevel, 'test', { activation, isRollback: true, signal });
      if (outcome.kind === 'failed') return failed(outcome.detail.code, `the system before could not be put back: ${outcome.detail.message}`);
      const { current } = await machine.observe();
      if (current !== before.toplevel) return failed('CURRENT_SYSTEM_DIFFERS', `after going back, what runs is ${current ?? 'nothing'}`);
    }
    await guard?.disarm(activation);
    // Asked only when it decides something: whether it was the new system that kept the server away.
    const contact = verdict === 'no-contact' ? await deps.contact(settings.contactTimeoutMs, signal) : 'server';
    return { type: 'rolled-back', epoch, tookMs: 0, hasContact: contact !== 'none' };
  },

  async 'stage-boot'(deps, journal, { epoch, release }, signal) {
    const { machine } = deps;
    const plan = await guarded(deps, journal, release.toplevel);
    const failed = (detail: AgentDetail): AgentEvent => ({ type: 'boot-stage-failed', epoch, tookMs: 0, detail });
    if (machine.boot === null || plan === null) return failed({ code: 'NOT_BOOTABLE', message: 'this machine starts no systems' });
    // A switch that was tried first has armed one for now.
    await machine.guard?.disarm(plan.activation);
    const outcome = await machine.boot.stage(plan, signal);
    if (outcome.kind === 'failed') {
      await machine.setProfile(plan.beforeProfile);
      const restored = await machine.switchTo(plan.beforeProfile, 'boot', { activation: plan.activation, isRollback: true, signal });
      // While the boot loader may start the new system, its guard stays.
      if (restored.kind === 'switched') await machine.guard?.disarm(plan.activation);
      return failed({ code: 'BOOT_NOT_SET', message: `it could not be made the system of the next start: ${outcome.detail.message}` });
    }
    const how = outcome.how === 'one-shot' ? 'once, by the boot loader' : 'under guard';
    return { type: 'boot-staged', epoch, tookMs: 0, detail: { code: 'AWAITS_RESTART', message: `the next start of the machine tries it (${how})` } };
  },

  async reboot({ machine, logger, clock }, _journal, { epoch, release }, signal) {
    logger.warn('restarting the machine', { epoch, toplevel: release.toplevel });
    await machine.boot?.reboot();
    // This agent is ended by it. A machine that is still there after a while was not restarted.
    await clock.sleep(REBOOT_TAKES_MS, signal);
    return { type: 'reboot-failed', epoch, tookMs: 0, detail: { code: 'REBOOT_FAILED', message: 'the machine was to restart, and did not' } };
  },
};

const WATCHDOG_WAS_FIRST: AgentDetail = {
  code: 'WATCHDOG',
  message: 'no verdict came in time: the watchdog put the system before back',
};

/** Whether the watchdog was first. */
async function isUndone({ machine }: WorkDeps, { activation }: AgentJournal): Promise<boolean> {
  return (await machine.guard?.verdict(activation)) === 'undo';
}

/** The verdict must be on disk: while that is full it is tried again, until the watchdog ends it. */
async function claimPassed({ clock, logger }: WorkDeps, guard: MachineGuard, activation: number, signal: AbortSignal): Promise<'passed' | 'undo'> {
  for (;;) {
    try {
      return await guard.claim(activation, 'passed');
    } catch (error) {
      logger.error('the verdict cannot be written (is the disk full?)', { error });
    }
    await clock.sleep(1_000, signal);
    signal.throwIfAborted();
  }
}

/** What the agent is to find on its start about an activation that it did not see the end of. */
export async function findUnfinished({ machine }: Pick<WorkDeps, 'machine'>, journal: AgentJournal, signal: AbortSignal): Promise<AgentEvent> {
  const { directive, state, activation } = journal;
  const boots = (await machine.boot?.boots(activation)) ?? { isNewBoot: false, fellBack: false };
  const isOnTarget = directive !== null && (await machine.observe()).current === directive.release.toplevel;
  const restarted: AgentEvent = { type: 'restarted', ...boots, isOnTarget };
  if (directive === null || machine.guard === null) return restarted;
  const { epoch, release } = directive;
  // Found to work before the crash: that stands.
  if (state === 'BOOT_VERIFYING' && (await machine.guard.verdict(activation)) === 'passed') return { type: 'verified', epoch, tookMs: 0, note: null };
  if (state !== 'ACTIVATING' && state !== 'VERIFYING') return restarted;
  const unfinished = await machine.guard.unfinished(activation, release.toplevel, signal);
  if (unfinished.kind === 'passed') return { type: 'verified', epoch, tookMs: 0, note: null };
  if (unfinished.kind === 'undone') return { type: 'undone', epoch, detail: WATCHDOG_WAS_FIRST };
  if (unfinished.kind === 'interrupted') return restarted;
  const { outcome } = unfinished;
  if (outcome.kind === 'switched') return { type: 'switched', epoch, tookMs: 0 };
  return state === 'ACTIVATING' ? { type: 'switch-failed', epoch, tookMs: 0, detail: outcome.detail } : restarted;
}

/** What is armed before the machine is changed; null when there is nothing to go back to. */
async function guarded(
  { machine, settings }: WorkDeps,
  { activation, before }: AgentJournal,
  toplevel: StorePath,
): Promise<GuardedActivation | null> {
  if (before === null || before.toplevel === null) return null;
  const { switchLimitMs, settleMs, contactTimeoutMs } = settings;
  const checksMs = await longestHealthCheckMs(machine, toplevel, healthLimits(settings));
  const verdictMs = Math.max(checksMs, settleMs, contactTimeoutMs) + WATCHDOG_MARGIN_MS;
  const beforeProfile = before.profile ?? before.toplevel;
  const switchMs = switchLimitMs + WATCHDOG_MARGIN_MS;
  return { activation, toplevel, before: before.toplevel, beforeProfile, switchMs, verdictMs, bootMs: settings.bootLimitMs + verdictMs };
}

function healthLimits({ settleMs, healthGraceMs }: WorkSettings): Omit<HealthCheckOptions, 'signal'> {
  return { passes: HEALTH_PASSES, pauseMs: settleMs / HEALTH_PASSES, graceMs: healthGraceMs };
}

function subtract(units: readonly string[] | null, known: readonly string[] | null): string[] {
  return (units ?? []).filter((unit) => !(known ?? []).includes(unit));
}
