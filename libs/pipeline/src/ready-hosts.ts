/**
 * Takes what becomes ready, one after another, and has it handled together: everything that is ready by then, at most one batch at a time, and
 * never waiting for more. What could not be handled is tried again with the next one that is ready.
 */
export class ReadyHosts<Host> {
  readonly #handle: (hosts: readonly Host[]) => Promise<void>;
  #waiting: Host[] = [];
  #running: Promise<void> | undefined;
  #error: unknown;

  constructor(handle: (hosts: readonly Host[]) => Promise<void>) {
    this.#handle = handle;
  }

  add(...hosts: readonly Host[]): void {
    if (hosts.length === 0) return;
    this.#waiting.push(...hosts);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const hosts = this.#waiting;
      this.#waiting = [];
      try {
        await this.#handle(hosts);
      } catch (error) {
        this.#waiting = [...hosts, ...this.#waiting];
        this.#error = error;
        break;
      }
    }
    this.#running = undefined;
  }

  /** Resolves when all were handled; rejects with the reason why some could not be. */
  async end(): Promise<void> {
    await this.#running;
    if (this.#waiting.length > 0) throw this.#error;
  }
}
