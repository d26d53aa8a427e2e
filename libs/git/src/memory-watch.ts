import type { Worker } from 'node:worker_threads';
import { DOWNLOAD_SETTING, mib, tooLarge } from './limits.ts';

const PERIOD_MS = 100;

export interface MemoryWatch {
  /** The error, once the thread was terminated because of its memory. */
  readonly failure: () => Error | undefined;
  end(): void;
}

/**
 * Terminates a thread that holds more than `maxBytes`, including buffers, which Node's `resourceLimits` do not count. The thread
 * is measured from outside, because it may be busy with anything. It may exceed the limit until the next measurement.
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
    // Node rejects it while the thread starts or ends; there is nothing to measure then.
    void look()
      .catch(() => undefined)
      .finally(() => (isLooking = false));
  }, PERIOD_MS);
  return {
    failure: () => (isExceeded ? tooLarge(`unpacking it takes more than ${mib(maxBytes)} of memory`, DOWNLOAD_SETTING) : undefined),
    end: () => clearInterval(timer),
  };
}
