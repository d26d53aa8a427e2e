import { FloeError, isFloeError, type ExecResult } from '@floe/runtime';
import type { VerdictDeps } from './types.ts';

const TIMEOUT_MS = 60_000;

/** Runs a program that checks signatures, apart from the settings of whoever runs this. Throws a retryable error when it gives no answer. */
export async function runChecker({ exec, path, dir }: VerdictDeps, file: string, args: readonly string[], stdin?: Uint8Array): Promise<ExecResult> {
  const env = { PATH: path, HOME: dir, GNUPGHOME: dir, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
  try {
    const result = await exec(file, args, { timeoutMs: TIMEOUT_MS, env, cwd: dir, stdin, maxStdoutBytes: 256 * 1024, beyondStdout: 'cut' });
    if (result.end === 'exited') return result;
    throw new FloeError('SIGNERS_UNCHECKED', `${file} did not come to its end: ${result.end}`, { retryable: true });
  } catch (cause) {
    if (!isFloeError(cause, 'EXEC_NOT_STARTED')) throw cause;
    throw new FloeError('SIGNERS_UNCHECKED', `signatures cannot be checked without ${file}: install it on the machine of this program`, {
      retryable: true,
      cause,
    });
  }
}

/** The last words of a program, in one line. */
export function lastWords({ stderr, stdout }: Pick<ExecResult, 'stderr' | 'stdout'>): string {
  const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim());
  return lines.findLast((line) => line !== '') ?? 'it said nothing';
}
