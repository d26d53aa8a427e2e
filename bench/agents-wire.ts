import type { HostName } from '@floe/model';

/** The messages between the processes of the agents' benchmarks. */
export interface AgentsRequest {
  readonly type: 'connect';
  readonly kind: 'floe' | 'bare';
  readonly count: number;
  readonly port: number;
  /** The key of all agents, because the server is measured. */
  readonly agentKey: string;
  /** Of a bare report. */
  readonly reportBytes: number;
}

/** Sent a few times a second, and at once when asked. */
export interface AgentsStatus {
  readonly type: 'status';
  /** Agents that have a connection now. */
  readonly connected: number;
  readonly directives: number;
  /** Reports that were sent, and not acknowledged yet. */
  readonly unacknowledged: number;
  readonly acknowledged: number;
  /** Connections that were not welcomed within the agent's time limit. */
  readonly late: number;
  /** Mean length of the messages, in bytes. */
  readonly directiveBytes: number;
  readonly reportBytes: number;
}

/** By host, the highest number of a report that was acknowledged: asked for with `{ type: 'numbers' }`. */
export interface AgentsNumbers {
  readonly type: 'numbers';
  readonly acknowledged: readonly (readonly [HostName, number])[];
}

export interface BareRequest {
  readonly type: 'listen';
}

/** A bare server sends so many bytes to each socket. */
export interface BareRound {
  readonly type: 'round';
  readonly directiveBytes: number;
}

/** What `probe.ts` answers from within a server; the bare server, its port. */
export type ServerAnswer = { readonly type: 'listening'; readonly port: number } | { readonly type: 'used'; readonly bytes: number };

export type BenchMessage = AgentsStatus | AgentsNumbers | ServerAnswer;

export const MACHINE_ID = 'b'.repeat(32);

export function hostName(index: number): HostName {
  return `host-${String(index).padStart(5, '0')}` as HostName;
}
