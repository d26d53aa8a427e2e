import { isOn, rollbackTarget, type AgentDetail, type AgentDirective, type AgentEvent, type AgentJournal, type AgentWork } from '@floe/model';
import type { DownloadProgress } from '@floe/nix';
import { describeError, isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import { checkHealth } from './health-checks.ts';
import type { Machine } from './machine.ts';

export interface WorkSettings {
  readonly substituters: readonly string[];
  readonly cachePublicKeys: readonly string[];
  readonly minFreeBytes: number;
  readonly healthGraceMs: number;
  /** Services that crash shortly after their start are given this long to do so, in ms. */
  readonly settleMs: number;
  readonly contactTimeoutMs: number;
}

export interface WorkDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: WorkSettings;
  /** Whether the server answers on a new connection within that time. */
  readonly hasContact: (timeoutMs: number, signal: AbortSignal) => Promise<boolean>;
  readonly onProgress: (epoch: number, progress: DownloadProgress) => void;
}

const HEALTH_PASSES = 3;

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
  precheck: (epoch, _tookMs, detail) => ({ type: 'not-clear', epoch, isGone: false, detail }),
  activate: (epoch, tookMs, detail) => ({ type: 'switch-failed', epoch, tookMs, detail }),
  verify: (epoch, tookMs, detail) => ({ type: 'verify-failed', epoch, tookMs, detail, isContactLost: false }),
  commit: (epoch, tookMs, detail) => ({ type: 'commit-failed', epoch, tookMs, detail }),
  'roll-back': (epoch, tookMs, detail) => ({ type: 'rollback-failed', epoch, tookMs, detail }),
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

  async download(deps, _journal, { epoch, release }, signal) {
    const { machine, settings } = deps;
    const full = await diskIsFull(deps);
    if (full !== null) return { type: 'download-failed', epoch, tookMs: 0, detail: full, isRetryable: true };
    await machine.download(release.toplevel, {
      substituters: settings.substituters,
      trustedPublicKeys: settings.cachePublicKeys,
      signal,
      onProgress: (progress) => deps.onProgress(epoch, progress),
    });
    return { type: 'downloaded', epoch, tookMs: 0 };
  },

  async precheck(deps, journal, { epoch, release }) {
    const { machine } = deps;
    const { toplevel } = release;
    const full = await diskIsFull(deps);
    if (full !== null) return { type: 'not-clear', epoch, isGone: false, detail: full };
    const observed = await machine.observe();
    const before = rollbackTarget(journal, observed, toplevel);
    const keepBefore = before === null ? Promise.resolve() : machine.keep('before', before);
    const [isValid, failedUnits] = await Promise.all([machine.isValid(toplevel), machine.failedUnits(), keepBefore]);
    if (!isValid)
      return {
        type: 'not-clear',
        epoch,
        isGone: true,
        detail: { code: 'STORE_PATH_GONE', message: 'the downloaded system is not in the store any more' },
      };
    return { type: 'cleared', epoch, before: { toplevel: before, profile: observed.profile?.toplevel ?? null, failedUnits } };
  },

  async activate({ machine, logger }, _journal, { epoch, release }, signal) {
    const outcome = await machine.switchTo(release.toplevel, 'test', signal);
    if (outcome.kind === 'failed') return { type: 'switch-failed', epoch, tookMs: 0, detail: outcome.detail };
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
    const [health, isInContact] = await Promise.all([
      checkHealth(deps, release.toplevel, {
        passes: HEALTH_PASSES,
        pauseMs: settings.settleMs / HEALTH_PASSES,
        graceMs: settings.healthGraceMs,
        signal,
      }),
      deps.hasContact(settings.contactTimeoutMs, signal),
      clock.sleep(settings.settleMs, signal),
    ]);
    if (health !== null) return failed(health);
    const newlyFailed = subtract(await machine.failedUnits(), journal.before?.failedUnits ?? null);
    if (newlyFailed.length > 0) return failed({ code: 'UNITS_FAILED', message: `failed since the switch: ${newlyFailed.join(', ')}` });
    if (!isInContact) {
      return failed(
        { code: 'NO_CONTACT', message: `the server did not answer on a new connection within ${settings.contactTimeoutMs / 1000} s of the switch` },
        true,
      );
    }
    return { type: 'verified', epoch, tookMs: 0, note: null };
  },

  async commit({ machine }, _journal, { epoch, release }, signal) {
    const { toplevel } = release;
    const failed = (code: string, message: string): AgentEvent => ({ type: 'commit-failed', epoch, tookMs: 0, detail: { code, message } });
    if ((await machine.observe()).profile?.toplevel !== toplevel) await machine.setProfile(toplevel);
    const boot = await machine.switchTo(toplevel, 'boot', signal);
    if (boot.kind === 'failed')
      return failed('BOOT_NOT_SET', `the system works, but could not be made what the machine starts: ${boot.detail.message}`);
    let observed = await machine.observe();
    if (observed.current !== toplevel) {
      // A reboot between the verdict and here brought the old system back; this one was proved before.
      await machine.switchTo(toplevel, 'test', signal);
      observed = await machine.observe();
    }
    if (!isOn(observed, toplevel)) {
      return failed(
        'NOT_ON_IT',
        `after the switch the machine runs ${observed.current ?? 'nothing'} and its profile is ${observed.profile?.toplevel ?? 'empty'}`,
      );
    }
    return { type: 'committed', epoch, tookMs: 0 };
  },

  async 'roll-back'(deps, journal, { epoch }, signal) {
    const { machine, settings } = deps;
    const { before } = journal;
    const failed = (code: string, message: string): AgentEvent => ({ type: 'rollback-failed', epoch, tookMs: 0, detail: { code, message } });
    if (before === null || before.toplevel === null) return failed('NO_PREVIOUS_SYSTEM', 'there is no earlier system to go back to');
    const outcome = await machine.switchTo(before.toplevel, 'test', signal);
    if (outcome.kind === 'failed') return failed(outcome.detail.code, `the system before could not be put back: ${outcome.detail.message}`);
    const observed = await machine.observe();
    if (before.profile !== null && observed.profile?.toplevel !== before.profile) {
      await machine.setProfile(before.profile);
      await machine.switchTo(before.profile, 'boot', signal);
    }
    if (observed.current !== before.toplevel)
      return failed('CURRENT_SYSTEM_DIFFERS', `after going back, what runs is ${observed.current ?? 'nothing'}`);
    // Asked only when it decides something: whether it was the new system that kept the server away.
    const contact = journal.verdict === 'no-contact' ? await deps.hasContact(settings.contactTimeoutMs, signal) : true;
    return { type: 'rolled-back', epoch, tookMs: 0, hasContact: contact };
  },
};

/** How much of a closure is here already only Nix knows: this only keeps a machine from running into the wall. */
async function diskIsFull({ machine, settings }: WorkDeps): Promise<AgentDetail | null> {
  const free = await machine.freeBytes();
  if (free >= settings.minFreeBytes) return null;
  return {
    code: 'DISK_FULL',
    message: `only ${megabytes(free)} are free, ${megabytes(settings.minFreeBytes)} are needed: make room and it goes on by itself`,
  };
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MB`;
}

function subtract(units: readonly string[] | null, known: readonly string[] | null): string[] {
  return (units ?? []).filter((unit) => !(known ?? []).includes(unit));
}
