import type { Clock } from './clock.ts';

export interface Rate {
  /** The size of a burst. */
  readonly burst: number;
  readonly perSecond: number;
}

/** A token bucket: allows a burst immediately, and a rate in the long run. */
export class TokenBucket {
  readonly #rate: Rate;
  readonly #clock: Pick<Clock, 'monotonic'>;
  #tokens: number;
  #at: number;

  constructor(rate: Rate, clock: Pick<Clock, 'monotonic'>) {
    this.#rate = rate;
    this.#clock = clock;
    this.#tokens = rate.burst;
    this.#at = clock.monotonic();
  }

  get isFull(): boolean {
    return this.#refill() >= this.#rate.burst;
  }

  /** Takes tokens, on credit if there are too few. Returns how long to wait until the debt is paid, in ms; 0: no debt. */
  charge(tokens = 1): number {
    this.#tokens = this.#refill() - tokens;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#rate.perSecond) * 1000);
  }

  /** Takes tokens if they are there. */
  tryTake(tokens = 1): boolean {
    if (this.#refill() < tokens) return false;
    this.#tokens -= tokens;
    return true;
  }

  #refill(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (Math.max(0, now - this.#at) / 1000) * this.#rate.perSecond);
    this.#at = now;
    return this.#tokens;
  }
}

/** Admits a limited number of callers at a time; the others wait in order. */
export class Gate {
  readonly #places: number;
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#places = places;
  }

  /** Number of waiting callers. */
  get waiting(): number {
    return this.#waiting.length;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#places) this.#taken += 1;
    // The place is passed on directly and never free in between.
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken -= 1;
      else next();
    }
  }
}

/**
 * Limits the number of unidentified clients. When there is one too many, the oldest of the largest group (e.g. of one address) is
 * evicted: clients that finish quickly get past an attacker who holds every place, and one address cannot take the places of
 * others.
 */
export class Crowd<Member> {
  readonly #limit: number;
  readonly #groups = new Map<string, Set<Member>>();
  readonly #groupOf = new Map<Member, string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#groupOf.size;
  }

  /** Returns the evicted member, which is already removed. */
  join(member: Member, group: string): Member | undefined {
    this.leave(member);
    this.#groupOf.set(member, group);
    const members = this.#groups.get(group) ?? new Set();
    members.add(member);
    this.#groups.set(group, members);
    if (this.size <= this.#limit) return undefined;
    let largest = members;
    for (const each of this.#groups.values()) if (each.size > largest.size) largest = each;
    const [oldest] = largest;
    if (oldest !== undefined) this.leave(oldest);
    return oldest;
  }

  leave(member: Member): void {
    const group = this.#groupOf.get(member);
    if (group === undefined) return;
    this.#groupOf.delete(member);
    const members = this.#groups.get(group);
    members?.delete(member);
    if (members?.size === 0) this.#groups.delete(group);
  }
}
