/** Many share it, or one has it alone. Who waits to have it alone keeps nobody else waiting: a publication may take hours. In one process. */
export class SharedLock {
  #sharers = 0;
  #isAlone = false;
  #changed = Promise.withResolvers<void>();

  async share<T>(work: () => Promise<T>): Promise<T> {
    while (this.#isAlone) await this.#changed.promise;
    this.#sharers += 1;
    try {
      return await work();
    } finally {
      this.#sharers -= 1;
      this.#tell();
    }
  }

  /** Undefined: others had it until `patience` ended. */
  async alone<T>(work: () => Promise<T>, patience: AbortSignal): Promise<T | undefined> {
    const look = (): void => this.#tell();
    patience.addEventListener('abort', look);
    try {
      while (this.#isAlone || this.#sharers > 0) {
        if (patience.aborted) return undefined;
        await this.#changed.promise;
      }
    } finally {
      patience.removeEventListener('abort', look);
    }
    this.#isAlone = true;
    try {
      return await work();
    } finally {
      this.#isAlone = false;
      this.#tell();
    }
  }

  #tell(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
