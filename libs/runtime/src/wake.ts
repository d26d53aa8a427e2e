import { MAX_TIMER_MS } from './clock.ts';

/**
 * A level-triggered wake-up: any number of `wake()` calls before a `wait()` count as one. A hint that arrives while its receiver
 * is busy is not lost: the next `wait()` returns immediately.
 */
export interface Wake {
  wake(): void;
  /** Resolves when woken, after `timeoutMs`, or when `signal` aborts; to whether it was woken. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<boolean>;
}

export function createWake(): Wake {
  let isWoken = false;
  let waiting: (() => void) | undefined;
  return {
    wake() {
      isWoken = true;
      waiting?.();
    },
    async wait(timeoutMs, signal) {
      if (!isWoken && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(finish, Math.min(timeoutMs, MAX_TIMER_MS));
          function finish(): void {
            clearTimeout(timer);
            signal.removeEventListener('abort', finish);
            waiting = undefined;
            resolve();
          }
          waiting = finish;
          signal.addEventListener('abort', finish, { once: true });
        });
      }
      const woken = isWoken;
      isWoken = false;
      return woken;
    },
  };
}
