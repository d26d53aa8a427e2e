import { isTrialOpen, TRIAL_OVER, type AgentEvent, type AgentJournal } from '@floe/model';

/** The end of a trial, when it has come; null: there is none under way, or it goes on. Asked every few seconds. Pure. */
export function trialEnd(journal: AgentJournal, { uptimeMs, bootId }: { readonly uptimeMs: number; readonly bootId: string }): AgentEvent | null {
  const { directive } = journal;
  if (directive?.trial == null || !isTrialOpen(journal)) return null;
  const { epoch, trial } = directive;
  const over = (message: string): AgentEvent => ({ type: 'trial-over', epoch, detail: { code: TRIAL_OVER, message } });
  // Its end was counted from another start of the machine.
  if (trial.bootId !== bootId) return over('the machine was restarted, which ends a trial');
  return uptimeMs >= trial.endsAtUptimeMs ? over('the trial ended at the time that it was given') : null;
}
