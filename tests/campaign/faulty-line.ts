import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';

/** The faults of a network connection. */
export type LineFault = 'cut' | 'freeze' | 'slow' | 'half-close' | 'reset-once';

export type Target = { readonly port: number } | { readonly path: string };

const SLOW_BYTES = 512;
const SLOW_EVERY_MS = 20;

/**
 * A TCP connection between two programs, with faults on demand. It never changes, duplicates or reorders a byte, which TCP
 * guarantees, and does everything that TCP does not exclude.
 */
export class FaultyLine implements AsyncDisposable {
  readonly name: string;
  readonly #target: Target;
  readonly #pairs = new Set<{ readonly near: Socket; readonly far: Socket }>();
  readonly #server = createServer({ allowHalfOpen: true }, (near) => this.#take(near));
  #state: 'well' | 'cut' | 'freeze' | 'slow' = 'well';
  #port = 0;

  private constructor(name: string, target: Target) {
    this.name = name;
    this.#target = target;
  }

  static async open(name: string, target: Target, port = 0): Promise<FaultyLine> {
    const line = new FaultyLine(name, target);
    line.#server.listen(port, '127.0.0.1');
    await once(line.#server, 'listening');
    const address = line.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the line has no port');
    line.#port = address.port;
    return line;
  }

  get port(): number {
    return this.#port;
  }

  /** `cut`: new connections fail, and existing ones are reset. `freeze`: data is accepted and not passed on. */
  spoil(fault: LineFault): void {
    if (fault === 'half-close') for (const { near } of this.#pairs) near.end();
    else if (fault === 'reset-once') this.#throwOff();
    else {
      this.#state = fault;
      if (fault === 'cut') this.#throwOff();
      if (fault === 'freeze') for (const pair of this.#pairs) this.#hold(pair);
    }
  }

  heal(): void {
    const was = this.#state;
    this.#state = 'well';
    if (was !== 'freeze') return;
    for (const { near, far } of this.#pairs) {
      near.resume();
      far.resume();
    }
  }

  #throwOff(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  #hold({ near, far }: { readonly near: Socket; readonly far: Socket }): void {
    near.pause();
    far.pause();
  }

  #take(near: Socket): void {
    if (this.#state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ ...this.#target, allowHalfOpen: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => this.#pass(from, to, chunk));
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
    if (this.#state === 'freeze') this.#hold(pair);
  }

  #pass(from: Socket, to: Socket, chunk: Buffer): void {
    if (this.#state !== 'slow') {
      if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => this.#goOn(from));
      }
      return;
    }
    from.pause();
    const rest = [...Array(Math.ceil(chunk.length / SLOW_BYTES)).keys()].map((part) => chunk.subarray(part * SLOW_BYTES, (part + 1) * SLOW_BYTES));
    const step = (): void => {
      // Repaired meanwhile: the rest is passed on immediately, in order.
      const next = this.#state === 'slow' ? rest.shift() : Buffer.concat(rest.splice(0));
      if (to.destroyed || next === undefined) return;
      to.write(next);
      if (rest.length > 0) setTimeout(step, SLOW_EVERY_MS);
      else this.#goOn(from);
    };
    step();
  }

  #goOn(from: Socket): void {
    if (this.#state !== 'freeze') from.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#throwOff();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
