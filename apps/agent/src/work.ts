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
import { checkHealth, longestHealthCheckMs, type HealthCheckOptions } from './health-checks.ts';
import type { Contact } from './contact.ts';
import type { GuardedActivation, Machine } from './machine.ts';

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
}

export interface WorkDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
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
  activate: (epoch, tookMs, detail) => ({ type: 'switch-failed', epoch, tookMs, detail }),
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
    const full = await diskIsFull(deps, { ...release, signal });
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
    const full = await diskIsFull(deps);
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
      before: { toplevel: before, profile: observed.profile?.toplevel ?? null, failedUnits, serverUrl: settings.serverUrl },
    };
  },

  async activate(deps, journal, { epoch, release }, signal) {
    const { machine, logger } = deps;
    const plan = await guarded(deps, journal, release.toplevel);
    if (plan !== null) await machine.guard?.arm(plan, { isFirst: true });
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
    if (machine.guard !== null && (await machine.guard.claim(journal.activation, 'passed')) === 'undo') {
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
    if (observed.current !== toplevel) {
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
    if (machine.guard !== null && plan !== null && verdict !== 'unwanted') {
      await machine.guard.claim(activation, 'undo');
      await machine.guard.settled(activation, signal);
      // For the agent that dies here: armed anew, with the whole time for the way back.
      await machine.guard.arm(plan, { isFirst: false });
    }
    if (journal.boot !== null) await machine.boot?.unstage();
    const isSwitched = (await machine.observe()).current !== before.toplevel || verdict === 'failed' || verdict === null;
    if (isSwitched) {
      const outcome = await machine.switchTo(before.toplevel, 'test', { activation, isRollback: true, signal });
      if (outcome.kind === 'failed') return failed(outcome.detail.code, `the system before could not be put back: ${outcome.detail.message}`);
    }
    const observed = await machine.observe();
    if (before.profile !== null && (observed.profile?.toplevel !== before.profile || journal.boot !== null)) {
      await machine.setProfile(before.profile);
      await machine.switchTo(before.profile, 'boot', { activation, isRollback: true, signal });
    }
    if (observed.current !== before.toplevel)
      return failed('CURRENT_SYSTEM_DIFFERS', `after going back, what runs is ${observed.current ?? 'nothing'}`);
    await machine.guard?.disarm(activation);
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
      await machine.switchTo(plan.beforeProfile, 'boot', { activation: plan.activation, isRollback: true, signal });
      await machine.guard?.disarm(plan.activation);
      return failed({ code: 'BOOT_NOT_SET', message: `it could not be made the system of the next start: ${outcome.detail.message}` });
    }
    const how = outcome.how === 'one-shot' ? 'once, by the boot loader' : 'under guard';
    return { type: 'boot-staged', epoch, tookMs: 0, detail: { code: 'AWAITS_RESTART', message: `the next start of the machine tries it (${how})` } };
  },

  async reboot({ machine, logger }, _journal, { epoch, release }) {
    logger.warn('restarting the machine', { epoch, toplevel: release.toplevel });
    await machine.boot?.reboot();
    return { type: 'reboot-due', epoch, detail: { code: 'RESTARTING', message: 'the machine is being restarted' } };
  },
};

const WATCHDOG_WAS_FIRST: AgentDetail = {
  code: 'WATCHDOG',
  message: 'no verdict came in time: the watchdog put the system before back',
};

/** What the agent is to find on its start about an activation that it did not see the end of. */
export async function findUnfinished({ machine }: Pick<WorkDeps, 'machine'>, journal: AgentJournal, signal: AbortSignal): Promise<AgentEvent> {
  const { directive, state, activation } = journal;
  const boots = (await machine.boot?.boots(activation)) ?? { isNewBoot: false, fellBack: false };
  const isOnTarget = directive !== null && (await machine.observe()).current === directive.release.toplevel;
  const restarted: AgentEvent = { type: 'restarted', ...boots, isOnTarget };
  if (directive === null || machine.guard === null || (state !== 'ACTIVATING' && state !== 'VERIFYING')) return restarted;
  const { epoch, release } = directive;
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
  return {
    activation,
    toplevel,
    before: before.toplevel,
    beforeProfile: before.profile ?? before.toplevel,
    switchMs: switchLimitMs + WATCHDOG_MARGIN_MS,
    verdictMs,
  };
}

function healthLimits({ settleMs, healthGraceMs }: WorkSettings): Omit<HealthCheckOptions, 'signal'> {
  return { passes: HEALTH_PASSES, pauseMs: settleMs / HEALTH_PASSES, graceMs: healthGraceMs };
}

interface Wanted {
  readonly toplevel: StorePath;
  readonly closureSizeBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Whether there is too little room, with what is `wanted` or without. How much of a closure is here already only Nix and
 * the cache know, and they are asked only when it matters.
 */
async function diskIsFull({ machine, settings }: WorkDeps, wanted?: Wanted): Promise<AgentDetail | null> {
  const free = await machine.freeBytes();
  let needed = settings.minFreeBytes;
  if (wanted !== undefined && free >= needed && free < needed + wanted.closureSizeBytes) {
    const { toplevel, signal, closureSizeBytes } = wanted;
    needed += (await machine.missingBytes(toplevel, { substituters: settings.substituters, signal })) ?? closureSizeBytes;
  }
  if (free >= needed) return null;
  return { code: 'DISK_FULL', message: `only ${megabytes(free)} are free, ${megabytes(needed)} are needed: make room and it goes on by itself` };
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}

function subtract(units: readonly string[] | null, known: readonly string[] | null): string[] {
  return (units ?? []).filter((unit) => !(known ?? []).includes(unit));
}
