import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { EvaluationGate } from './evaluation-gate.ts';

const GIB = 1024 ** 3;
const { signal: NEVER } = new AbortController();

afterEach(() => vi.useRealTimers());

/** A machine with evaluations that take memory step by step. */
function machine(memory: number, most: number) {
  const used = new Map<string, number>();
  const running = new Map<string, () => void>();
  const begun: string[] = [];
  const gate = new EvaluationGate({ most, availableBytes: () => memory - total() });
  function total(): number {
    return [...used.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
  return {
    gate,
    running,
    begun,
    used,
    total,
    begin: (name: string, peakBytes: number | undefined, isWhole = true): Promise<string> =>
      gate.pass(NEVER, async (onRunning) => {
        begun.push(name);
        onRunning(() => used.get(name) ?? 0);
        await new Promise<void>((end) => running.set(name, end));
        running.delete(name);
        used.delete(name);
        return { result: name, peakBytes, isWhole };
      }),
  };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve();
}

/** Lets the gate learn that an evaluation takes so much. */
async function learn(world: ReturnType<typeof machine>, bytes: number): Promise<void> {
  const first = world.begin('first', bytes);
  await settled();
  world.running.get('first')?.();
  await first;
  world.begun.length = 0;
}

test('those that take no more than was measured never take more than there is, all get their turn, and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.nat()),
      async (gib, most, percents, choices) => {
        const world = machine(gib * GIB, most);
        await learn(world, 2 * GIB);
        const peaks = new Map(percents.map((percent, index) => [`host${index}`, (percent * 2 * GIB) / 100]));
        const all = [...peaks].map(([name, peak]) => world.begin(name, peak));
        await settled();
        let steps = 0;
        while (world.running.size > 0) {
          expect(world.running.size).toBeLessThanOrEqual(most);
          expect(world.total() <= gib * GIB || world.running.size === 1).toBe(true);
          const names = [...world.running.keys()];
          const name = names[(choices.next().value as number) % names.length] ?? '';
          const [now, peak] = [world.used.get(name) ?? 0, peaks.get(name) ?? 0];
          if (now < peak && steps++ < 200) world.used.set(name, Math.min(peak, now + 0.3 * GIB));
          else world.running.get(name)?.();
          await settled();
        }
        expect(await Promise.all(all)).toEqual([...peaks.keys()]);
        expect(world.begun).toEqual([...peaks.keys()]);
      },
    ),
  );
});

test('as many run as the memory is for', async () => {
  const world = machine(7 * GIB, 8);
  await learn(world, 2 * GIB);
  for (const name of 'abcde') void world.begin(name, 2 * GIB);
  await settled();
  expect(world.begun).toEqual(['a', 'b', 'c']);
  world.running.get('b')?.();
  await settled();
  expect(world.begun).toEqual(['a', 'b', 'c', 'd']);
});

test('one runs always, and the next when other programs have freed memory', async () => {
  vi.useFakeTimers();
  let available = 0;
  const gate = new EvaluationGate({ most: 4, availableBytes: () => available });
  const begun: string[] = [];
  for (const name of 'ab') {
    void gate.pass(NEVER, async () => {
      begun.push(name);
      await new Promise(() => undefined);
      return { result: undefined, peakBytes: undefined, isWhole: true };
    });
  }
  await vi.advanceTimersByTimeAsync(2_000);
  expect(begun).toEqual(['a']);
  available = 8 * GIB;
  await vi.advanceTimersByTimeAsync(600);
  expect(begun).toEqual(['a', 'b']);
});

test("one that is stopped while it waits leaves the queue, and takes nobody's place", async () => {
  const gate = new EvaluationGate({ most: 1, availableBytes: () => GIB });
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const stopping = new AbortController();
  const begin = (name: string, signal: AbortSignal): Promise<string> =>
    gate.pass(signal, async () => {
      begun.push(name);
      if (!signal.aborted) await new Promise<void>((end) => ends.set(name, end));
      return { result: name, peakBytes: undefined, isWhole: true };
    });
  const all = [begin('a', NEVER), begin('b', stopping.signal), begin('c', NEVER)];
  await settled();
  expect(begun).toEqual(['a']);
  stopping.abort();
  expect(await all[1]).toBe('b');
  expect(await begin('late', stopping.signal)).toBe('late');
  await settled();
  expect(begun).toEqual(['a', 'b', 'late']);
  ends.get('a')?.();
  await settled();
  expect(begun).toEqual(['a', 'b', 'late', 'c']);
  ends.get('c')?.();
  await Promise.all(all);
});

test('one that fails gives its place back; a large one is forgotten after sixteen others', async () => {
  const gate = new EvaluationGate({ most: 1, availableBytes: () => 0 });
  await expect(gate.pass(NEVER, async () => await Promise.reject(new Error('no')))).rejects.toThrow('no');
  const take = async (peakBytes: number | undefined) =>
    await gate.pass(NEVER, async () => await Promise.resolve({ result: 0, peakBytes, isWhole: true }));
  await take(5 * GIB);
  await take(undefined);
  expect(gate.expectedBytes).toBe(5 * GIB);
  for (let count = 0; count < 16; count++) await take(GIB);
  expect(gate.expectedBytes).toBe(GIB);
});

test('however many fail early and small, what a whole host takes is not forgotten; one that fails with more is remembered', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 2 * GIB }), { minLength: 17, maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 6 }),
      async (small, most) => {
        const world = machine(100 * GIB, most);
        await learn(world, 2 * GIB);
        for (const [index, bytes] of [...small, 3 * GIB].entries()) {
          const name = `failing${index}`;
          const ended = world.begin(name, bytes, false);
          await settled();
          expect(world.gate.expectedBytes).toBe(2 * GIB);
          world.running.get(name)?.();
          await ended;
        }
        expect(world.gate.expectedBytes).toBe(3 * GIB);
      },
    ),
    { numRuns: 30 },
  );
});
