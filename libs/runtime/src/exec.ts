import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { MAX_TIMER_MS } from './clock.ts';
import { FloeError } from './errors.ts';
import { ControlGroup, type TreeLimits } from './exec-cgroup.ts';
import { LineSplitter, Tail } from './exec-output.ts';
import { ProcessTree } from './exec-tree.ts';
import { placeInTree } from './exec-place.ts';

/** For `timeoutMs` of a program that something else ends: say at the call what that is. */
export const NO_TIME_LIMIT = Number.POSITIVE_INFINITY;

/** What becomes of a program that writes more than it may: it is ended, or only the end of its output is kept. */
export type BeyondLimit = 'end' | 'cut';

export interface ExecOptions {
  readonly signal?: AbortSignal | undefined;
  /** After this long all processes of the tree get SIGTERM, and SIGKILL `killAfterMs` later. */
  readonly timeoutMs: number;
  /** Default 5 s. */
  readonly killAfterMs?: number | undefined;
  /** Memory of the program and all processes that come from it, together. Above it they are killed. Default: no limit. */
  readonly maxMemoryBytes?: number | undefined;
  /** How many processes they may be, where `maxMemoryBytes` is given. Default 4096. */
  readonly maxProcesses?: number | undefined;
  readonly cwd?: string | undefined;
  /** The whole environment of the child. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly stdin?: string | undefined;
  /** Default 16 MiB; a program that writes more is ended, because half an answer is none. */
  readonly maxStdoutBytes?: number | undefined;
  readonly beyondStdout?: BeyondLimit | undefined;
  /** Default 256 KiB, of which the end is kept. */
  readonly maxStderrBytes?: number | undefined;
  readonly beyondStderr?: BeyondLimit | undefined;
  /** Called with each whole line of stderr, as it comes; of a line above `maxLineBytes` with its beginning. */
  readonly onStderrLine?: ((line: string) => void) | undefined;
  /** Default 1 MiB. */
  readonly maxLineBytes?: number | undefined;
  /**
   * Whether processes that the program leaves behind when it ends by itself may go on, e.g. daemons that an activation starts.
   * Default: they are killed.
   */
  readonly keepsDaemons?: boolean | undefined;
}

/** Why a program ended: by itself, by one of our limits or our signal, or by a signal from elsewhere. */
export type ExecEnd = 'exited' | 'timed-out' | 'aborted' | 'killed' | 'out-of-memory' | 'too-many-processes' | 'too-much-output';

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
export type Exec = (file: string, args: readonly string[], options: ExecOptions) => Promise<ExecResult>;

const KILL_AFTER_MS = 5_000;
const MAX_STDOUT_BYTES = 16 * 1024 * 1024;
const MAX_STDERR_BYTES = 256 * 1024;
const MAX_LINE_BYTES = 1024 * 1024;
/** How long others may hold the pipes open once the program itself has ended. */
const PIPE_GRACE_MS = 500;
/** What the program wrote before its end is in the pipes, which hold less than so many reads. */
const LAST_READS = 64;
/** A killed program that is still there after this is stuck in the kernel: it is left. */
const DEATH_GRACE_MS = 2_000;
const WATCH_MS = 100;
const MAX_WATCH_MS = 30_000;
const MAX_PROCESSES = 4096;

/**
 * Runs `file` with `args` (never a shell) in a session of its own, and waits for its end and, briefly, for its pipes'. No
 * process that comes from it can hold up the result: neither one that leaves its process group nor one that keeps a pipe
 * open. Any exit status is a result; only a program that cannot be started throws: `FloeError('EXEC_NOT_STARTED')`.
 */
export const exec: Exec = createExec();

/** `makesGroups: false`: as on a machine where this process may make no control groups. */
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
  readonly #lines: LineSplitter | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #outcome = Promise.withResolvers<ExecResult>();
  #tree: ProcessTree | undefined;
  #received = 0;
  #end: ExecEnd | undefined;
  #exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;
  /** It was asked to end, and not yet killed. */
  #mayTidyUp = false;
  #isFinished = false;

  constructor(file: string, args: readonly string[], options: ExecOptions, group: ControlGroup | undefined) {
    this.result = this.#outcome.promise;
    this.#options = options;
    this.#stdout = new Tail(options.maxStdoutBytes ?? MAX_STDOUT_BYTES);
    this.#stderr = new Tail(options.maxStderrBytes ?? MAX_STDERR_BYTES);
    if (options.onStderrLine !== undefined) this.#lines = new LineSplitter(options.maxLineBytes ?? MAX_LINE_BYTES, options.onStderrLine);
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
    this.#tree = new ProcessTree(pid, { group, marker, limits: limitsOf(options) });
    this.#follow();
  }

  #follow(): void {
    const { signal, stdin = '', beyondStdout = 'end', beyondStderr = 'cut', timeoutMs } = this.#options;
    const { stdin: input, stdout, stderr } = this.#child;
    stdout?.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#stdout.push(chunk);
      if (beyondStdout === 'end' && this.#stdout.isCut) this.#stop('too-much-output');
    });
    stderr?.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#stderr.push(chunk);
      this.#lines?.push(chunk);
      if (beyondStderr === 'end' && this.#stderr.isCut) this.#stop('too-much-output');
    });
    // A pipe that breaks is no failure of its own: the program's exit status tells.
    for (const stream of [input, stdout, stderr]) stream?.on('error', () => undefined);
    input?.end(stdin);
    this.#child.once('exit', (code, name) => this.#exited(code, name));
    this.#child.once('close', () => this.#closed());
    if (timeoutMs <= MAX_TIMER_MS) this.#later(timeoutMs, () => this.#stop('timed-out'));
    if (this.#tree?.watch !== 'not') this.#watch(WATCH_MS);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  readonly #onAbort = (): void => this.#stop('aborted');

  #watch(everyMs: number): void {
    this.#later(everyMs, () => {
      const excess = this.#tree?.look();
      if (excess !== undefined) this.#stop(excess === 'memory' ? 'out-of-memory' : 'too-many-processes');
      // A look into /proc, all day long, costs a laptop its battery: most of a tree is known early.
      else this.#watch(this.#tree?.watch === 'closely' ? everyMs : Math.min(2 * everyMs, MAX_WATCH_MS));
    });
  }

  /** Ends all processes of the tree: at leisure where they may tidy up, at once where they cost too much already. */
  #stop(reason: ExecEnd): void {
    if (this.#end !== undefined) return;
    if (this.#exit !== undefined) {
      // It ended by itself before. What it wrote may still be too much.
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

  /** The program obeyed; what came from it has until the kill. */
  #finishWhenEmpty(): void {
    if (this.#tree?.hasMembers({ isSuspected: true }) !== true) void this.#finish();
    else this.#later(WATCH_MS, () => this.#finishWhenEmpty());
  }

  /** On a machine under load, what the program itself wrote may not have been read yet. */
  #readRest(received: number, reads: number): void {
    setImmediate(() => {
      if (this.#isFinished) return;
      if (this.#received === received || reads === 0) void this.#finish();
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
    if (end === 'exited' && this.#options.keepsDaemons === true) this.#tree?.hasMembers({ isSuspected: false });
    else await this.#tree?.clear(DEATH_GRACE_MS, { isSuspected });
    this.#child.unref();
    this.#lines?.end();
    this.#outcome.resolve({
      end,
      exitCode: end === 'exited' && code !== null ? code : -1,
      signal,
      stdout: this.#stdout.text(),
      stderr: this.#stderr.text(),
      durationMs: performance.now() - this.#startedAt,
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
