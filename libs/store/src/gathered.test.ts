import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Gathered } from './gathered.ts';

const MOST = 4;
const AT_ONCE = 2;

test('each gets its own answer, or its own error, in runs that are never too many and never too large', async () => {
  const item = fc.record({ isBad: fc.boolean(), turns: fc.nat(3) });
  await fc.assert(
    fc.asyncProperty(fc.array(item, { maxLength: 30 }), async (items) => {
      let running = 0;
      const done: number[] = [];
      const gathered = new Gathered<number, string>({
        most: MOST,
        atOnce: AT_ONCE,
        isOfAll: () => false,
        async run(some) {
          running += 1;
          expect(running).toBeLessThanOrEqual(AT_ONCE);
          expect(some.length).toBeLessThanOrEqual(MOST);
          for (let turn = 0; turn < some.length; turn += 1) await Promise.resolve();
          running -= 1;
          if (some.some((index) => items[index]?.isBad)) throw new Error(`one of ${some.join(', ')}`);
          done.push(...some);
          return some.map((index) => `answer ${index}`);
        },
      });
      const asked: Promise<string>[] = [];
      for (const [index, { turns }] of items.entries()) {
        for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
        asked.push(gathered.ask(index));
      }
      const answers = (await Promise.allSettled(asked)).map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason)));
      expect(answers).toEqual(items.map(({ isBad }, index) => (isBad ? `Error: one of ${index}` : `answer ${index}`)));
      // Nothing is done twice.
      expect(done.toSorted((one, other) => one - other)).toEqual(items.flatMap(({ isBad }, index) => (isBad ? [] : [index])));
    }),
  );
});

test('when the database does not answer, nobody is tried alone', async () => {
  let runs = 0;
  const gathered = new Gathered<number, string>({
    most: MOST,
    atOnce: 1,
    isOfAll: () => true,
    async run() {
      runs += 1;
      await Promise.resolve();
      throw new Error('away');
    },
  });
  const asked = await Promise.allSettled([1, 2, 3, 4, 5].map(async (each) => await gathered.ask(each)));
  expect(asked.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'rejected'));
  expect(runs).toBe(2);
});
