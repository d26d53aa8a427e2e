import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { FloeError } from '../errors.ts';
import type { Exec, ExecOptions, ExecResult } from '../exec.ts';
import type { FromSpawner, ToSpawner } from './messages.ts';

/** A spawner without runs ends within milliseconds; after this long it is killed. */
const END_MS = 10_000;

interface Run {
  readonly options: ExecOptions;
  memoryBytes: number;
  ended(result: ExecResult): void;
  notStarted(reason: string): void;
}

/**
 * A small process that starts programs for this one. The start of a program holds a process up for as long as the copying of its page
 * tables takes, tens of milliseconds for one with a gigabyte (docs/performance.md). It is started with the first program, and again after
 * it was killed: what it ran then ended as killed. When this process dies, the spawner ends what it runs.
 */
export class Spawner implements AsyncDisposable {
  readonly #processUrl: URL;
  readonly #runs = new Map<number, Run>();
  #lastRun = 0;
  #process: ChildProcess | undefined;

  /** `processUrl`: spawner-process.ts, or what it is in a bundle. */
  constructor(processUrl = new URL('./spawner-process.ts', import.meta.url)) {
    this.#processUrl = processUrl;
  }

  /** As `exec`. The bytes that `onRunning` gives are those of up to a quarter of a second before. */
  readonly exec: Exec = async (file, args, options) => {
    const { signal, onRunning, onStdoutBytes, onStdoutLine, onStderrLine, whenRead: _, env = process.env, ...plain } = options;
    const outcome = Promise.withResolvers<ExecResult>();
    const run = ++this.#lastRun;
    const running: Run = {
      options,
      memoryBytes: 0,
      ended: outcome.resolve,
      notStarted: (reason) => outcome.reject(notStarted(file, reason)),
    };
    this.#runs.set(run, running);
    const stdout = onStdoutBytes !== undefined ? 'bytes' : onStdoutLine !== undefined ? 'lines' : 'not';
    const told = { memory: onRunning !== undefined, stdout, stderr: onStderrLine !== undefined } as const;
    const onAbort = (): void => this.#tell({ kind: 'abort', run });
    try {
      this.#process ??= this.#start();
      this.#tell({ kind: 'run', run, file, args, options: { ...plain, env: { ...env } }, told });
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
      onRunning?.(() => running.memoryBytes);
      return await outcome.promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      running.memoryBytes = 0;
      this.#runs.delete(run);
    }
  };

  #tell(message: ToSpawner): void {
    // One that has ended answers nothing: `exit` follows.
    if (this.#process?.connected === true) this.#process.send(message, undefined, undefined, () => undefined);
  }

  #start(): ChildProcess {
    const child = fork(this.#processUrl, { serialization: 'advanced', detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
    child.on('message', (message: FromSpawner) => this.#hear(message));
    child.once('error', (error) => this.#lost(child, error.message));
    child.once('exit', (code, signal) => this.#lost(child, signal ?? `exit status ${code}`));
    return child;
  }

  #hear(message: FromSpawner): void {
    const { run } = message;
    const running = this.#runs.get(run);
    if (running === undefined) return;
    switch (message.kind) {
      case 'memory':
        running.memoryBytes = message.bytes;
        return;
      case 'lines': {
        const take = message.stream === 'stdout' ? running.options.onStdoutLine : running.options.onStderrLine;
        let length = 0;
        for (const line of message.lines) {
          length += line.length + 1;
          take?.(line);
        }
        this.#tell({ kind: 'taken', run, length });
        return;
      }
      case 'bytes': {
        const { length } = message.bytes;
        running.options.onStdoutBytes?.(message.bytes);
        const taken = (): void => this.#tell({ kind: 'taken', run, length });
        const until = running.options.whenRead?.();
        if (until === undefined) taken();
        else void until.finally(taken);
        return;
      }
      case 'ended':
        return running.ended(message.result);
      case 'not-started':
        return running.notStarted(message.reason);
    }
  }

  /** What it ran has ended with it, or nobody will say how. */
  #lost(child: ChildProcess, how: string): void {
    if (this.#process !== child) return;
    this.#process = undefined;
    const stderr = `the process that starts programs ended: ${how}`;
    for (const run of this.#runs.values()) run.ended({ end: 'killed', exitCode: -1, signal: 'SIGKILL', stdout: '', stderr, durationMs: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
    if (child.connected) child.disconnect();
    await ended;
    clearTimeout(timer);
  }
}

function notStarted(file: string, reason: string): FloeError {
  return new FloeError('EXEC_NOT_STARTED', `${file} could not be started`, { data: { file }, cause: new Error(reason) });
}
