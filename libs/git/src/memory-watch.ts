import type { Worker } from 'node:worker_threads';
import { DOWNLOAD_SETTING, mib, tooLarge } from './limits.ts';

const PERIOD_MS = 100;

export interface MemoryWatch {
  /** The failure, once the thread was ended for what it held. */
  readonly failure: () => Error | undefined;
  end(): void;
}

/**
 * Ends a thread that holds more than `maxBytes`, buffers included, which Node's `resourceLimits` leave out. The thread is
 * looked at from outside, since it may be in the middle of anything; so it may hold more for as long as a look takes.
 */
export function watchMemory(worker: Worker, maxBytes: number): MemoryWatch {
  let isLooking = false;
  let isExceeded = false;
  async function look(): Promise<void> {
    const { used_heap_size: objects, external_memory: buffers } = await worker.getHeapStatistics();
    if (objects + buffers <= maxBytes) return;
    isExceeded = true;
    await worker.terminate();
  }
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    // Refused while the thread starts or ends, when there is nothing to look at.
    void look()
      .catch(() => undefined)
      .finally(() => (isLooking = false));
  }, PERIOD_MS);
  return {
    failure: () => (isExceeded ? tooLarge(`to unpack it takes more than ${mib(maxBytes)} of memory`, DOWNLOAD_SETTING) : undefined),
    end: () => clearInterval(timer),
  };
}
