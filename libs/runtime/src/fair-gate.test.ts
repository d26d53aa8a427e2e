import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FairGate } from './fair-gate.ts';

const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** Work that ends when it is told to; `order` has what was begun. */
function works(gate: FairGate) {
  const order: string[] = [];
  const running: { readonly name: string; readonly end: (error?: Error) => void }[] = [];
  const come = (group: string, member: string): Promise<void> =>
    gate.pass(group, member, async () => {
      const name = `${group} ${member}`;
      order.push(name);
      await new Promise<void>((resolve, reject) => running.push({ name, end: (error) => (error === undefined ? resolve() : reject(error)) }));
    });
  return { order, running, come };
}

describe('a fair gate', () => {
  test('serves all, never more than its places, and never more of a group than its share', async () => {
    const visitor = fc.record({ group: fc.constantFrom('a', 'b', 'c'), member: fc.constantFrom('x', 'y'), fails: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(visitor, { maxLength: 40 }), fc.array(fc.nat(), { minLength: 1, maxLength: 20 }), async (visitors, picks) => {
        const gate = new FairGate(4, 2);
        const { running, come, order } = works(gate);
        const all = visitors.map(({ group, member }) => come(group, member).catch(() => undefined));
        for (let step = 0; order.length < visitors.length || running.length > 0; step += 1) {
          await settled();
          expect(running.length).toBeLessThanOrEqual(4);
          for (const group of 'abc') expect(running.filter(({ name }) => name.startsWith(group)).length).toBeLessThanOrEqual(2);
          // It works on: a place is free only when nobody who may have it waits.
          if (running.length < 4)
            for (const group of 'abc')
              expect(gate.waitingOf(group) === 0 || running.filter(({ name }) => name.startsWith(group)).length === 2).toBe(true);
          const [ended] = running.splice((picks[step % picks.length] ?? 0) % Math.max(1, running.length), 1);
          ended?.end(visitors[step]?.fails === true ? new Error('failed') : undefined);
        }
        await Promise.all(all);
        expect([order.length, gate.waiting]).toEqual([visitors.length, 0]);
      }),
    );
  });

  test('serves a newcomer next, however many members of another group wait', async () => {
    const gate = new FairGate(4, 2);
    const { order, running, come } = works(gate);
    const flood = Array.from({ length: 1_000 }, (_, n) => come('hostile', String(n)));
    const others = Array.from({ length: 3 }, (_, n) => come(`other ${n}`, 'x'));
    await settled();
    const good = come('good', 'x');
    running.shift()?.end();
    await settled();
    running.shift()?.end();
    await settled();
    expect(order.indexOf('good x')).toBeLessThan(8);
    while (running.length > 0) {
      running.shift()?.end();
      await settled();
    }
    await Promise.all([...flood, ...others, good]);
  });

  test('serves the members of one group in turn', async () => {
    const gate = new FairGate(1, 1);
    const { order, running, come } = works(gate);
    const all = [...Array.from({ length: 50 }, () => come('proxy', 'loud')), come('proxy', 'quiet')];
    await settled();
    running.shift()?.end();
    await settled();
    running.shift()?.end();
    await settled();
    expect(order).toEqual(['proxy loud', 'proxy loud', 'proxy quiet']);
    while (running.length > 0) {
      running.shift()?.end();
      await settled();
    }
    await Promise.all(all);
  });
});
