import type { AgentState } from '@floe/model';

/** The agent's journal, as far as tests look at it. */
export interface LabJournal {
  readonly state: AgentState;
  /** When `state` was entered, ms. */
  readonly since: number;
  readonly attempt: number;
  /** What the switch would disrupt; null until that is known. */
  readonly impact: string | null;
  readonly verdict: string | null;
  readonly detail: { readonly code: string; readonly message: string } | null;
  readonly quarantined: readonly string[];
  readonly directive: { readonly release: { readonly toplevel: string } } | null;
}

/** What `floe-agent status --json` says, as far as tests look at it. */
export interface LocalStatus {
  readonly isRunning: boolean;
  readonly state: AgentState;
  readonly server?: {
    readonly connected: boolean;
    readonly since: number | null;
    readonly stranger: string | null;
    readonly refusal: { readonly code: string } | null;
  };
}
