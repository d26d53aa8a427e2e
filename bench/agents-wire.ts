/** The messages between the processes of the agents' benchmark. */
export interface ServerRequest {
  readonly kind: 'floe' | 'bare';
  readonly count: number;
  readonly databaseUrl: string;
  /** The key of all agents, because the server is measured. */
  readonly agentKey: string;
}

export interface AgentsRequest {
  readonly kind: 'floe' | 'bare';
  readonly count: number;
  readonly port: number;
  readonly agentKey: string;
}

export type ServerAnswer =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'measured'; readonly cpuMs: number; readonly wallMs: number; readonly kilobytesPerConnection: number };

export const MACHINE_ID = 'b'.repeat(32);

export function hostName(index: number): string {
  return `host-${String(index).padStart(5, '0')}`;
}

/** Texts as long as a directive and a report. */
export const DIRECTIVE_BYTES = 2_600;
export const REPORT_BYTES = 420;
