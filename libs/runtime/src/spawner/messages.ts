import type { ExecOptions, ExecResult } from '../exec.ts';

/** What of {@link ExecOptions} can be sent: all but the functions and the signal. */
export type SentOptions = Omit<ExecOptions, 'signal' | 'onRunning' | 'onStdoutBytes' | 'onStdoutLine' | 'onStderrLine' | 'whenRead' | 'env'> & {
  readonly env: NodeJS.ProcessEnv;
};

/** What is told while a program runs. */
export interface Told {
  readonly memory: boolean;
  /** How: piece by piece, or by lines. */
  readonly stdout: 'bytes' | 'lines' | 'not';
  readonly stderr: boolean;
}

/** To the spawner. `run` is a number that no other run of this spawner has. */
export type ToSpawner =
  | {
      readonly kind: 'run';
      readonly run: number;
      readonly file: string;
      readonly args: readonly string[];
      readonly options: SentOptions;
      readonly told: Told;
    }
  | { readonly kind: 'abort'; readonly run: number }
  /** So many characters of the lines of this run, or so many bytes, have been taken. */
  | { readonly kind: 'taken'; readonly run: number; readonly length: number };

/** From the spawner. `ended` or `not-started` is the last of a run. */
export type FromSpawner =
  | { readonly kind: 'memory'; readonly run: number; readonly bytes: number }
  | { readonly kind: 'lines'; readonly run: number; readonly stream: 'stdout' | 'stderr'; readonly lines: readonly string[] }
  | { readonly kind: 'bytes'; readonly run: number; readonly bytes: Uint8Array }
  | { readonly kind: 'ended'; readonly run: number; readonly result: ExecResult }
  | { readonly kind: 'not-started'; readonly run: number; readonly reason: string };
