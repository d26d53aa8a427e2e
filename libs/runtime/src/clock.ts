import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { boundedTime } from '@floe/model';

/** Time and waiting. Injected, so that decisions can be tested at any time. */
export interface Clock {
  /**
   * Milliseconds since 1970-01-01 UTC. May jump, but stays within the bounds of messages (libs/model, `boundedTime`). For
   * timestamps, never for durations.
   */
  now(): number;
  /** Milliseconds from an arbitrary start. Never jumps; stops while the machine sleeps. For durations. */
  monotonic(): number;
  /** Milliseconds from an arbitrary start. Never jumps; continues while the machine sleeps. In steps of 10 ms. */
  sinceBoot(): number;
  /** Resolves after `ms`; resolves early (does not reject) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/**
 * The longest delay of a timer, in ms (24.8 days). A longer one does not wait longer: it fires after 1 ms
 * (nodejs.org/api/timers.html), so a loop that sleeps for a month would never sleep.
 */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The kernel counts it in steps of 10 ms. To ask costs 20 times as much as the other clocks, and a server that tells thousands of hosts asks often. */
const UPTIME_STEP_MS = 10;
let lastUptime = { readAt: Number.NEGATIVE_INFINITY, ms: 0 };

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => boundedTime(Date.now()),
  monotonic: () => performance.now(),
  sinceBoot: () => {
    const at = performance.now();
    if (at - lastUptime.readAt >= UPTIME_STEP_MS) lastUptime = { readAt: at, ms: Math.round(uptime() * 1000) };
    return lastUptime.ms;
  },
  async sleep(ms, signal) {
    let leftMs = ms;
    do {
      if (signal?.aborted) return;
      await delay(Math.min(leftMs, MAX_TIMER_MS), undefined, signal ? { signal } : undefined).catch(() => undefined);
      leftMs -= MAX_TIMER_MS;
    } while (leftMs > 0);
  },
};
