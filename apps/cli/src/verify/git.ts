import { FloeError, isFloeError, type Env, type Exec } from '@floe/runtime';

const GIT_TIMEOUT_MS = 10 * 60_000;
/** The history of a repository with some million commits. */
const MAX_TEXT_BYTES = 512 * 1024 * 1024;
const MAX_ERROR_CHARACTERS = 300;

export interface GitDeps {
  readonly exec: Exec;
  readonly env: Env;
  readonly signal: AbortSignal;
}

/** What git says. */
export type Git = (args: readonly string[]) => Promise<{ readonly exitCode: number | null; readonly text: string; readonly error: string }>;

/** Git in a folder, without the settings of whoever runs it, so that it answers the same everywhere. Throws `FloeError('USAGE')` where there is none. */
export function gitIn({ exec, env, signal }: GitDeps, dir: string): Git {
  return async (args) => {
    try {
      const { end, exitCode, stdout, stderr } = await exec('git', ['-C', dir, ...args], {
        signal,
        timeoutMs: GIT_TIMEOUT_MS,
        maxStdoutBytes: MAX_TEXT_BYTES,
        env: { PATH: env['PATH'], GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' },
      });
      if (end === 'aborted') throw new FloeError('INTERRUPTED', 'stopped');
      if (end !== 'exited') throw new FloeError('USAGE', `git did not end by itself in ${dir} (${end})`);
      return { exitCode, text: stdout, error: stderr.trim().slice(0, MAX_ERROR_CHARACTERS) };
    } catch (cause) {
      if (!isFloeError(cause, 'EXEC_NOT_STARTED')) throw cause;
      throw new FloeError('USAGE', 'git is not installed here: leave --repository out, or install it', { cause });
    }
  };
}
