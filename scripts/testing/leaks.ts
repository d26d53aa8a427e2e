import { setTimeout as delay } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';

/** Watches the resources that this process opens from now on. */
export interface LeakWatch {
  /**
   * Waits at most `graceMs` until nothing is open that was not open at the start: closing sockets and child processes takes a few
   * turns of the event loop. Returns what is left, as `2 × TCPSocketWrap`.
   */
  settle(graceMs?: number): Promise<string[]>;
}

/** Starts to watch. Must be called before the watched code is loaded. */
export function watchLeaks(): LeakWatch {
  // Node opens these on first use: a test that prints does not leak.
  void [process.stdin, process.stdout, process.stderr];
  const before = openResources();
  const workers = new Set<Worker>();
  process.on('worker', (worker) => {
    workers.add(worker);
    worker.once('exit', () => workers.delete(worker));
  });

  function left(): string[] {
    const surplus = [...openResources().set('Worker', workers.size)];
    return surplus
      .map(([kind, count]) => ({ kind, more: count - (before.get(kind) ?? 0) }))
      .filter(({ more }) => more > 0)
      .map(({ kind, more }) => `${more} × ${kind}`);
  }
  return {
    async settle(graceMs = 30_000) {
      const deadline = performance.now() + graceMs;
      while (left().length > 0 && performance.now() < deadline) await delay(20);
      return left();
    },
  };
}

/** The number of resources by type that keep the event loop alive. */
function openResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
