import type { IncomingMessage } from 'node:http';
import { background } from '@floe/runtime';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { refuse, RequestBrokenOff } from '../http-error.ts';

/** A body that is being read, or was read and is not judged yet. */
export interface HeldBody extends Disposable {
  /** Resolves when it was evicted. */
  readonly evicted: Promise<'evicted'>;
  /** Counts more bytes. False when this body was evicted. */
  grow(bytes: number): boolean;
}

/**
 * How many bytes of bodies of unknown senders the server holds at a time. When they are too many the largest body is evicted, so
 * that senders of little, such as forges and agents, get past those who try to fill the memory.
 */
export class BodyBudget {
  readonly #limit: number;
  readonly #held = new Map<(outcome: 'evicted') => void, number>();
  #total = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get heldBytes(): number {
    return this.#total;
  }

  hold(): HeldBody {
    const { promise, resolve } = Promise.withResolvers<'evicted'>();
    this.#held.set(resolve, 0);
    return {
      evicted: promise,
      grow: (bytes) => {
        const before = this.#held.get(resolve);
        if (before === undefined) return false;
        this.#held.set(resolve, before + bytes);
        this.#total += bytes;
        while (this.#total > this.#limit) this.#evictLargest();
        return this.#held.has(resolve);
      },
      [Symbol.dispose]: () => this.#release(resolve),
    };
  }

  #evictLargest(): void {
    let largest: { readonly resolve: (outcome: 'evicted') => void; readonly bytes: number } | undefined;
    for (const [resolve, bytes] of this.#held) if (bytes > (largest?.bytes ?? 0)) largest = { resolve, bytes };
    if (largest === undefined) return;
    this.#release(largest.resolve);
    largest.resolve('evicted');
  }

  #release(resolve: (outcome: 'evicted') => void): void {
    this.#total -= this.#held.get(resolve) ?? 0;
    this.#held.delete(resolve);
  }
}

/** The minimum cost of a body while it is read. */
const FIRST_BYTES = 2 * 1024;

type ReadBody = { readonly kind: 'read'; readonly bytes: Uint8Array<ArrayBuffer> } | { readonly kind: 'too-large' } | { readonly kind: 'evicted' };

async function read(c: Context, maxBytes: number, held: HeldBody): Promise<ReadBody> {
  // An announced length is judged before anything is read.
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) return { kind: 'too-large' };
  const pieces = piecesOf(c);
  // One buffer that grows: a body in chunks of a byte each would take some hundred times its length as a list of them.
  let buffer = new Uint8Array(Math.min(maxBytes, FIRST_BYTES));
  let size = 0;
  let refusal: 'too-large' | 'evicted' | undefined = held.grow(buffer.length) ? undefined : 'evicted';
  function take(piece: Uint8Array): boolean {
    const needed = size + piece.length;
    if (needed > maxBytes) refusal = 'too-large';
    else if (needed > buffer.length) {
      const grown = Math.min(maxBytes, Math.max(needed, buffer.length * 2));
      if (held.grow(grown - buffer.length)) {
        const larger = new Uint8Array(grown);
        larger.set(buffer.subarray(0, size));
        buffer = larger;
      } else refusal = 'evicted';
    }
    if (refusal !== undefined) return false;
    buffer.set(piece, size);
    size = needed;
    return true;
  }
  if (refusal === undefined) refusal = (await pieces(take, held.evicted)) ?? refusal;
  return refusal === undefined ? { kind: 'read', bytes: buffer.subarray(0, size) } : { kind: refusal };
}

/** Passes each chunk of the body to `take`, until the end, until it returns false, or until the body is evicted. */
type Pieces = (take: (piece: Uint8Array) => boolean, evicted: HeldBody['evicted']) => Promise<'evicted' | undefined>;

function piecesOf(c: Context): Pieces {
  const incoming = (c.env as Partial<HttpBindings> | undefined)?.incoming;
  return incoming === undefined ? webPieces(c.req.raw.body) : nodePieces(incoming);
}

/** Directly from Node: a web stream would queue some hundred bytes for each chunk. */
function nodePieces(incoming: IncomingMessage): Pieces {
  return async (take, evicted) =>
    await new Promise((resolve, reject) => {
      const finish = (outcome: 'evicted' | undefined): void => {
        incoming.off('data', onData);
        incoming.pause();
        resolve(outcome);
      };
      const onData = (piece: Uint8Array): void => {
        if (!take(piece)) finish(undefined);
      };
      incoming.on('data', onData);
      incoming.once('end', () => finish(undefined));
      incoming.once('error', reject);
      incoming.once('close', () => reject(new RequestBrokenOff()));
      evicted.then(finish, reject);
    });
}

function webPieces(body: ReadableStream<Uint8Array> | null): Pieces {
  return async (take, evicted) => {
    const reader = body?.getReader();
    if (reader === undefined) return undefined;
    for (;;) {
      const reading = reader.read();
      const next = await Promise.race([reading, evicted]);
      if (next === 'evicted') {
        background(reading, () => undefined);
        return 'evicted';
      }
      if (next.done || !take(next.value)) return undefined;
    }
  };
}

/**
 * Reads the body of a request of an unknown sender, within its own limit and that of all such bodies, and keeps it counted until
 * the request is answered. Later readers of the body get these bytes.
 */
export function strangersBody(maxBytes: number, budget: BodyBudget) {
  return createMiddleware(async (c, next) => {
    using held = budget.hold();
    const body = await read(c, maxBytes, held);
    // The adaptor discards the rest for a moment, so that a client that is still sending gets the answer.
    if (body.kind === 'too-large') return refuse(c, 413, 'BODY_TOO_LARGE', `the body is larger than ${maxBytes} bytes`);
    if (body.kind === 'evicted') {
      c.header('retry-after', '10');
      return refuse(c, 503, 'BODIES_TOO_MANY', 'the server holds too many large bodies that are not judged yet: try again');
    }
    const { url, method, headers } = c.req.raw;
    c.req.raw = new Request(url, { method, headers, body: body.bytes });
    return await next();
  });
}

const MAX_MEMBERS_BYTES = 64 * 1024;

/** The limit of an authenticated client's body. */
export function membersBody(maxSize: number = MAX_MEMBERS_BYTES) {
  return bodyLimit({ maxSize, onError: (c) => refuse(c, 413, 'BODY_TOO_LARGE', `the body is larger than ${maxSize} bytes`) });
}
