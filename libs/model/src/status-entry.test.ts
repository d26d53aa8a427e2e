import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  abandonStatus,
  claimStatus,
  newStatusEntry,
  postponeStatus,
  settleStatus,
  statusDueAt,
  wantStatus,
  type StatusEntry,
} from './status-entry.ts';

const wish = { state: 'pending', targetUrl: 'u', isUnderWay: true } as const;

/** Requests in an hour of passes, five a second, each with other words; `answers` repeat. */
function requestsInAnHour(answers: readonly ('sent' | 'refused' | 'missed')[]): number {
  let now = 1_000_000;
  let requests = 0;
  let entry: StatusEntry = newStatusEntry({ ...wish, description: '0 of 2' }, now);
  for (let pass = 1; pass <= 18_000; pass += 1) {
    now += 200;
    entry = wantStatus(entry, { ...wish, description: `${pass % 2} of 2` }, now) ?? entry;
    if ((statusDueAt(entry) ?? Number.POSITIVE_INFINITY) > now) continue;
    const claimed = claimStatus(entry, now, 30_000);
    const claim = { ...claimed, claimedAt: now };
    const answer = answers[requests % answers.length] ?? 'sent';
    requests += 1;
    const next =
      answer === 'refused'
        ? abandonStatus(claimed, claim, { at: now, error: '422' })
        : answer === 'missed'
          ? postponeStatus(claimed, claim, { dueAt: now + 1_000, error: 'no answer', missedAt: now })
          : settleStatus(claimed, claim, { at: now, isPosted: true });
    entry = next ?? claimed;
  }
  return requests;
}

test('whatever the forge answers, a line is sent more and more seldom, however often its words change', () => {
  expect(requestsInAnHour(['refused'])).toBeLessThan(100);
  const answers = fc.array(fc.constantFrom('sent', 'refused', 'missed'), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(answers, (some) => {
      expect(requestsInAnHour(some)).toBeLessThan(200);
    }),
    { numRuns: 30 },
  );
});
