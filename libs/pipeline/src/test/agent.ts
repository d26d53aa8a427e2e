import type { StorePath } from '@floe/model';
import type { HostPresence } from '@floe/store';

/** What an agent of a test remembers. */
export interface Agent {
  sequence: number;
  epoch: number;
  toplevel: StorePath | undefined;
}

/** What it says when it connects. */
export function presenceOf({ epoch, sequence, toplevel }: Agent): HostPresence {
  return {
    sessionId: 'server/1',
    bootId: 'boot',
    machineId: 'machine',
    agentVersion: '0',
    system: 'x86_64-linux',
    observed: { current: toplevel ?? null, booted: null, profile: null },
    state: 'SUCCEEDED',
    stateToplevel: toplevel,
    epoch,
    sequence,
    reportSeq: 0,
    at: 1,
  };
}
