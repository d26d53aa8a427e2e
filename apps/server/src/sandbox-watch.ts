import type { Sandbox } from '@floe/nix';
import { describeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import type { Notices } from './notices.ts';

export const SANDBOX_BROKEN = 'SANDBOX_BROKEN';
const EVERY_MS = 60_000;
const TIMEOUT_MS = 60_000;
const MAX_REASON_CHARACTERS = 300;

export interface SandboxWatchDeps {
  readonly sandbox: Pick<Sandbox, 'prepare'>;
  readonly exec: Exec;
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
  { notices, clock, logger, onNews, ...deps }: SandboxWatchDeps,
  signal: AbortSignal,
  everyMs = EVERY_MS,
): Promise<void> {
  while (!signal.aborted) {
    const problem = await sandboxProblem(deps);
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

async function sandboxProblem({ sandbox, exec }: Pick<SandboxWatchDeps, 'sandbox' | 'exec'>): Promise<string | undefined> {
  try {
    await using launch = await sandbox.prepare('nix', ['--version']);
    const { end, exitCode, stderr } = await exec(launch.file, launch.args, { env: launch.env, timeoutMs: TIMEOUT_MS });
    if (end === 'exited' && exitCode === 0) return undefined;
    return stderr.trim().slice(-MAX_REASON_CHARACTERS) || `it ended with ${end === 'exited' ? exitCode : end}`;
  } catch (error) {
    return describeError(error).slice(0, MAX_REASON_CHARACTERS);
  }
}
