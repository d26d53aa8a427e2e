import type { ExecResult } from '@floe/runtime';
import type { RepositoryCommand } from './command.ts';
import { probeHealth, type Health } from './health.ts';
import type { FailureLog } from './internal-json.ts';

/** The cause of a failed Nix command. */
export type Diagnosis =
  /** Floe stopped it. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'out-of-memory' }
  /** This server, not the input. */
  | { readonly kind: 'server-unwell'; readonly health: Exclude<Health, { kind: 'well' }> }
  /** The input. */
  | { readonly kind: 'own' };

/** The facts for a diagnosis. None of them is a text: a repository can write every text that Nix passes on. */
export interface Evidence {
  readonly end: ExecResult['end'];
  readonly signal: ExecResult['signal'];
  /** Reported by Nix itself, as a kind of message that no expression can produce. */
  readonly hasRunOutOfMemory: boolean;
  readonly health: Health;
}

export function judge({ end, signal, hasRunOutOfMemory, health }: Evidence): Diagnosis {
  if (end === 'aborted') return { kind: 'stopped' };
  if (end === 'timed-out') return { kind: 'timed-out' };
  if (health.kind !== 'well') return { kind: 'server-unwell', health };
  // Floe did not end it (as it ends a command that prints too much), so only the kernel's OOM killer can have.
  if (end === 'out-of-memory' || hasRunOutOfMemory || (end === 'killed' && signal === 'SIGKILL')) return { kind: 'out-of-memory' };
  return { kind: 'own' };
}

/** Diagnoses a failed command by how it ended and by the state of this server directly afterwards. */
export async function diagnose(command: RepositoryCommand, result: ExecResult, log: FailureLog): Promise<Diagnosis> {
  const { end, signal } = result;
  const isOurs = end === 'aborted' || end === 'timed-out' || end === 'out-of-memory';
  const health: Health = isOurs ? { kind: 'well' } : await probeHealth(command);
  return judge({ end, signal, hasRunOutOfMemory: log.hasRunOutOfMemory, health });
}
