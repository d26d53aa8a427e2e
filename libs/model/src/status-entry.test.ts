import { expect, test } from 'vitest';
import { abandonStatus, claimStatus, newStatusEntry, statusDueAt, wantStatus, type StatusEntry } from './status-entry.ts';

test('a line that the forge refuses by itself is sent more and more seldom, however often its words change', () => {
  const wish = { state: 'pending', targetUrl: 'u', isUnderWay: true } as const;
  let now = 1_000_000;
  let requests = 0;
  let entry: StatusEntry = newStatusEntry({ ...wish, description: '0 of 2' }, now);
  for (let pass = 1; pass <= 18_000; pass += 1) {
    // An hour of passes, five a second.
    now += 200;
    entry = wantStatus(entry, { ...wish, description: `${pass % 2} of 2` }, now) ?? entry;
    if ((statusDueAt(entry) ?? Number.POSITIVE_INFINITY) > now) continue;
    const claimed = claimStatus(entry, now, 30_000);
    requests += 1;
    entry = abandonStatus(claimed, { ...claimed, claimedAt: now }, { at: now, error: '422' }) ?? claimed;
  }
  expect(requests).toBeLessThan(100);
});
