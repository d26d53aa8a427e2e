import type { ExecResult } from '@floe/runtime';
import type { RepositoryCommand } from './command.ts';
import { probeHealth, type Health } from './health.ts';
import type { FailureLog } from './internal-json.ts';

/** Whose trouble a failed Nix command is. */
export type Diagnosis =
  /** We stopped it. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'out-of-memory' }
  /** This server's: whatever was worked on is not to blame. */
  | { readonly kind: 'server-unwell'; readonly health: Exclude<Health, { kind: 'well' }> }
  /** That of what was worked on. */
  | { readonly kind: 'own' };

/** All that a diagnosis may rest on. There is no text in it: a repository writes every text that Nix passes on. */
export interface Evidence {
  readonly end: ExecResult['end'];
  readonly signal: ExecResult['signal'];
  /** Nix said so by itself, by a kind of message that no expression can make. */
  readonly hasRunOutOfMemory: boolean;
  readonly health: Health;
}

export function judge({ end, signal, hasRunOutOfMemory, health }: Evidence): Diagnosis {
  if (end === 'aborted') return { kind: 'stopped' };
  if (end === 'timed-out') return { kind: 'timed-out' };
  if (health.kind !== 'well') return { kind: 'server-unwell', health };
  // What Floe did not end itself (as it ends a command that prints too much): only the kernel's killer does that.
  if (end === 'out-of-memory' || hasRunOutOfMemory || (end === 'killed' && signal === 'SIGKILL')) return { kind: 'out-of-memory' };
  return { kind: 'own' };
}

/** Judges a command that failed, by how it ended and by what can be seen of this server right after. */
export async function diagnose(command: RepositoryCommand, result: ExecResult, log: FailureLog): Promise<Diagnosis> {
  const { end, signal } = result;
  const isOurs = end === 'aborted' || end === 'timed-out' || end === 'out-of-memory';
  const health: Health = isOurs ? { kind: 'well' } : await probeHealth(command);
  return judge({ end, signal, hasRunOutOfMemory: log.hasRunOutOfMemory, health });
}
