import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { boundedTime } from '@floe/model';

/** The time and the passing of it. Injected, so that decisions can be tested at any instant. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC; may jump, but not beyond what others are told (libs/model, `boundedTime`). For timestamps, never for durations. */
  now(): number;
  /** Milliseconds from an arbitrary start; never jumps, and stands still while the machine sleeps. For durations. */
  monotonic(): number;
  /** Milliseconds from an arbitrary start; never jumps, and goes on while the machine sleeps. In steps of 10 ms. */
  sinceBoot(): number;
  /** Resolves after `ms`; resolves early (does not reject) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => boundedTime(Date.now()),
  monotonic: () => performance.now(),
  sinceBoot: () => Math.round(uptime() * 1000),
  async sleep(ms, signal) {
    if (signal?.aborted) return;
    await delay(ms, undefined, signal ? { signal } : undefined).catch(() => undefined);
  },
};
