import { CONTACT_UNKNOWN, type AgentEvent, type AgentJournal } from '@floe/model';
import { WATCHDOG_WAS_FIRST } from './changing.ts';
import { switchedByHand, type JobDeps } from './job.ts';

/** What the agent is to find on its start about an activation that it did not see the end of. */
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
    // Found to work before the crash: that stands.
    const verdict = await machine.watchdog.verdict(activation);
    if (verdict === 'passed') return { type: 'verified', epoch, tookMs: 0, note: CONTACT_UNKNOWN };
    // The guard may have gone back by a switch, and been unable to write that down.
    const fellBack = boots.fellBack || (verdict === 'undo' && !isOnTarget);
    return isOnTarget || fellBack || current === booted ? { ...restarted, fellBack } : switchedByHand(deps, current);
  }
  if (state !== 'ACTIVATING' && state !== 'VERIFYING') return restarted;
  const unfinished = await machine.watchdog.unfinished(activation, release.toplevel, signal);
  if (unfinished.kind === 'passed') return { type: 'verified', epoch, tookMs: 0, note: CONTACT_UNKNOWN };
  if (unfinished.kind === 'watchdog-rolled-back') {
    const found = (await machine.observe()).current;
    // A third system: the watchdog left it alone as well.
    return found === release.toplevel || found === before?.toplevel
      ? { type: 'watchdog-rolled-back', epoch, detail: WATCHDOG_WAS_FIRST }
      : switchedByHand(deps, found);
  }
  if (unfinished.kind === 'interrupted') return restarted;
  const { outcome } = unfinished;
  if (outcome.kind === 'switched') {
    const found = (await machine.observe()).current;
    // While it was verified it ran the new system; no switch of this change leads to a third one.
    const isTheirs = found !== null && found !== release.toplevel && (state === 'VERIFYING' || found !== before?.toplevel);
    return isTheirs ? switchedByHand(deps, found) : { type: 'switched', epoch, tookMs: 0 };
  }
  return state === 'ACTIVATING' ? { type: 'switch-failed', epoch, tookMs: 0, detail: outcome.detail } : restarted;
}
