import { exec, type ExecOptions, type ExecResult } from './exec.ts';

const TIMEOUT_MS = 5 * 60_000;

/** {@link exec} for tests, benchmarks and scripts, with a time limit longer than all of theirs. Product code must choose its limits. */
export async function execInTest(file: string, args: readonly string[], options: Partial<ExecOptions> = {}): Promise<ExecResult> {
  return await exec(file, args, { timeoutMs: TIMEOUT_MS, ...options });
}
