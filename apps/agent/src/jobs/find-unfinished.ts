import { CONTACT_UNKNOWN, type AgentEvent, type AgentJournal } from '@floe/model';
import { WATCHDOG_ROLLED_BACK } from './changing.ts';
import { switchedByHand, type JobDeps } from './job.ts';

/** The event for an activation that was under way when the agent stopped. */
export async function findUnfinished(deps: Pick<JobDeps, 'machine' | 'now'>, journal: AgentJournal, signal: AbortSignal): Promise<AgentEvent> {
  const { machine } = deps;
  const { directive, state, activation, before } = journal;
  const boots = (await machine.boot?.boots(activation)) ?? { isNewBoot: false, fellBack: false };
  const { current, booted } = await machine.observe();
  const isOnTarget = directive !== null && current === directive.release.toplevel;
  const restarted: AgentEvent = { type: 'restarted', ...boots, isOnTarget };
  if (directive === null || machine.watchdog === null) return restarted;
  const { epoch, release } = directive;
  if (state === 'BOOT_VERIFYING') {
    // The verdict was on disk before the crash: it counts.
    const verdict = await machine.watchdog.verdict(activation);
    if (verdict === 'passed') return { type: 'verified', epoch, tookMs: 0, note: CONTACT_UNKNOWN };
    // The boot guard may have switched back without being able to write that down.
    const fellBack = boots.fellBack || (verdict === 'undo' && !isOnTarget);
    return isOnTarget || fellBack || current === booted ? { ...restarted, fellBack } : switchedByHand(deps, current);
  }
  if (state !== 'ACTIVATING' && state !== 'VERIFYING') return restarted;
  const unfinished = await machine.watchdog.unfinished(activation, release.toplevel, signal);
  if (unfinished.kind === 'passed') return { type: 'verified', epoch, tookMs: 0, note: CONTACT_UNKNOWN };
  if (unfinished.kind === 'watchdog-rolled-back') {
    const found = (await machine.observe()).current;
    // A third system is a user's choice, which the watchdog leaves in place.
    return found === release.toplevel || found === before?.toplevel
      ? { type: 'watchdog-rolled-back', epoch, detail: WATCHDOG_ROLLED_BACK }
      : switchedByHand(deps, found);
  }
  if (unfinished.kind === 'interrupted') return restarted;
  const { outcome } = unfinished;
  if (outcome.kind === 'switched') {
    const found = (await machine.observe()).current;
    // During the checks the new system ran, and this change leads to no third one.
    const isUsersChoice = found !== null && found !== release.toplevel && (state === 'VERIFYING' || found !== before?.toplevel);
    return isUsersChoice ? switchedByHand(deps, found) : { type: 'switched', epoch, tookMs: 0 };
  }
  return state === 'ACTIVATING' ? { type: 'switch-failed', epoch, tookMs: 0, detail: outcome.detail } : restarted;
}
