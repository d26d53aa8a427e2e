import { spawn } from 'node:child_process';
import { FloeError } from './errors.ts';

export interface ExecOptions {
  readonly signal?: AbortSignal | undefined;
  /** The process group gets SIGTERM after this long, SIGKILL 5 s later. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly cwd?: string | undefined;
  /** The whole environment of the child. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly stdin?: string | undefined;
  /** How much of stdout and of stderr is kept, from the end, in bytes. Default 16 MiB and 256 KiB. */
  readonly maxStdoutBytes?: number | undefined;
  readonly maxStderrBytes?: number | undefined;
  /** Called with each whole line of stderr, as it comes. */
  readonly onStderrLine?: ((line: string) => void) | undefined;
}

/** Why a process ended: by itself, by our time limit, by our signal, or by a signal from elsewhere (e.g. the OOM killer). */
export type ExecEnd = 'exited' | 'timed-out' | 'aborted' | 'killed';

export interface ExecResult {
  readonly end: ExecEnd;
  /** -1 unless `end` is 'exited'. */
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/** Runs a program to its end. Injected, so that code around a program can be tested without it. */
export type Exec = (file: string, args: readonly string[], options?: ExecOptions) => Promise<ExecResult>;

const KILL_AFTER_MS = 5_000;

/** Keeps the last `limit` bytes of a stream. */
class Tail {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #size = 0;
  constructor(limit: number) {
    this.#limit = limit;
  }
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#chunks[0] && this.#size - this.#chunks[0].length >= this.#limit) {
      this.#size -= this.#chunks[0].length;
      this.#chunks.shift();
    }
  }
  text(): string {
    return Buffer.concat(this.#chunks).subarray(-this.#limit).toString('utf8');
  }
}

/**
 * Runs `file` with `args` (never a shell) in a process group of its own and waits for its end. Any exit status is a
 * result; only a program that cannot be started throws: `FloeError('EXEC_NOT_STARTED')`.
 */
export const exec: Exec = (file, args, options = {}) =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const stdout = new Tail(options.maxStdoutBytes ?? 16 * 1024 * 1024);
    const stderr = new Tail(options.maxStderrBytes ?? 256 * 1024);
    let end: ExecEnd | undefined;
    let killTimer: NodeJS.Timeout | undefined;
    const child = spawn(file, [...args], {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    function signalGroup(signal: NodeJS.Signals): void {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // The group is gone already.
      }
    }
    function stop(reason: ExecEnd): void {
      if (end !== undefined) return;
      end = reason;
      signalGroup('SIGTERM');
      killTimer = setTimeout(() => signalGroup('SIGKILL'), KILL_AFTER_MS);
    }
    const limit = options.timeoutMs === undefined ? undefined : setTimeout(() => stop('timed-out'), options.timeoutMs);
    const onAbort = (): void => stop('aborted');
    if (options.signal?.aborted) onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    function cleanUp(): void {
      clearTimeout(limit);
      clearTimeout(killTimer);
      options.signal?.removeEventListener('abort', onAbort);
    }
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    let partial = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr.push(chunk);
      if (!options.onStderrLine) return;
      const lines = (partial + chunk.toString('utf8')).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) options.onStderrLine(line);
    });
    child.stdin.on('error', () => undefined); // EPIPE: the child did not read its input; its exit status tells.
    child.stdin.end(options.stdin ?? '');
    child.on('error', (cause) => {
      cleanUp();
      reject(new FloeError('EXEC_NOT_STARTED', `${file} could not be started`, { data: { file }, cause }));
    });
    child.on('close', (code, signal) => {
      cleanUp();
      if (partial !== '') options.onStderrLine?.(partial);
      resolve({
        end: end ?? (signal === null ? 'exited' : 'killed'),
        exitCode: end === undefined && code !== null ? code : -1,
        signal,
        stdout: stdout.text(),
        stderr: stderr.text(),
        durationMs: performance.now() - startedAt,
      });
    });
  });
