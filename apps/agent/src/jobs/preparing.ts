import { type AgentDetail, type AgentEvent, type AgentJournal, type StorePath, urgencyOf, isOn, rollbackTarget } from '@floe/model';
import { AGENT_POLICY_FILE } from '@floe/protocol';
import { FloeError, isFloeError } from '@floe/runtime';
import { allowsTrials } from '../when/policy.ts';
import { cacheOf, NO_BOOT_GUARD, proxyOf, switchHeld, type Job, type JobDeps } from './job.ts';
import { lackOfRoom, megabytes } from './room.ts';

/** Whether the machine runs and boots the system already. */
export const inspect: Job = async ({ machine }, _journal, { epoch, release }) => {
  return { type: 'inspected', epoch, isOnTarget: isOn(await machine.observe(), release.toplevel) };
};

export const download: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, settings } = deps;
  const held = await deps.holdDownload(journal);
  if (held !== null) return { type: 'download-held', epoch, wait: held };
  const full = await lackOfRoom(deps, { ...release, signal });
  if (full !== null) return { type: 'download-failed', epoch, tookMs: 0, detail: full, isRetryable: true };
  const downloading = machine.download(release.toplevel, {
    keptAs: 'next',
    substituters: settings.substituters,
    trustedPublicKeys: settings.cachePublicKeys,
    maxBytes: release.closureSizeBytes,
    // Who overrules the machine's policy for downloads overrules its limit, too.
    maxBytesPerSecond: isHurried(journal, deps.now()) ? undefined : settings.maxBytesPerSecond,
    signal,
    onProgress: (progress) => deps.onProgress(epoch, progress),
  });
  await downloading.catch(async (error: unknown) => {
    throw (await withoutCache(deps, error, release.toplevel, signal)) ?? error;
  });
  return { type: 'downloaded', epoch, tookMs: 0 };
};

/** Nix takes the login page of a hotel for a corrupt file of the cache. Undefined: a cache answers, or nobody, and Nix is right. */
async function withoutCache({ logger, whoAnswers }: JobDeps, error: unknown, wanted: StorePath, signal: AbortSignal): Promise<FloeError | undefined> {
  if (!isFloeError(error, 'STORE_PATH_NOT_AVAILABLE') || signal.aborted) return undefined;
  const answer = await whoAnswers(signal, wanted);
  if (answer.kind !== 'other') return undefined;
  logger.info('a download failed', { error });
  const message = `${answer.who}, in place of ${answer.url}: log in to this network, or have the proxy corrected; the agent tries again`;
  return new FloeError('CACHE_NOT_REACHED', message, { retryable: true });
}

/** A user said "now", or an administrator asks for it now or had it try again. */
function isHurried(journal: AgentJournal, now: number): boolean {
  return journal.deferral?.isOverruled === true || journal.directive?.isRetry === true || urgencyOf(journal, now) !== undefined;
}

/** How much the switch would disrupt, and what it waits for. */
export const assess: Job = async (deps, journal, directive, signal) => {
  const { epoch } = directive;
  if (journal.state === 'DEFERRED' && journal.impact === null) {
    // The download is deferred: ask whether it may begin.
    const wait = await deps.holdDownload(journal);
    return wait === null ? { type: 'download-due', epoch } : { type: 'download-held', epoch, wait };
  }
  return { type: 'assessed', epoch, ...(await deps.assess(journal, directive, signal)) };
};

const NOT_IN_TRIED: AgentDetail = {
  code: 'TRIALS_NOT_ENABLED',
  message: 'the system that is to be tried does not allow trials itself (services.floe.agent.trials.enable), so its agent would not end this one',
};

/** Checks what must hold before the first change, and records what a rollback needs. */
export const precheck: Job = async (deps, journal, directive, signal) => {
  const { machine, settings } = deps;
  const { epoch, release, mode, trial } = directive;
  const { toplevel } = release;
  const notClear = (code: string, message: string, isGone = false): AgentEvent => ({ type: 'not-clear', epoch, isGone, detail: { code, message } });
  const full = await lackOfRoom(deps);
  if (full !== null) return notClear(full.code, full.message);
  const lacking = await machine.bootBytesLacking(toplevel);
  if (lacking > 0)
    return notClear('BOOT_DISK_FULL', `the boot partition needs ${megabytes(lacking)} more for the kernel and the initrd: remove old generations`);
  const heldBy = await machine.switchHeldBy();
  if (heldBy !== null) return notClear('SWITCH_HELD', switchHeld(heldBy).message);
  // Once more: minutes may have passed since the agent asked for `go`.
  const { impact, wait } = await deps.assess(journal, directive, signal);
  if (wait !== null) return { type: 'assessed', epoch, impact, wait };
  const observed = await machine.observe();
  const before = rollbackTarget(journal, observed, toplevel);
  // The boot default after a rollback: never the new system, nor one in quarantine.
  const named = observed.profile?.toplevel ?? null;
  const profile = named === toplevel || (named !== null && journal.quarantined.includes(named)) ? before : named;
  const keepBefore = before === null ? Promise.resolve() : machine.keep('before', before);
  const [isValid, failedUnits] = await Promise.all([machine.isValid(toplevel), machine.failedUnits(), keepBefore]);
  const misfit = isValid ? await machine.misfit(toplevel) : null;
  if (misfit !== null) return notClear(misfit.code, misfit.message);
  if (!isValid) return notClear('STORE_PATH_GONE', 'the downloaded system is no longer in the store', true);
  // The tried system's agent must end the trial; an older one would commit it.
  if (trial !== null && !allowsTrials(await machine.readSystemFile(toplevel, AGENT_POLICY_FILE)))
    return { type: 'trial-refused', epoch, detail: NOT_IN_TRIED };
  const isForBoot = machine.boot !== null && before !== null && (mode === 'boot' || impact === 'reboot');
  if (isForBoot && !(await machine.boot.hasGuard(toplevel))) return notClear(NO_BOOT_GUARD.code, NO_BOOT_GUARD.message);
  return {
    type: 'cleared',
    epoch,
    how: isForBoot ? 'boot' : 'switch',
    before: {
      toplevel: before,
      profile,
      failedUnits,
      serverUrl: settings.serverUrl,
      cache: cacheOf(settings),
      network: { proxy: proxyOf(settings), routers: await deps.routers() },
    },
  };
};
