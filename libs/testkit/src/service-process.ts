import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Patience } from './patience.ts';

export interface ServiceOptions {
  readonly name: string;
  /** Path of the TypeScript or JavaScript file that Node runs. */
  readonly main: string;
  readonly args?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Called with each line that the service writes to stderr. */
  readonly onLine?: (line: string) => void;
  /** Called with each line that it writes to stdout; without it stdout is thrown away. */
  readonly onOutput?: (line: string) => void;
}

/** A Floe program as a process of its own, that can be stopped, killed and started again. */
export class ServiceProcess implements AsyncDisposable {
  readonly #options: ServiceOptions;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #child: ChildProcess | undefined;
  #ended: Promise<number | NodeJS.Signals> | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What Node is started with. */
  get command(): readonly string[] {
    return [this.#options.main, ...(this.#options.args ?? [])];
  }

  get env(): NodeJS.ProcessEnv {
    // Starts cost less when what was compiled once is kept.
    return { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], ...this.#options.env };
  }

  /** The last lines of its log. */
  log(): string {
    return this.#lines.join('\n');
  }

  start(env: NodeJS.ProcessEnv = {}): void {
    if (this.isRunning) throw new Error(`${this.#options.name} already runs`);
    const child = spawn(process.execPath, [...this.command], {
      env: { ...this.env, ...env },
      stdio: ['ignore', this.#options.onOutput === undefined ? 'ignore' : 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code ?? -1)));
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#options.onOutput?.(line));
    if (child.stderr !== null)
      createInterface({ input: child.stderr }).on('line', (line) => {
        this.#lines.push(line);
        if (this.#lines.length > 2_000) this.#lines.shift();
        for (const watch of this.#watchers) watch(line);
        this.#options.onLine?.(line);
      });
  }

  /** Ends it with `signal` and waits until it is gone; says how it ended. SIGKILL follows after 15 s. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | undefined> {
    const child = this.#child;
    if (child === undefined) return undefined;
    if (this.isRunning) child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
    const ended = await this.#ended;
    clearTimeout(late);
    return ended;
  }

  /** Sends it a signal without waiting for what comes of it, e.g. to let it hang. */
  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child?.kill(signal);
  }

  /** Kills it (SIGKILL) as soon as it logs a line with `text`; resolves when it is gone. */
  async killAt(text: string): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) throw new Error(`${this.#options.name} does not run`);
    await new Promise<void>((resolve) => {
      const watch = (line: string): void => {
        if (!line.includes(text)) return;
        this.#watchers.delete(watch);
        child.kill('SIGKILL');
        resolve();
      };
      this.#watchers.add(watch);
    });
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

const MIN_PAUSE_MS = 25;
const MAX_PAUSE_MS = 250;

/**
 * Waits until `look` gives something; throws with `what` (and what `explain` says) after `timeoutMs` of an idle machine. Looks more rarely the
 * longer it takes, unless `everyMs` says how often: for what lasts for moments.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  options: { readonly timeoutMs?: number; readonly everyMs?: number; readonly explain?: () => Promise<string> | string } = {},
): Promise<T> {
  const patience = new Patience(options.timeoutMs ?? 60_000);
  const startedAt = performance.now();
  let last: unknown;
  for (;;) {
    const lookedAt = performance.now();
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    if (patience.isOver()) {
      const explanation = options.explain === undefined ? '' : `\n${await options.explain()}`;
      throw new Error(`waited in vain until ${what}${explanation}`, { cause: last });
    }
    const now = performance.now();
    // A look takes time from what it waits for: at most a third of one processor.
    const pauseMs = Math.max(2 * (now - lookedAt), Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, (now - startedAt) / 20)));
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? pauseMs));
  }
}
