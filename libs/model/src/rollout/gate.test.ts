import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { policyOf, ringHost } from '../test/rollout-facts.ts';
import { MAX_FAILURES } from './course.ts';
import { countRing, isBroken, isPassed, neededVerified, pauseForFailures, type Gates } from './gate.ts';
import { defaultGates } from './policy.ts';
import { PROGRESS } from './progress.ts';

const FIRST = defaultGates(0, 3);
const LATER = defaultGates(1, 3);
const counts = (...hosts: string[]) => countRing(hosts.map((each, index) => ringHost(`h${index}:0 ${each}`)));
const many = (count: number, progress: string): string[] => Array.from({ length: count }, () => progress);

const anyHost = fc.tuple(fc.constantFrom(...PROGRESS), fc.constantFrom('', '!', '-', '~')).map(([progress, mark]) => `${progress}${mark}`);
const anyHosts = fc.array(anyHost, { maxLength: 12 });
const anyGates: fc.Arbitrary<Gates> = fc.record({
  successPercent: fc.integer({ min: 0, max: 100 }),
  errors: fc.record({ percent: fc.integer({ min: 0, max: 100 }), minStarted: fc.integer({ min: 1, max: 5 }) }),
  minVerified: fc.integer({ min: 0, max: 5 }),
  soakMs: fc.constant(0),
});

describe('the error gate', () => {
  test('of the first of several rings breaks with any failure', () => {
    expect(isBroken(FIRST, counts('failed', ...many(50, 'verified')))).toBe(true);
    expect(isBroken(FIRST, counts('failed!', 'verified'))).toBe(false);
  });
  test('of a later ring breaks above a tenth of at least three that started', () => {
    expect(isBroken(LATER, counts('failed', 'in-flight', ...many(5, 'to-come')))).toBe(false);
    expect(isBroken(LATER, counts('failed', 'in-flight', 'verified', ...many(5, 'to-come')))).toBe(true);
    expect(isBroken(LATER, counts('failed', ...many(9, 'verified')))).toBe(false);
    // Never more than there are.
    expect(isBroken(LATER, counts('failed'))).toBe(true);
  });
  test('of a single ring never breaks', () => expect(isBroken(policyOf(1).rings[0] ?? FIRST, counts(...many(5, 'failed')))).toBe(false));
});

describe('the success gate', () => {
  test('waits for one verified host, however many are away', () => {
    expect(isPassed(FIRST, counts(...many(5, 'away')))).toBe(false);
    expect(isPassed(FIRST, counts('verified', ...many(5, 'away')))).toBe(true);
    expect(isPassed(FIRST, counts('verified', 'waiting'))).toBe(true);
    expect(isPassed(FIRST, counts('verified', 'in-flight'))).toBe(false);
    expect(isPassed(FIRST, counts('verified', 'away~'))).toBe(false);
  });
  test('needs no more verified hosts than there can be', () => {
    expect(neededVerified({ ...FIRST, minVerified: 3 }, counts('verified', 'away', 'verified-'))).toBe(2);
    expect(neededVerified({ ...FIRST, minVerified: 3 }, counts('failed!', 'verified'))).toBe(1);
  });
});

test('a ring that is broken has not passed, and hosts that are not asked change nothing', () => {
  fc.assert(
    fc.property(anyGates, anyHosts, fc.boolean(), (gates, hosts, isOverdue) => {
      const all = counts(...hosts);
      if (all.eligible > 0 && isBroken(gates, all)) expect(isPassed(gates, all, isOverdue)).toBe(false);
      if (isPassed(gates, all, isOverdue) && all.eligible > 0) expect(all.verified).toBeGreaterThanOrEqual(neededVerified(gates, all));
      expect(counts(...hosts, 'failed-', 'in-flight-')).toEqual(all);
    }),
  );
});

test('hosts that were away before their go neither break a gate nor stop one that has its verifications', () => {
  fc.assert(
    fc.property(anyGates, anyHosts, fc.integer({ min: 1, max: 20 }), (gates, hosts, away) => {
      const present = counts(...hosts);
      const withAway = counts(...hosts, ...many(away, 'away'));
      if (isBroken(gates, withAway)) expect(isBroken(gates, present)).toBe(true);
      if (isPassed(gates, present) && present.verified >= gates.minVerified) expect(isPassed(gates, withAway) || present.eligible === 0).toBe(true);
    }),
  );
});

test('a pause names the same failures in any order of the hosts, and no more than can be shown', () => {
  const failed = Array.from({ length: 30 }, (_, index) => ringHost(`h${index}:0 failed`));
  expect(pauseForFailures(failed.toReversed())).toEqual(pauseForFailures(failed));
  expect(pauseForFailures(failed)).toMatchObject({ count: 30, failures: { length: MAX_FAILURES } });
  expect(pauseForFailures([ringHost('a:0 failed-'), ringHost('b:0 failed!'), ringHost('c:0 failed')])).toMatchObject({ count: 1 });
});
