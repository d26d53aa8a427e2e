import { systemClock, type Clock } from '@floe/runtime';

/** The machine's clock, as far from the true time as a test says. */
export class MovedClock implements Clock {
  offsetMs = 0;
  now(): number {
    return systemClock.now() + this.offsetMs;
  }
  monotonic(): number {
    return systemClock.monotonic();
  }
  sinceBoot(): number {
    return systemClock.sinceBoot();
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await systemClock.sleep(ms, signal);
  }
}
