import type { Sandbox } from '@floe/nix';
import type { Clock } from '@floe/runtime';
import { tellNotice, type NoticeDeps } from './notices.ts';

export const SANDBOX_BROKEN = 'SANDBOX_BROKEN';
const EVERY_MS = 60_000;

export interface SandboxWatchDeps extends NoticeDeps {
  readonly sandbox: Pick<Sandbox, 'problem'>;
  readonly clock: Clock;
}

/**
 * Checks once a minute whether commands still run in the sandbox. It worked at the start, but an upgrade of the system may remove
 * bubblewrap or disable user namespaces: then the steps of commits fail retryably, and administrators are told why.
 */
export async function watchSandbox(deps: SandboxWatchDeps, signal: AbortSignal, everyMs = EVERY_MS): Promise<void> {
  while (!signal.aborted) {
    const problem = await deps.sandbox.problem();
    if (!signal.aborted) tellNotice(deps, SANDBOX_BROKEN, problem === undefined ? undefined : describe(problem));
    await deps.clock.sleep(everyMs, signal);
  }
}

function describe(problem: string): string {
  return `commits can no longer be evaluated or built, since the sandbox does not work (${problem}): they wait, hosts keep what they run, and the server looks again each minute. Install bubblewrap again, or let this user make user namespaces`;
}
