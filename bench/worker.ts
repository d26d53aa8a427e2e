import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchMessage } from './agents-wire.ts';

/** Every agent is an open file, on both sides. */
const OPEN_FILES = 16_384;
/** Of proc_pid_stat(5). */
const TICK_MS = 10;
/** A process is at rest when it used little in so long: longer than the server's announcer rests between two looks at a large fleet. */
const REST_MS = 5_000;
const SAMPLE_MS = 250;
/** Of a processor. The heartbeats of 10,000 agents take less. */
const RESTING_SHARE = 0.08;

/** A process of the benchmark that talks over Node's channel. */
export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  /** Who waits for a message of a type. */
  readonly #waiting = new Map<string, ((message: BenchMessage | Error) => void)[]>();

  /** `args`: Node's. `log`: the file for what it writes; default: the benchmark's own output. */
  constructor(args: readonly string[], options: { readonly env?: NodeJS.ProcessEnv; readonly log?: string } = {}) {
    const { env = process.env, log } = options;
    const command = [`--nofile=${OPEN_FILES}`, process.execPath, ...args];
    this.#child = spawn('prlimit', command, { env, stdio: ['ignore', 'inherit', log === undefined ? 'inherit' : openSync(log, 'a'), 'ipc'] });
    this.#child.on('message', (message: BenchMessage) => this.#tell(message.type, message));
    this.#child.on('exit', (code) => {
      for (const type of this.#waiting.keys()) this.#tell(type, new Error(`a process of the benchmark ended with status ${code}`));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  send(message: object): void {
    this.#child.send(message);
  }

  /** Its next message of this type. */
  async next<Type extends BenchMessage['type']>(type: Type): Promise<Extract<BenchMessage, { type: Type }>> {
    return await new Promise((resolve, reject) => {
      const take = (message: BenchMessage | Error): void => {
        if (message instanceof Error) reject(message);
        else resolve(message as Extract<BenchMessage, { type: Type }>);
      };
      this.#waiting.set(type, [...(this.#waiting.get(type) ?? []), take]);
    });
  }

  #tell(type: string, message: BenchMessage | Error): void {
    const waiting = this.#waiting.get(type) ?? [];
    this.#waiting.delete(type);
    for (const take of waiting) take(message);
  }

  /** CPU that it used so far, of user and kernel, in ms. */
  async cpuMs(): Promise<number> {
    const text = await readFile(`/proc/${this.pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return TICK_MS * (Number(fields[11]) + Number(fields[12]));
  }

  /** Waits until it is at rest. */
  async untilRest(): Promise<void> {
    const samples: number[] = [];
    for (;;) {
      samples.push(await this.cpuMs());
      const before = samples.at(-1 - REST_MS / SAMPLE_MS);
      const last = samples.at(-1);
      if (before !== undefined && last !== undefined && last - before < RESTING_SHARE * REST_MS) return;
      await delay(SAMPLE_MS);
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}
