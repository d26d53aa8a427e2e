import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FairGate, type FairGateLimits } from './fair-gate.ts';

const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

function gateOf(places: number, placesOfGroup: number, bounds: Partial<FairGateLimits> = {}): FairGate {
  return new FairGate({ places, placesOfGroup, waiting: 10_000, waitingOfGroup: 10_000, ...bounds });
}

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
        const gate = gateOf(4, 2);
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
    const gate = gateOf(4, 2);
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
    const gate = gateOf(1, 1);
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

  test('lets few wait, refuses the newest of those who have the most, and never the first of a group while another has more', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('come' as const),
          group: fc.constantFrom(...'aaaabcdefghij'.split('')),
          member: fc.constantFrom(...'xyz'.split('')),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('end' as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('give up' as const), which: fc.nat() }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const gate = gateOf(3, 2, { waiting: 8, waitingOfGroup: 4 });
        const places: Disposable[] = [];
        const outcomes: string[] = [];
        const patience: AbortController[] = [];
        for (const each of steps) {
          if (each.kind === 'end') places.splice(each.which % Math.max(1, places.length), 1)[0]?.[Symbol.dispose]();
          else if (each.kind === 'give up') patience[each.which % Math.max(1, patience.length)]?.abort();
          else {
            const { group, member } = each;
            const most = Math.max(...'abcdefghij'.split('').map((name) => gate.waitingOf(name)));
            const isFirst = gate.waitingOf(group) === 0;
            const controller = new AbortController();
            patience.push(controller);
            const entering = gate.enter(group, member, controller.signal);
            const isRefused = (await Promise.race([entering, settled()])) === 'crowded';
            if (isRefused && isFirst) expect({ waiting: gate.waiting, most }).toEqual({ waiting: 8, most: 1 });
            void entering.then((outcome) => {
              outcomes.push(typeof outcome === 'string' ? outcome : 'admitted');
              if (typeof outcome !== 'string') places.push(outcome);
            });
          }
          await settled();
          expect(gate.waiting).toBeLessThanOrEqual(8);
          for (const group of 'abcdefghij') {
            expect(gate.waitingOf(group)).toBeLessThanOrEqual(4);
            expect(gate.takenOf(group)).toBeLessThanOrEqual(2);
          }
        }
        while (places.length > 0) {
          places.shift()?.[Symbol.dispose]();
          await settled();
        }
        expect([outcomes.length, gate.waiting]).toEqual([patience.length, 0]);
      }),
    );
  });

  test('tells whoever passes that too many wait, as a failure that passes', async () => {
    const gate = gateOf(1, 1, { waitingOfGroup: 1 });
    const { running, come } = works(gate);
    const all = [come('a', 'x'), come('a', 'x')];
    await expect(come('a', 'x')).rejects.toMatchObject({ code: 'CROWDED', retryable: true });
    for (const each of all) {
      await settled();
      running.shift()?.end();
      await each;
    }
  });
});
