import { background } from '@floe/runtime';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { refuse } from '../http-error.ts';

/** A body that is being read, or was and is not judged yet. */
export interface HeldBody extends Disposable {
  /** Resolves when it had to make room. */
  readonly evicted: Promise<'evicted'>;
  /** Counts more bytes. False when this body had to make room. */
  grow(bytes: number): boolean;
}

/**
 * How many bytes of bodies whose sender is not known the server holds at a time. When they are too many the largest body
 * makes room: whoever sends little, as forges and agents do, passes those who want to fill the memory.
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

type ReadBody = { readonly kind: 'read'; readonly bytes: Uint8Array<ArrayBuffer> } | { readonly kind: 'too-large' } | { readonly kind: 'evicted' };

async function read(c: Context, maxBytes: number, held: HeldBody): Promise<ReadBody> {
  // A length that is announced is judged before anything is read.
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) return { kind: 'too-large' };
  const reader = c.req.raw.body?.getReader();
  if (reader === undefined) return { kind: 'read', bytes: new Uint8Array() };
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const reading = reader.read();
    const next = await Promise.race([reading, held.evicted]);
    if (next === 'evicted') {
      background(reading, () => undefined);
      return { kind: 'evicted' };
    }
    if (next.done) return { kind: 'read', bytes: Buffer.concat(chunks, size) };
    size += next.value.length;
    if (size > maxBytes) return { kind: 'too-large' };
    if (!held.grow(next.value.length)) return { kind: 'evicted' };
    chunks.push(next.value);
  }
}

/**
 * Reads the body of a request whose sender nobody knows yet, within its own bound and that of all such bodies, and keeps it
 * counted until the request is answered. What reads the body after this gets the bytes that were read.
 */
export function strangersBody(maxBytes: number, budget: BodyBudget) {
  return createMiddleware(async (c, next) => {
    using held = budget.hold();
    const body = await read(c, maxBytes, held);
    // The rest is not read: the connection is good for nothing more.
    if (body.kind !== 'read') c.header('connection', 'close');
    if (body.kind === 'too-large') return refuse(c, 413, 'BODY_TOO_LARGE', `the body is larger than ${maxBytes} bytes`);
    if (body.kind === 'evicted') {
      c.header('retry-after', '10');
      return refuse(c, 503, 'BODIES_TOO_MANY', 'the server holds too many large bodies that are not judged yet: try again');
    }
    c.req.raw = new Request(c.req.raw, { method: c.req.method, body: body.bytes });
    return await next();
  });
}

const MAX_MEMBERS_BYTES = 64 * 1024;

/** The bound on a body of somebody who showed a credential. */
export const membersBody = bodyLimit({
  maxSize: MAX_MEMBERS_BYTES,
  onError: (c) => refuse(c, 413, 'BODY_TOO_LARGE', `the body is larger than ${MAX_MEMBERS_BYTES} bytes`),
});
