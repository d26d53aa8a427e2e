import { silentLogger, systemClock } from '@floe/runtime';
import { expect, test, vi } from 'vitest';
import { Notices } from './notices.ts';
import { watchSandbox } from './sandbox-watch.ts';

test('people are told when the sandbox breaks while the server runs, and when it works again', async () => {
  let problem: string | undefined;
  let news = 0;
  const notices = new Notices();
  const stop = new AbortController();
  const sandbox = { problem: async () => await Promise.resolve(problem) };
  const deps = { sandbox, clock: systemClock, logger: silentLogger, notices, onNews: () => (news += 1) };
  const watching = watchSandbox(deps, stop.signal, 1);
  try {
    for (const each of ['bwrap: No permissions to create a new namespace', undefined, 'it ended with 127', undefined]) {
      problem = each;
      const said = each === undefined ? [] : [{ code: 'SANDBOX_BROKEN', message: expect.stringContaining(each) as string }];
      await vi.waitFor(() => expect(notices.list()).toMatchObject(said), 20_000);
      await vi.waitFor(() => expect(notices.list()).toHaveLength(said.length), 20_000);
    }
    expect(news).toBe(4);
  } finally {
    stop.abort();
    await watching;
  }
});
