import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ELSEWHERE_MS, isContactBack, isMissedTooLong, judgeContact, type Contact, type WayThere, type Whereabouts } from './contact.ts';

const HOUR_MS = 3600_000;
const anyWay: fc.Arbitrary<WayThere> = fc.record({ isSameServer: fc.boolean(), hasSameCaches: fc.boolean(), hasSameProxy: fc.boolean() });
const anyContact = fc.constantFrom<Exclude<Contact, 'refused'>>('trusted', 'silent', 'network', 'elsewhere', 'none');
const anyWhereabouts = fc.constantFrom<Whereabouts>('network', 'same-elsewhere', 'other-elsewhere', 'nowhere');
const anyMs = fc.integer({ min: 0, max: 100 * HOUR_MS });

test('A19: a network that leads elsewhere puts a system back at once only where that changed whom it asks, or how', () => {
  fc.assert(
    fc.property(anyContact, anyWay, (contact, way) => {
      const verdict = judgeContact(contact, way);
      const isSame = way.isSameServer && way.hasSameCaches && way.hasSameProxy;
      if (contact === 'elsewhere') expect(verdict).toBe(isSame ? 'kept' : 'lost');
      // No network at all, though there was one before: as ever.
      if (contact === 'none') expect(verdict).toBe('lost');
      // Only the server itself proves that it is reached.
      expect(verdict === 'proved').toBe(contact === 'trusted');
    }),
  );
});

test('A19: no system is kept forever by what others answer, nor blamed for it', () => {
  fc.assert(
    fc.property(anyWhereabouts, anyMs, fc.integer({ min: -100 * HOUR_MS, max: 100 * HOUR_MS }), anyMs, (where, missedMs, committedMs, limitMs) => {
      const isOver = isMissedTooLong(where, { missedMs, committedMs, limitMs });
      if (isOver) expect([limitMs > 0, missedMs >= limitMs, where === 'nowhere']).toEqual([true, true, false]);
      const isLater = isMissedTooLong(where, { missedMs: limitMs, committedMs: ELSEWHERE_MS, limitMs });
      expect(isLater).toBe(where !== 'nowhere' && limitMs > 0);
      // In a hotel, the first day counts for nothing.
      if (where === 'other-elsewhere' && Math.abs(committedMs) < ELSEWHERE_MS) expect(isOver).toBe(false);
    }),
  );
  for (const hadNetwork of [true, false])
    for (const contact of ['elsewhere', 'none'] as const) expect(isContactBack(contact, { hadNetwork })).toBe(false);
});

test('the previous system has contact where it meets the server itself, or at least the network that the new one did not', () => {
  const back = (contact: Contact): readonly boolean[] => [false, true].map((hadNetwork) => isContactBack(contact, { hadNetwork }));
  for (const contact of ['trusted', 'refused', 'silent'] as const) expect(back(contact)).toEqual([true, true]);
  expect(back('network')).toEqual([true, false]);
});
