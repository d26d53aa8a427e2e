import type { Sandbox } from '@floe/nix';
import type { Clock } from '@floe/runtime';

export const SANDBOX_BROKEN = 'SANDBOX_BROKEN';
const EVERY_MS = 60_000;

export interface SandboxWatchDeps {
  readonly sandbox: Pick<Sandbox, 'problem'>;
  readonly clock: Pick<Clock, 'sleep'>;
  /** Undefined: it works. */
  readonly onProblem: (message: string | undefined) => void;
}

/**
 * Checks once a minute whether commands still run in the sandbox. It worked at the start, but an upgrade of the system may remove
 * bubblewrap or disable user namespaces: then the steps of commits fail retryably, and administrators are told why.
 */
export async function watchSandbox({ sandbox, clock, onProblem }: SandboxWatchDeps, signal: AbortSignal, everyMs = EVERY_MS): Promise<void> {
  while (!signal.aborted) {
    const problem = await sandbox.problem();
    if (!signal.aborted) onProblem(problem === undefined ? undefined : describe(problem));
    await clock.sleep(everyMs, signal);
  }
}

function describe(problem: string): string {
  return `commits can no longer be evaluated or built, since the sandbox does not work (${problem}): they wait, hosts keep what they run, and Floe looks again each minute. Install bubblewrap again, or let this user make user namespaces`;
}
