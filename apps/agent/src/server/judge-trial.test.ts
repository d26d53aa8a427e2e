import type { ReleaseStatement } from '@floe/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { judgeTrial, MAX_TRIAL_MS, type TrialContext } from './judge-trial.ts';

const HOUR = 3_600_000;
const context: TrialContext = { trials: 'allowed', uptimeMs: 7 * HOUR, bootId: 'boot' };
const order = { mode: 'activate', machineId: 'machine', epoch: 4 } as const;
const onlyFor = { machineId: 'machine', bootId: 'boot', epoch: 4 };
const release = (issuedAt: number, endsAt: number) => ({ purpose: 'test', issuedAt, endsAt, onlyFor }) as unknown as ReleaseStatement;

test('a trial ends within 24 hours of the machine’s own time, by whatever clock it was signed, and not before it was signed for', () => {
  const hours = fc.integer({ min: -200, max: 200 }).map((count) => count * HOUR);
  fc.assert(
    fc.property(hours, fc.integer({ min: 1, max: 30 }), hours, (issuedAt, lasts, now) => {
      const endsAt = issuedAt + lasts * HOUR;
      const judged = judgeTrial(order, release(issuedAt, endsAt), now, context);
      // A server whose clock is days behind that of the builder makes it no longer.
      const endsAtUptimeMs = context.uptimeMs + Math.min(endsAt - now, MAX_TRIAL_MS);
      if (lasts > 24) expect(judged).toMatchObject({ kind: 'refused', code: 'TRIAL_TOO_LONG' });
      else if (endsAt <= now) expect(judged).toMatchObject({ kind: 'refused', code: 'TRIAL_OVER' });
      else expect(judged).toEqual({ kind: 'fine', trial: { endsAt, endsAtUptimeMs, bootId: 'boot' } });
    }),
  );
});

test('off by default; begins at once or not at all; and only as the trial that was signed for this directive', () => {
  const judge = (changes: Partial<TrialContext>, asked: object = order, given: object = {}) =>
    judgeTrial({ ...order, ...asked }, { ...release(0, HOUR), ...given }, 1, { ...context, ...changes });
  expect(judge({})).toMatchObject({ kind: 'fine' });
  for (const [code, judged] of [
    ['TRIALS_NOT_ENABLED', judge({ trials: 'not-enabled' })],
    ['TRIALS_NOT_HERE', judge({ trials: 'not-here' })],
    ['TRIAL_MODE', judge({}, { mode: 'stage' })],
    ['TRIAL_REPLAYED', judge({}, { epoch: 5 })],
    ['TRIAL_REPLAYED', judge({}, { machineId: 'other' })],
    ['TRIAL_REPLAYED', judge({ bootId: 'another start' })],
    ['TRIAL_REPLAYED', judge({}, order, { onlyFor: undefined })],
    ['RELEASE_MALFORMED', judge({}, order, { endsAt: undefined })],
    ['RELEASE_MALFORMED', judge({}, order, { purpose: undefined })],
  ] as const)
    expect(judged).toMatchObject({ kind: 'refused', code });
});
