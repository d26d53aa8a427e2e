import type { AgentEvent, AgentJournal } from '@floe/model';
import { WATCHDOG_WAS_FIRST } from './changing.ts';
import type { WorkDeps } from './job.ts';

/** What the agent is to find on its start about an activation that it did not see the end of. */
export async function findUnfinished(
  { machine, now }: Pick<WorkDeps, 'machine' | 'now'>,
  journal: AgentJournal,
  signal: AbortSignal,
): Promise<AgentEvent> {
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
  const { current } = await machine.observe();
  // The watchdog left it alone as well.
  if (unfinished.kind === 'undone' && current !== release.toplevel && current !== journal.before?.toplevel)
    return { type: 'overridden', override: { toplevel: current, since: now(), by: 'switch' } };
  if (unfinished.kind === 'undone') return { type: 'undone', epoch, detail: WATCHDOG_WAS_FIRST };
  if (unfinished.kind === 'interrupted') return restarted;
  const { outcome } = unfinished;
  if (outcome.kind === 'switched') return { type: 'switched', epoch, tookMs: 0 };
  return state === 'ACTIVATING' ? { type: 'switch-failed', epoch, tookMs: 0, detail: outcome.detail } : restarted;
}
