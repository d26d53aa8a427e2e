import type { Duplex } from 'node:stream';
import { setImmediate as afterOthers, setTimeout as delay } from 'node:timers/promises';
import { CLOSE_CODES, type ServerMessage } from '@floe/protocol';
import { background, TokenBucket, type Clock } from '@floe/runtime';
import type { WebSocket } from 'ws';

/** A socket with this much unsent data is closed: its reader is too slow or gone. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How long the other side has to answer a close. */
const CLOSE_GRACE_MS = 2_000;
/** Number of messages that are dropped while the socket closes; a sender of more is cut off. */
const MAX_LATE_MESSAGES = 64;
/** Heartbeats come four times a minute from each side. A pong is a write that the other side may never read. */
const CONTROL_FRAMES = { burst: 30, perSecond: 1 } as const;

/** Handles one frame; undefined: it was not text. The next frame is read when it is done. */
export type TakeFrame = (frame: string | undefined) => Promise<void>;

/**
 * A WebSocket with limits in both directions: one message is handled at a time, and no more is read meanwhile; unsent data is
 * limited; a silent socket is closed; nothing is handled after it begins to close.
 */
export class AgentSocket {
  /** Resolves with the close code when the socket is closed; never rejects. */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  readonly #frames: (string | undefined)[] = [];
  #isOpen = true;
  /** Made when somebody waits for it: most connections never need one, and to abort it takes longer than all else about their end. */
  #closing: AbortController | undefined;
  #take: TakeFrame = async () => await Promise.resolve();
  #failed: (error: unknown) => void = () => undefined;
  #isTaking = false;
  #lateMessages = 0;
  #silentBeats = 0;

  constructor(socket: WebSocket, clock: Clock) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('close', (code) => {
        this.#end();
        resolve(code);
      });
    });
    const controls = new TokenBucket(CONTROL_FRAMES, clock);
    const onControl = (): boolean => {
      this.touch();
      const isWelcome = this.isOpen && controls.tryTake();
      if (!isWelcome && this.isOpen) this.close(CLOSE_CODES.badMessage, 'too many pings');
      return isWelcome;
    };
    socket.on('pong', onControl);
    socket.on('ping', (data) => {
      if (onControl() && socket.bufferedAmount < MAX_BUFFERED_BYTES) socket.pong(data, false, () => undefined);
    });
    socket.on('message', (data, isBinary) => {
      this.#receive(isBinary || !Buffer.isBuffer(data) ? undefined : data.toString('utf8'));
    });
  }

  /** Neither closed nor closing. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Aborts when the socket begins to close. */
  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    if (!this.#isOpen) this.#closing.abort();
    return this.#closing.signal;
  }

  /** Passes frames to `take` from now on, and its errors to `failed`. */
  read(take: TakeFrame, failed: (error: unknown) => void): void {
    this.#take = take;
    this.#failed = failed;
  }

  /** Records that the other side sent something. */
  touch(): void {
    this.#silentBeats = 0;
  }

  /** Called with every heartbeat: pings who said nothing since the last one, and closes a socket that was silent for three beats. */
  beat(): void {
    if (!this.isOpen) return;
    // Nothing is read while a message is handled, so silence means nothing then.
    if (!this.#isTaking) this.#silentBeats += 1;
    if (this.#silentBeats > 3) this.cut();
    // An agent pings as often, and knows by the answers that the server is there. While nothing is read it gets none.
    else if (this.#isTaking || this.#silentBeats > 1) this.ping();
  }

  ping(): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping(undefined, false, () => undefined);
  }

  /** Resolves to true when the other side answers a ping within `timeoutMs`. */
  async answersWithin(timeoutMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const answered = (): void => resolve(true);
    this.#socket.once('pong', answered);
    this.ping();
    const late = setTimeout(() => resolve(false), timeoutMs);
    const ended = (): void => resolve(false);
    this.#socket.once('close', ended);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#socket.off('pong', answered);
      this.#socket.off('close', ended);
    }
  }

  /** False when it was not sent, because the socket is closing, or because its reader is too slow, which closes it. */
  send(message: ServerMessage): boolean {
    if (!this.isOpen || this.#socket.readyState !== this.#socket.OPEN) return false;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.close(CLOSE_CODES.tooSlow, 'too slow');
      return false;
    }
    this.#socket.send(JSON.stringify(message), () => undefined);
    return true;
  }

  /** Sends the reason, then closes. Cuts the connection when the other side does not answer the close in time. */
  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.#end();
    // The answer to the close must be read, although nothing else is handled.
    this.#socket.resume();
    this.#socket.close(code, reason.slice(0, 100));
    const late = setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS);
    this.#socket.once('close', () => clearTimeout(late));
  }

  /** Closes the connection immediately, without a close frame. */
  cut(): void {
    this.#end();
    this.#socket.terminate();
  }

  /** Waits, unless the socket begins to close. */
  async sleep(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.closing }).catch(() => undefined);
  }

  /** Closes the socket, and stops reading, when more than `bytes` arrive. Returns a function that lifts the limit. */
  limitBytes(raw: Duplex, bytes: number): () => void {
    let left = bytes;
    const count = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left >= 0) return;
      this.close(CLOSE_CODES.badMessage, `more than ${bytes} bytes before the welcome`);
      this.#socket.pause();
    };
    raw.on('data', count);
    return () => void raw.off('data', count);
  }

  #end(): void {
    this.#isOpen = false;
    this.#closing?.abort();
    this.#frames.length = 0;
  }

  #receive(frame: string | undefined): void {
    if (!this.isOpen) {
      this.#lateMessages += 1;
      if (this.#lateMessages > MAX_LATE_MESSAGES) this.#socket.terminate();
      return;
    }
    this.touch();
    this.#frames.push(frame);
    if (this.#isTaking) return;
    this.#socket.pause();
    background(this.#takeAll(), this.#failed);
  }

  /**
   * The messages of one packet are handled one by one; then the socket is read again. Between two of them everything else has its turn: with
   * the embedded database a message may be handled without one wait for the kernel, and thousands of them fit into one packet.
   */
  async #takeAll(): Promise<void> {
    this.#isTaking = true;
    try {
      while (this.isOpen && this.#frames.length > 0) {
        await this.#take(this.#frames.shift());
        if (this.#frames.length > 0) await afterOthers();
      }
    } finally {
      this.#isTaking = false;
      this.#frames.length = 0;
      if (this.isOpen) this.#socket.resume();
    }
  }
}
