import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ELSEWHERE_MS, isContactBack, isMissedTooLong, judgeContact, type Contact, type WayThere, type Whereabouts } from './contact.ts';

const HOUR_MS = 3600_000;
const anyWhereabouts = fc.constantFrom<Whereabouts>('network', 'same-elsewhere', 'other-elsewhere', 'nowhere');
const anyMs = fc.integer({ min: 0, max: 100 * HOUR_MS });

test.each<[string, Exclude<Contact, 'refused'>, readonly (keyof WayThere)[], ReturnType<typeof judgeContact>]>([
  ['nobody answers', 'none', [], 'lost'],
  ['somebody else answers', 'elsewhere', [], 'kept'],
  ['somebody else answers, and it names another server', 'elsewhere', ['isSameServer'], 'lost'],
  ['somebody else answers, and it names other caches', 'elsewhere', ['hasSameCaches'], 'lost'],
  ['somebody else answers, and it names another proxy', 'elsewhere', ['hasSameProxy'], 'lost'],
  ['a cache answers', 'network', ['hasSameCaches', 'hasSameProxy'], 'kept'],
  ['a cache answers, and it names another server', 'network', ['isSameServer'], 'lost'],
  ['the server answers', 'trusted', ['isSameServer', 'hasSameCaches', 'hasSameProxy'], 'proved'],
  ['the server answers, and says nothing', 'silent', ['isSameServer', 'hasSameCaches', 'hasSameProxy'], 'kept'],
])('A19: where %s, a system that passed its own checks is judged so', (_what, contact, changed, judged) => {
  const way = { isSameServer: true, hasSameCaches: true, hasSameProxy: true, ...Object.fromEntries(changed.map((each) => [each, false])) };
  expect(judgeContact(contact, way)).toBe(judged);
});

test('A19: no system is kept forever by what others answer, nor blamed for it', () => {
  fc.assert(
    fc.property(anyWhereabouts, anyMs, fc.integer({ min: -100 * HOUR_MS, max: 100 * HOUR_MS }), anyMs, (where, missedMs, committedMs, limitMs) => {
      const isOver = isMissedTooLong(where, { missedMs, committedMs, limitMs });
      if (isOver) expect([limitMs > 0, missedMs >= limitMs, where === 'nowhere']).toEqual([true, true, false]);
      const isDue = where !== 'nowhere' && limitMs > 0;
      // Whichever way its clock was set.
      for (const dayMs of [ELSEWHERE_MS, -ELSEWHERE_MS])
        expect(isMissedTooLong(where, { missedMs: limitMs, committedMs: dayMs, limitMs })).toBe(isDue);
      if (where !== 'other-elsewhere') expect(isMissedTooLong(where, { missedMs: limitMs, committedMs, limitMs })).toBe(isDue);
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
