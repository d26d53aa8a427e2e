import type { AgentDetail, AgentDirective, AgentJournal } from '@floe/model';
import type { Assessment } from './work.ts';

/** When this machine may be changed, by its own policy. `now` is ms. */
export interface Conditions {
  assess(journal: AgentJournal, directive: AgentDirective, now: number, signal: AbortSignal): Promise<Assessment>;
  /** Why a staged restart may happen now; null: not yet. */
  mayReboot(journal: AgentJournal, now: number): Promise<AgentDetail | null>;
}

/** A machine that nobody sits at: a folder. */
export const NO_CONDITIONS: Conditions = {
  assess: async () => await Promise.resolve({ impact: 'none', wait: null }),
  mayReboot: async () => await Promise.resolve(null),
};
