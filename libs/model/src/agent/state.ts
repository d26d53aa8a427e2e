/** How far an agent is with its directive (SPEC.md, "Agent"). */
export const AGENT_STATES = [
  'IDLE',
  'OFFERED',
  'DOWNLOADING',
  'STAGED',
  'DEFERRED',
  'PRECHECK',
  'ACTIVATING',
  'VERIFYING',
  'TRYING',
  'COMMITTING',
  'SUCCEEDED',
  'BOOT_STAGED',
  'BOOT_VERIFYING',
  'ROLLING_BACK',
  'ROLLED_BACK',
  'ROLLBACK_FAILED',
  'BLOCKED',
  'REJECTED',
] as const;
export type AgentState = (typeof AGENT_STATES)[number];

const TERMINAL = ['SUCCEEDED', 'ROLLED_BACK', 'ROLLBACK_FAILED', 'REJECTED'] as const satisfies readonly AgentState[];
export type TerminalAgentState = (typeof TERMINAL)[number];

/** True when the agent has finished its directive, whatever the result. */
export function isTerminalAgentState(state: AgentState): state is TerminalAgentState {
  return (TERMINAL as readonly AgentState[]).includes(state);
}

/** True from the first change to the running system until the verdict about it. A newer directive waits this long. */
export function isActivating(state: AgentState): boolean {
  return (
    state === 'PRECHECK' ||
    state === 'ACTIVATING' ||
    state === 'VERIFYING' ||
    state === 'COMMITTING' ||
    state === 'ROLLING_BACK' ||
    state === 'BOOT_VERIFYING'
  );
}
