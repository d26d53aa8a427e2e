import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planRetention, type CachedPath, type RetentionLimits } from './cache-retention.ts';

/** A made-up cache: each path refers to earlier ones, to itself, or to one that is not there. */
const cache = fc
  .array(
    fc.record({
      usedAt: fc.integer({ min: 0, max: 20 }),
      references: fc.array(fc.nat(30), { maxLength: 4 }),
      archive: fc.nat(12),
      refersToItself: fc.boolean(),
    }),
    { maxLength: 25 },
  )
  .map((made) => {
    const hash = (index: number): string => `path${index}`;
    const sizes = (archive: number): number => 1 + (archive % 5);
    return new Map(
      made.map(({ usedAt, references, archive, refersToItself }, index): [string, CachedPath] => [
        hash(index),
        {
          hash: hash(index),
          references: [...references.filter((each) => each < index || each > 25).map(hash), ...(refersToItself ? [hash(index)] : [])],
          usedAt,
          archive: `archive${archive}`,
          archiveBytes: sizes(archive),
        },
      ]),
    );
  });
const limits = fc.record(
  {
    keepSince: fc.integer({ min: 0, max: 21 }),
    unusedSince: fc.option(fc.integer({ min: 0, max: 21 }), { nil: undefined }),
    maxBytes: fc.option(fc.nat(40), { nil: undefined }),
  },
  { requiredKeys: ['keepSince'] },
) as fc.Arbitrary<RetentionLimits>;
const needed = fc.array(fc.nat(27)).map((indexes) => new Set(indexes.map((index) => `path${index}`)));

type Cache = ReadonlyMap<string, CachedPath>;

function closureOf(paths: Cache, tops: Iterable<string>): Set<string> {
  const closure = new Set<string>();
  const open = [...tops];
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    if (closure.has(hash) || !paths.has(hash)) continue;
    closure.add(hash);
    open.push(...(paths.get(hash)?.references ?? []));
  }
  return closure;
}

function bytesOf(paths: Iterable<CachedPath>): number {
  return [...new Map([...paths].map(({ archive, archiveBytes }) => [archive, archiveBytes])).values()].reduce((sum, each) => sum + each, 0);
}

/** When a path, or one that leads to it, was used last: looked for the slow way. */
function lastUse(paths: Cache, hash: string): number {
  return Math.max(...[...paths.values()].filter((each) => closureOf(paths, [each.hash]).has(hash)).map((each) => each.usedAt));
}

test('what is needed stays whole, and so does everything else that stays, wherever the removal ends', () => {
  fc.assert(
    fc.property(cache, needed, limits, fc.nat(), (paths, asked, given, stop) => {
      const plan = planRetention(paths, asked, given);
      expect(plan.needed).toEqual(closureOf(paths, asked));
      const gone = new Set(plan.remove.slice(0, stop % (plan.remove.length + 1)).map(({ hash }) => hash));
      for (const { hash, references } of paths.values()) {
        if (gone.has(hash)) expect(plan.needed).not.toContain(hash);
        else for (const each of references) expect(gone).not.toContain(each);
      }
    }),
  );
});

test('what is not needed goes by its age and by the size, the oldest first, and no more of it than that', () => {
  fc.assert(
    fc.property(cache, needed, limits, (paths, asked, given) => {
      const { remove, needed: isNeeded } = planRetention(paths, asked, given);
      const gone = new Set(remove.map(({ hash }) => hash));
      const ages = remove.map(({ hash }) => lastUse(paths, hash));
      expect(remove.map((each) => each.usedAt)).toEqual(ages);
      expect(ages).toEqual(ages.toSorted((left, right) => left - right));
      const left = [...paths.values()].filter(({ hash }) => !gone.has(hash));
      const couldGo = left.filter(({ hash }) => !isNeeded.has(hash) && lastUse(paths, hash) < given.keepSince);
      for (const age of ages) expect(age).toBeLessThan(given.keepSince);
      for (const age of ages) for (const { hash } of couldGo) expect(age).toBeLessThanOrEqual(lastUse(paths, hash));
      // All that is too old went, and no more than that but to make room.
      for (const { hash } of couldGo) expect(lastUse(paths, hash)).toBeGreaterThanOrEqual(given.unusedSince ?? 0);
      if (given.maxBytes !== undefined && couldGo.length > 0) expect(bytesOf(left)).toBeLessThanOrEqual(given.maxBytes);
      const last = remove.at(-1);
      const isForRoom = last !== undefined && (given.unusedSince === undefined || last.usedAt >= given.unusedSince);
      if (isForRoom)
        expect(bytesOf([...left, ...[paths.get(last.hash)].filter((each) => each !== undefined)])).toBeGreaterThan(given.maxBytes ?? Infinity);
    }),
  );
});

test('paths that refer to each other in a circle end, too', () => {
  const path = (hash: string, reference: string): CachedPath => ({ hash, references: [reference], usedAt: 1, archive: hash, archiveBytes: 1 });
  const paths = new Map([path('a', 'b'), path('b', 'a')].map((each) => [each.hash, each]));
  expect(planRetention(paths, new Set(['b']), { keepSince: 9, unusedSince: 9 }).remove).toEqual([]);
  expect(planRetention(paths, new Set(), { keepSince: 9, unusedSince: 9 }).remove).toHaveLength(2);
});
