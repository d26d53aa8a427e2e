import { MAX_LOOSENINGS, type HostName } from '@floe/model';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { looseningsOf } from './loosenings.ts';

const anyHosts = fc.uniqueArray(fc.constantFrom(...['ada', 'bob', 'cyd'].map((name) => name as HostName)), { maxLength: 3 });
const anyChanges = fc.array(fc.record({ text: fc.constantFrom('a move', 'no soak'), hosts: fc.option(anyHosts, { nil: undefined }) }), {
  maxLength: MAX_LOOSENINGS + 10,
});

test('what stands for loosenings is the same exactly when the words and all hosts are, however many there are', () => {
  const idsOf = (changes: Parameters<typeof looseningsOf>[0]) => looseningsOf(changes).map(({ id }) => id);
  const sorted = (changes: Parameters<typeof looseningsOf>[0]) => changes.map(({ text, hosts = [] }) => [text, hosts.toSorted()]);
  fc.assert(
    fc.property(anyChanges, anyChanges, (one, other) => {
      expect(looseningsOf(one).length).toBe(Math.min(one.length, MAX_LOOSENINGS));
      expect(idsOf(one.map((each) => ({ ...each, hosts: each.hosts?.toReversed() })))).toEqual(idsOf(one));
      expect(JSON.stringify(idsOf(one)) === JSON.stringify(idsOf(other))).toBe(JSON.stringify(sorted(one)) === JSON.stringify(sorted(other)));
      const [last, ...before] = one.toReversed();
      if (last !== undefined) expect(idsOf([...before.toReversed(), { ...last, text: 'another' }])).not.toEqual(idsOf(one));
    }),
  );
});
