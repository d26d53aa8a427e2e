import { readFile } from 'node:fs/promises';
import { execInTest, type ExecOptions, type ExecResult } from '@floe/runtime';

/** One line of the report. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly floe: number;
  /** The same work with bare tools, in the same run; 0: there is none. */
  readonly floor: number;
  /** `ratio`: floe / floor; `difference`: floe − floor; `alone`: there is no floor. */
  readonly compare: 'ratio' | 'difference' | 'alone';
  readonly aim: number | undefined;
}

export type Progress = (text: string) => void;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  if (low === undefined || high === undefined) throw new Error('there is no median of nothing');
  return (low + high) / 2;
}

/** How long it takes, in ms. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** Runs a program that must succeed. */
export async function run(file: string, args: readonly string[], options: Partial<ExecOptions> = {}): Promise<ExecResult> {
  const result = await execInTest(file, args, options);
  if (result.exitCode !== 0) throw new Error(`${file} ${args.join(' ')} failed: ${result.stderr}`);
  return result;
}

export interface Memory {
  /** Resident, in bytes. */
  readonly rss: number;
  /** What no other process shares, in bytes. */
  readonly private: number;
}

/** A process's memory as the kernel counts it (proc_pid_smaps_rollup(5)). */
export async function memoryOf(pid: number): Promise<Memory> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1] ?? Number.NaN);
  return { rss: 1024 * kilobytes('Rss'), private: 1024 * (kilobytes('Private_Clean') + kilobytes('Private_Dirty')) };
}
