import { systemClock } from '@floe/runtime';
import { expect, test, vi } from 'vitest';
import { watchSandbox } from './sandbox-watch.ts';

test('people are told when the sandbox breaks while the builder runs, and when it works again', async () => {
  let problem: string | undefined;
  let told: string | undefined;
  const stop = new AbortController();
  const sandbox = { problem: async () => await Promise.resolve(problem) };
  const watching = watchSandbox({ sandbox, clock: systemClock, onProblem: (message) => void (told = message) }, stop.signal, 1);
  try {
    for (const each of ['bwrap: No permissions to create a new namespace', undefined, 'it ended with 127', undefined]) {
      problem = each;
      await vi.waitFor(() => expect(told).toEqual(each === undefined ? undefined : expect.stringContaining(each)), 20_000);
    }
  } finally {
    stop.abort();
    await watching;
  }
});
