import { randomUUID } from 'node:crypto';
import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import { translateError } from './errors.ts';
import { PostgresLine, type PostgresAddress } from './postgres-line.ts';

/** Between two tries while the database is away: hints that are missed meanwhile are found by polling. */
const RETRY_MS = { first: 100, most: 5_000 };
/** So long after we notified ourselves a notification counts as lost, in ms. */
const ECHO_MS = 3_000;
/** How often it is looked whether notifications still come through, in ms. */
const ECHO_EVERY_MS = 60_000;
/** Where none come through, everybody is told to look this often, in ms. */
const POLL_MS = 2_000;

const ECHO = 'echo ';

export interface ListenerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Sends a notification on another connection. */
  readonly notify: (payload: string) => Promise<void>;
  /** What the callbacks get in place of the notifications that do not come through. */
  readonly lookEverywhere: string;
}

/**
 * A connection of its own that hears the notifications of one channel, and is recreated whenever it is lost.
 *
 * That a `listen` was answered does not mean that anything will be heard: a pooler in transaction mode gives it to a
 * connection that is somebody else's a moment later, and a network may have forgotten the connection. So we notify
 * ourselves now and then.
 */
export class PostgresListener implements AsyncDisposable {
  readonly #address: PostgresAddress;
  readonly #channel: string;
  readonly #deps: ListenerDeps;
  readonly #callbacks = new Set<(payload: string) => void>();
  readonly #stopping = new AbortController();
  readonly #firstTry = Promise.withResolvers<void>();
  #line: PostgresLine | undefined;
  #running: Promise<void> | undefined;
  #isDeaf = false;
  #onEcho: ((payload: string) => void) | undefined;

  constructor(address: PostgresAddress, channel: string, deps: ListenerDeps) {
    this.#address = address;
    this.#channel = channel;
    this.#deps = deps;
  }

  /** True when notifications were found not to come through. */
  get isDeaf(): boolean {
    return this.#isDeaf;
  }

  /** Calls back until disposed. Resolves when the channel is listened to, or the database was found to be away. */
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
        const line = await PostgresLine.open(this.#address, (_channel, payload) => this.#take(payload));
        this.#line = line;
        await line.run(async (client) => await client.unsafe(`listen "${this.#channel}"`));
        this.#firstTry.resolve();
        pauseMs = RETRY_MS.first;
        await this.#watch(line);
      } catch (error) {
        this.#firstTry.resolve();
        this.#line?.lose(new Error('listening failed', { cause: error }));
        const failure = translateError(error, false, 'listen');
        if (!isFloeError(failure) || !failure.retryable) this.#deps.logger.error('the database refuses to notify; trying again', { error: failure });
        if (!signal.aborted) await this.#lookIfOnlyWeAreOut();
      }
      if (signal.aborted) break;
      await this.#deps.clock.sleep(pauseMs, signal);
      pauseMs = Math.min(RETRY_MS.most, pauseMs * 2);
    }
    await this.#line?.close();
  }

  /** There may be no place for one more connection, while others work. */
  async #lookIfOnlyWeAreOut(): Promise<void> {
    try {
      await this.#deps.notify('[]');
      this.#noteHeard(false);
      this.#tell(this.#deps.lookEverywhere);
    } catch (error) {
      this.#deps.logger.debug('the database is away', { error });
    }
  }

  #take(payload: string): void {
    if (payload.startsWith(ECHO)) this.#onEcho?.(payload);
    else this.#tell(payload);
  }

  #tell(payload: string): void {
    for (const callback of this.#callbacks) callback(payload);
  }

  /** Returns when the line is lost, or nothing is heard on it any more. */
  async #watch(line: PostgresLine): Promise<void> {
    const lost = new AbortController();
    const untilLost = line.untilLost().then(() => lost.abort());
    const ended = AbortSignal.any([this.#stopping.signal, lost.signal]);
    let wasHeard = false;
    while (!ended.aborted) {
      const isHeard = await this.#hearsItself(ended);
      if (ended.aborted) break;
      if (isHeard === false && wasHeard) {
        line.lose(new Error('notifications do not come through any more'));
        break;
      }
      if (isHeard !== undefined) this.#noteHeard((wasHeard = isHeard));
      const until = this.#deps.clock.monotonic() + ECHO_EVERY_MS;
      while (!ended.aborted && this.#deps.clock.monotonic() < until) {
        await this.#deps.clock.sleep(this.#isDeaf ? POLL_MS : ECHO_EVERY_MS, ended);
        if (this.#isDeaf && !ended.aborted) this.#tell(this.#deps.lookEverywhere);
      }
    }
    // Who stops us loses the line.
    if (!this.#stopping.signal.aborted) await untilLost;
  }

  /** Undefined: the notification could not be sent. */
  async #hearsItself(ended: AbortSignal): Promise<boolean | undefined> {
    const payload = `${ECHO}${randomUUID()}`;
    const heard = new AbortController();
    this.#onEcho = (echo) => {
      if (echo === payload) heard.abort();
    };
    try {
      await this.#deps.notify(payload);
      await this.#deps.clock.sleep(ECHO_MS, AbortSignal.any([ended, heard.signal]));
      return heard.signal.aborted;
    } catch (error) {
      this.#deps.logger.debug('the database was not asked for an echo', { error });
      return undefined;
    } finally {
      this.#onEcho = undefined;
    }
  }

  #noteHeard(isHeard: boolean): void {
    if (this.#isDeaf === !isHeard) return;
    this.#isDeaf = !isHeard;
    if (isHeard) this.#deps.logger.info('the notifications of the database come through again');
    else
      this.#deps.logger.warn(
        'the notifications of the database do not come through (is there a pooler in transaction mode?): it is asked often instead',
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#line?.lose(new Error('the listener was ended'));
    await this.#running;
  }
}
