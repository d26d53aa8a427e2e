import { TokenBucket, type Clock, type Rate } from '@floe/runtime';

/** Number of addresses that are remembered; the least recent one is forgotten first. */
const MAX_ADDRESSES = 10_000;

/** Limits how often one address may try to guess a secret. */
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

  /** Returns a try that succeeded, and so does not count. */
  giveBack(address: string): void {
    this.#buckets.get(address)?.charge(-1);
  }
}
