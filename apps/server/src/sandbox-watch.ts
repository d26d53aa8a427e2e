import type { Sandbox } from '@floe/nix';
import type { Clock, Logger } from '@floe/runtime';
import type { Notices } from './notices.ts';

export const SANDBOX_BROKEN = 'SANDBOX_BROKEN';
const EVERY_MS = 60_000;

export interface SandboxWatchDeps {
  readonly sandbox: Pick<Sandbox, 'problem'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly notices: Notices;
  /** The notices are others than before. */
  readonly onNews: () => void;
}

/**
 * Looks once a minute whether commands still run in the sandbox. It worked at the start, but bubblewrap may be removed, or
 * user namespaces switched off, by an upgrade of the system: then each step of a commit fails for now, and people are told why.
 */
export async function watchSandbox(
  { sandbox, notices, clock, logger, onNews }: SandboxWatchDeps,
  signal: AbortSignal,
  everyMs = EVERY_MS,
): Promise<void> {
  while (!signal.aborted) {
    const problem = await sandbox.problem();
    const message =
      problem === undefined
        ? undefined
        : `what the repository says can no longer be run in the sandbox (${problem}): commits wait, hosts keep what they run, and it is tried again each minute. Install bubblewrap again, or let this user make user namespaces`;
    if (!signal.aborted && notices.set(SANDBOX_BROKEN, message, clock.now())) {
      if (message === undefined) logger.info('a notice is over', { code: SANDBOX_BROKEN });
      else logger.warn(message, { code: SANDBOX_BROKEN });
      onNews();
    }
    await clock.sleep(everyMs, signal);
  }
}
