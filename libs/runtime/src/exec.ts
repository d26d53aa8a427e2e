import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { MAX_TIMER_MS } from './clock.ts';
import { FloeError } from './errors.ts';
import { ControlGroup, type TreeLimits } from './exec-cgroup.ts';
import { LineSplitter, Tail } from './exec-output.ts';
import { ProcessTree } from './exec-tree.ts';
import { placeInTree } from './exec-place.ts';

/** For `timeoutMs` of a program that something else ends. Say at the call what that is. */
export const NO_TIME_LIMIT = Number.POSITIVE_INFINITY;

/** What happens to a program that exceeds its output limit: it is killed, or only the end of its output is kept. */
export type BeyondLimit = 'end' | 'cut';

export interface ExecOptions {
  readonly signal?: AbortSignal | undefined;
  /** After this long all processes of the tree get SIGTERM, and SIGKILL `killAfterMs` later. */
  readonly timeoutMs: number;
  /** Default: 5 s. */
  readonly killAfterMs?: number | undefined;
  /** Memory limit of the program and all its descendants together; above it they are killed. Default: no limit. */
  readonly maxMemoryBytes?: number | undefined;
  /** Maximum number of these processes, when `maxMemoryBytes` is given. Default: 4096. */
  readonly maxProcesses?: number | undefined;
  readonly cwd?: string | undefined;
  /** The whole environment of the child. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly stdin?: string | Uint8Array | undefined;
  /** Default: 16 MiB. A program that writes more is killed, because an incomplete answer is useless. */
  readonly maxStdoutBytes?: number | undefined;
  readonly beyondStdout?: BeyondLimit | undefined;
  /** Of the stdout in the result. `latin1`: a character for each byte, for what is no text. Default: utf8. */
  readonly stdoutEncoding?: 'utf8' | 'latin1' | undefined;
  /** Default: 256 KiB, of which the end is kept. */
  readonly maxStderrBytes?: number | undefined;
  readonly beyondStderr?: BeyondLimit | undefined;
  /** Called when the program runs, with a function that returns the bytes that its tree uses at that moment; 0 when it has ended. */
  readonly onRunning?: ((memoryBytes: () => number) => void) | undefined;
  /** Called with each piece of stdout as it arrives. It is then in no line and not in the result, and `maxStdoutBytes` does not apply. */
  readonly onStdoutBytes?: ((bytes: Uint8Array) => void) | undefined;
  /** As `onStderrLine`, of stdout. */
  readonly onStdoutLine?: ((line: string) => void) | undefined;
  /** Called with each complete line of stderr as it arrives; with the beginning of a line longer than `maxLineBytes`. */
  readonly onStderrLine?: ((line: string) => void) | undefined;
  /**
   * Asked after each piece of output: nothing more is read until the promise is settled, so that the program waits. Undefined: at once.
   * Through a spawner it is asked of `onStdoutBytes` alone, with up to a megabyte on its way.
   */
  readonly whenRead?: (() => Promise<void> | undefined) | undefined;
  /** Default 1 MiB. */
  readonly maxLineBytes?: number | undefined;
  /**
   * Whether processes that the program leaves behind when it exits may continue, e.g. daemons that an activation starts. Default:
   * they are killed.
   */
  readonly keepsDaemons?: boolean | undefined;
}

/** Why a program ended: by itself, by a limit or the signal of the options, or by another signal. */
export type ExecEnd = 'exited' | 'timed-out' | 'aborted' | 'killed' | 'out-of-memory' | 'too-many-processes' | 'too-much-output';

export interface ExecResult {
  readonly end: ExecEnd;
  /** -1 unless `end` is 'exited'. */
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
  /** The most bytes that its tree used. Undefined: nobody measured; where no control group counts, it is looked at only where there is a limit. */
  readonly peakMemoryBytes?: number | undefined;
}

/** Runs a program to its end. Injected, so that code around a program can be tested without it. */
export type Exec = (file: string, args: readonly string[], options: ExecOptions) => Promise<ExecResult>;

const KILL_AFTER_MS = 5_000;
const MAX_STDOUT_BYTES = 16 * 1024 * 1024;
const MAX_STDERR_BYTES = 256 * 1024;
const MAX_LINE_BYTES = 1024 * 1024;
/** How long other processes may hold the pipes open after the program itself has ended. */
const PIPE_GRACE_MS = 500;
/** What the program wrote before its end is in the pipes, which take fewer reads than this. */
const LAST_READS = 64;
/** A killed program that still exists after this is stuck in the kernel, and is abandoned. */
const DEATH_GRACE_MS = 2_000;
const WATCH_MS = 100;
const MAX_WATCH_MS = 30_000;
const MAX_PROCESSES = 4096;

/**
 * Runs `file` with `args` (never a shell) in its own session, and waits for its end and, briefly, for that of its pipes. No
 * descendant can delay the result: neither one that leaves its process group nor one that keeps a pipe open. Every exit status is
 * a result. Throws `FloeError('EXEC_NOT_STARTED')` when the program cannot be started.
 */
export const exec: Exec = createExec();

/** `makesGroups: false`: as on a machine where this process may create no control groups. */
export function createExec({ makesGroups = true }: { readonly makesGroups?: boolean } = {}): Exec {
  return async (file, args, options) => {
    const group = makesGroups ? ControlGroup.create(limitsOf(options)) : undefined;
    try {
      return await new Execution(file, args, options, group).result;
    } catch (cause) {
      group?.tryRemove();
      throw new FloeError('EXEC_NOT_STARTED', `${file} could not be started`, { data: { file }, cause });
    }
  };
}

/** One run of a program. */
class Execution {
  readonly result: Promise<ExecResult>;
  readonly #options: ExecOptions;
  readonly #startedAt = performance.now();
  readonly #child: ChildProcess;
  readonly #stdout: Tail;
  readonly #stderr: Tail;
  readonly #stdoutLines: LineSplitter | undefined;
  readonly #stderrLines: LineSplitter | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #outcome = Promise.withResolvers<ExecResult>();
  #tree: ProcessTree | undefined;
  #received = 0;
  /** Pipes that are not read at the moment. */
  #slowed = 0;
  #end: ExecEnd | undefined;
  #exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;
  /** It was asked to end, and is not killed yet. */
  #mayTidyUp = false;
  #isFinished = false;

  constructor(file: string, args: readonly string[], options: ExecOptions, group: ControlGroup | undefined) {
    this.result = this.#outcome.promise;
    this.#options = options;
    this.#stdout = new Tail(options.maxStdoutBytes ?? MAX_STDOUT_BYTES);
    this.#stderr = new Tail(options.maxStderrBytes ?? MAX_STDERR_BYTES);
    this.#stdoutLines = linesOf(options.onStdoutLine, options);
    this.#stderrLines = linesOf(options.onStderrLine, options);
    const marker = group === undefined ? randomUUID() : undefined;
    const env = options.env ?? process.env;
    const launch = placeInTree([file, ...args], { env, cwd: options.cwd, group, maxMemoryBytes: options.maxMemoryBytes });
    this.#child = spawn(launch.file, launch.args, {
      cwd: options.cwd,
      env: marker === undefined ? env : { ...env, EXECUTION_ID: marker },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child.once('error', (error) => this.#fail(error));
    const { pid } = this.#child;
    if (pid === undefined) return;
    const tree = new ProcessTree(pid, { group, marker, limits: limitsOf(options) });
    this.#tree = tree;
    this.#follow();
    options.onRunning?.(() => (this.#isFinished ? 0 : tree.memoryBytes()));
  }

  #follow(): void {
    const { signal, stdin = '', onStdoutBytes, beyondStdout = 'end', beyondStderr = 'cut', timeoutMs } = this.#options;
    const { stdin: input, stdout, stderr } = this.#child;
    stdout?.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      if (onStdoutBytes === undefined) {
        this.#stdout.push(chunk);
        this.#stdoutLines?.push(chunk);
      } else onStdoutBytes(chunk);
      if (beyondStdout === 'end' && this.#stdout.isCut) this.#stop('too-much-output');
      this.#slow(stdout);
    });
    stderr?.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#stderr.push(chunk);
      this.#stderrLines?.push(chunk);
      if (beyondStderr === 'end' && this.#stderr.isCut) this.#stop('too-much-output');
      this.#slow(stderr);
    });
    // A broken pipe is not an error of its own: the program's exit status counts.
    for (const stream of [input, stdout, stderr]) stream?.on('error', () => undefined);
    input?.end(stdin);
    this.#child.once('exit', (code, name) => this.#exited(code, name));
    this.#child.once('close', () => this.#closed());
    if (timeoutMs <= MAX_TIMER_MS) this.#later(timeoutMs, () => this.#stop('timed-out'));
    if (this.#tree?.watch !== 'not') this.#watch(WATCH_MS);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  #slow(stream: Readable): void {
    const until = this.#options.whenRead?.();
    if (until === undefined) return;
    stream.pause();
    this.#slowed++;
    void until.finally(() => {
      this.#slowed--;
      stream.resume();
    });
  }

  readonly #onAbort = (): void => this.#stop('aborted');

  #watch(everyMs: number): void {
    this.#later(everyMs, () => {
      const excess = this.#tree?.look();
      if (excess !== undefined) this.#stop(excess === 'memory' ? 'out-of-memory' : 'too-many-processes');
      // Reading /proc constantly would drain a laptop's battery, and most members of a tree are known early.
      else this.#watch(this.#tree?.watch === 'closely' ? everyMs : Math.min(2 * everyMs, MAX_WATCH_MS));
    });
  }

  /** Ends all processes of the tree: with time to clean up, or immediately where they already exceed a limit. */
  #stop(reason: ExecEnd): void {
    if (this.#end !== undefined) return;
    if (this.#exit !== undefined) {
      // It ended by itself before. Its output may still exceed the limit.
      if (reason !== 'too-much-output') return;
      this.#end = reason;
      void this.#finish();
      return;
    }
    this.#end = reason;
    if (reason === 'timed-out' || reason === 'aborted') {
      this.#mayTidyUp = true;
      this.#tree?.terminate();
      this.#later(this.#options.killAfterMs ?? KILL_AFTER_MS, () => this.#kill());
    } else {
      this.#kill();
    }
  }

  #kill(): void {
    this.#mayTidyUp = false;
    if (this.#exit === undefined) {
      this.#tree?.kill();
      this.#later(DEATH_GRACE_MS, () => void this.#finish());
    } else {
      void this.#finish();
    }
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    this.#exit = { code, signal };
    if (this.#mayTidyUp) this.#finishWhenEmpty();
    else this.#later(PIPE_GRACE_MS, () => this.#readRest(this.#received, LAST_READS));
  }

  #closed(): void {
    if (!this.#mayTidyUp) void this.#finish();
  }

  /** The program has ended; its descendants have until the kill. */
  #finishWhenEmpty(): void {
    if (this.#tree?.hasMembers({ isSuspected: true }) !== true) void this.#finish();
    else this.#later(WATCH_MS, () => this.#finishWhenEmpty());
  }

  /** On a loaded machine the program's own output may not have been read yet. */
  #readRest(received: number, reads: number): void {
    setImmediate(() => {
      if (this.#isFinished) return;
      if (this.#slowed > 0) this.#later(PIPE_GRACE_MS, () => this.#readRest(this.#received, LAST_READS));
      else if (this.#received === received || reads === 0) void this.#finish();
      else this.#readRest(this.#received, reads - 1);
    });
  }

  #later(afterMs: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, afterMs);
    this.#timers.add(timer);
  }

  async #finish(): Promise<void> {
    if (!this.#close()) return;
    const { code = null, signal = null } = this.#exit ?? {};
    let end = this.#end ?? (signal === null ? 'exited' : 'killed');
    if (end === 'killed' && this.#tree?.wasOutOfMemory() === true) end = 'out-of-memory';
    const isSuspected = end !== 'exited' || this.#child.stdout?.closed !== true || this.#child.stderr?.closed !== true;
    for (const stream of this.#child.stdio) stream?.destroy();
    const peakMemoryBytes = this.#tree?.peakBytes();
    if (end === 'exited' && this.#options.keepsDaemons === true) this.#tree?.hasMembers({ isSuspected: false });
    else await this.#tree?.clear(DEATH_GRACE_MS, { isSuspected });
    this.#child.unref();
    this.#stdoutLines?.end();
    this.#stderrLines?.end();
    this.#outcome.resolve({
      end,
      exitCode: end === 'exited' && code !== null ? code : -1,
      signal,
      stdout: this.#stdout.text(this.#options.stdoutEncoding),
      stderr: this.#stderr.text(),
      durationMs: performance.now() - this.#startedAt,
      peakMemoryBytes,
    });
  }

  #fail(error: Error): void {
    if (this.#close()) this.#outcome.reject(error);
  }

  /** False when it was closed before. */
  #close(): boolean {
    if (this.#isFinished) return false;
    this.#isFinished = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    return true;
  }
}

function limitsOf({ maxMemoryBytes, maxProcesses = MAX_PROCESSES }: ExecOptions): TreeLimits | undefined {
  return maxMemoryBytes === undefined ? undefined : { maxMemoryBytes, maxProcesses };
}

function linesOf(onLine: ((line: string) => void) | undefined, { maxLineBytes = MAX_LINE_BYTES }: ExecOptions): LineSplitter | undefined {
  return onLine === undefined ? undefined : new LineSplitter(maxLineBytes, onLine);
}
