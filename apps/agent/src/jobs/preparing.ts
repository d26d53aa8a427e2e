import { isOn, rollbackTarget, type AgentEvent } from '@floe/model';
import { cacheOf, NO_BOOT_GUARD, switchHeld, type Job } from './job.ts';
import { lackOfRoom, megabytes } from './room.ts';

/** Whether it runs the system already. */
export const inspect: Job = async ({ machine }, _journal, { epoch, release }) => {
  return { type: 'inspected', epoch, isOnTarget: isOn(await machine.observe(), release.toplevel) };
};

export const download: Job = async (deps, journal, { epoch, release }, signal) => {
  const { machine, settings } = deps;
  const held = await deps.holdDownload(journal);
  if (held !== null) return { type: 'download-held', epoch, wait: held };
  const full = await lackOfRoom(deps, { ...release, signal });
  if (full !== null) return { type: 'download-failed', epoch, tookMs: 0, detail: full, isRetryable: true };
  await machine.download(release.toplevel, {
    substituters: settings.substituters,
    trustedPublicKeys: settings.cachePublicKeys,
    maxBytes: release.closureSizeBytes,
    signal,
    onProgress: (progress) => deps.onProgress(epoch, progress),
  });
  return { type: 'downloaded', epoch, tookMs: 0 };
};

/** How disruptive the switch is, and what it waits for. */
export const assess: Job = async (deps, journal, directive, signal) => {
  const { epoch } = directive;
  if (journal.state === 'DEFERRED' && journal.impact === null) {
    // Not downloaded yet: whether it may be is the question.
    const wait = await deps.holdDownload(journal);
    return wait === null ? { type: 'download-due', epoch } : { type: 'download-held', epoch, wait };
  }
  return { type: 'assessed', epoch, ...(await deps.assess(journal, directive, signal)) };
};

/** What must hold before anything is changed; what is needed to go back is written down. */
export const precheck: Job = async (deps, journal, directive, signal) => {
  const { machine, settings } = deps;
  const { epoch, release, mode } = directive;
  const { toplevel } = release;
  const notClear = (code: string, message: string, isGone = false): AgentEvent => ({ type: 'not-clear', epoch, isGone, detail: { code, message } });
  const full = await lackOfRoom(deps);
  if (full !== null) return notClear(full.code, full.message);
  const lacking = await machine.bootBytesLacking(toplevel);
  if (lacking > 0)
    return notClear('BOOT_DISK_FULL', `the boot loader's disk lacks ${megabytes(lacking)} for its kernel and initrd: remove old generations from it`);
  const heldBy = await machine.switchHeldBy();
  if (heldBy !== null) return notClear('SWITCH_HELD', switchHeld(heldBy).message);
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
  if (isForBoot && !(await machine.boot.hasGuard(toplevel))) return notClear(NO_BOOT_GUARD.code, NO_BOOT_GUARD.message);
  return {
    type: 'cleared',
    epoch,
    how: isForBoot ? 'boot' : 'switch',
    before: { toplevel: before, profile, failedUnits, serverUrl: settings.serverUrl, cache: cacheOf(settings) },
  };
};
