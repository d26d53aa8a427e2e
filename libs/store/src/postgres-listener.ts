import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import { translateError } from './errors.ts';
import { PostgresLine, type PostgresAddress } from './postgres-line.ts';

/** Between two tries while the database is away: hints that are missed meanwhile are found by polling. */
const RETRY_MS = { first: 100, most: 5_000 };

/** A connection of its own that hears the notifications of one channel, and is made anew whenever it is lost. */
export class PostgresListener implements AsyncDisposable {
  readonly #address: PostgresAddress;
  readonly #channel: string;
  readonly #deps: { readonly clock: Clock; readonly logger: Logger };
  readonly #callbacks = new Set<(payload: string) => void>();
  readonly #stopping = new AbortController();
  readonly #firstTry = Promise.withResolvers<void>();
  #line: PostgresLine | undefined;
  #running: Promise<void> | undefined;

  constructor(address: PostgresAddress, channel: string, deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.#address = address;
    this.#channel = channel;
    this.#deps = deps;
  }

  /** Calls back until disposed. Resolves when the channel is heard, or the database was found to be away. */
  async add(onPayload: (payload: string) => void): Promise<AsyncDisposable> {
    // A function of its own, so that the same callback can be added twice.
    const callback = (payload: string): void => onPayload(payload);
    this.#callbacks.add(callback);
    this.#running ??= this.#run();
    await this.#firstTry.promise;
    return {
      [Symbol.asyncDispose]: async () => {
        this.#callbacks.delete(callback);
        await Promise.resolve();
      },
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let pauseMs = RETRY_MS.first;
    while (!signal.aborted) {
      try {
        this.#line = await PostgresLine.open(this.#address, (_channel, payload) => {
          for (const callback of this.#callbacks) callback(payload);
        });
        await this.#line.run(async (client) => await client.unsafe(`listen "${this.#channel}"`));
        this.#firstTry.resolve();
        pauseMs = RETRY_MS.first;
        if (!signal.aborted) await this.#line.untilLost();
      } catch (error) {
        this.#firstTry.resolve();
        this.#line?.lose(new Error('listening failed', { cause: error }));
        const failure = translateError(error, false, 'listen');
        if (!isFloeError(failure) || !failure.retryable) this.#deps.logger.error('the database refuses to notify; trying again', { error: failure });
      }
      if (signal.aborted) break;
      await this.#deps.clock.sleep(pauseMs, signal);
      pauseMs = Math.min(RETRY_MS.most, pauseMs * 2);
    }
    await this.#line?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#line?.lose(new Error('the listener was ended'));
    await this.#running;
  }
}
