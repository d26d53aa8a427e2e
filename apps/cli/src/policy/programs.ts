import { FloeError, isFloeError, NO_TIME_LIMIT, type Exec, type ExecResult } from '@floe/runtime';

/** What running git and Nix needs. */
export interface ProgramDeps {
  readonly exec: Exec;
  readonly signal: AbortSignal;
}

const GIT_TIMEOUT_MS = 60_000;

/** What git prints; undefined when it fails, or is not installed. */
export async function tryGit({ exec, signal }: ProgramDeps, args: readonly string[]): Promise<string | undefined> {
  try {
    const result = await exec('git', args, { signal, timeoutMs: GIT_TIMEOUT_MS });
    return isDone(result) ? result.stdout.trim() : undefined;
  } catch (error) {
    if (isFloeError(error, 'EXEC_NOT_STARTED')) return undefined;
    throw error;
  }
}

/** Only errors are of interest, and not that the working tree has changes. */
const COMMON = ['--quiet', '--quiet', '--quiet', '--extra-experimental-features', 'nix-command flakes'];
const MAX_LINES = 20;
/** A fleet of 10,000 hosts has some MB. */
const MAX_STDOUT_BYTES = 64 * 1024 * 1024;

/**
 * What Nix prints. It evaluates an administrator's own flake on their own machine, as when they build it there, so without a sandbox.
 * Throws NIX_MISSING, and NIX_FAILED with the end of Nix's message.
 */
export async function nix({ exec, signal }: ProgramDeps, args: readonly string[]): Promise<string> {
  let result: ExecResult;
  try {
    // Without a limit of time: a person waits for it, and can stop it.
    result = await exec('nix', [...args, ...COMMON], { signal, timeoutMs: NO_TIME_LIMIT, maxStdoutBytes: MAX_STDOUT_BYTES });
  } catch (cause) {
    if (!isFloeError(cause, 'EXEC_NOT_STARTED')) throw cause;
    throw new FloeError('NIX_MISSING', 'nix is not installed here: make a file where it is, and check that (see: floe policy check --help)', {
      cause,
    });
  }
  if (isDone(result)) return result.stdout;
  const message = result.stderr.trim().split('\n').slice(-MAX_LINES).join('\n');
  throw new FloeError('NIX_FAILED', message === '' ? `nix ended without a message (${result.end})` : message);
}

/** True when it ended with 0. Throws when a person stopped it. */
function isDone({ end, exitCode }: ExecResult): boolean {
  if (end === 'aborted') throw new FloeError('INTERRUPTED', 'stopped');
  return end === 'exited' && exitCode === 0;
}
