import type { HttpBindings } from '@hono/node-server';
import { addressGroup, isLoopback, TokenBucket, type Clock, type Rate } from '@floe/runtime';
import type { Context } from 'hono';

/** Addresses that are remembered; who was not here for the longest time is forgotten first. */
const MAX_ADDRESSES = 10_000;

/** How often one address may try something that is guessed by trying. */
export class Tries {
  readonly #rate: Rate;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, clock: Pick<Clock, 'monotonic'>) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** Counts a try; false when there were too many. */
  take(address: string): boolean {
    const bucket = this.#buckets.get(address) ?? new TokenBucket(this.#rate, this.#clock);
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_ADDRESSES && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket.tryTake();
  }

  /** Gives back a try that was none: it succeeded. */
  giveBack(address: string): void {
    this.#buckets.get(address)?.charge(-1);
  }
}

/**
 * Who asks. Behind a proxy on this machine that is whom the proxy names last; from elsewhere the header is anybody's word.
 */
export function clientAddress(c: Context): string {
  const address = (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket.remoteAddress;
  const forwarded = c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim();
  return addressGroup(forwarded !== undefined && address !== undefined && isLoopback(address.replace(/^::ffff:/, '')) ? forwarded : address);
}
