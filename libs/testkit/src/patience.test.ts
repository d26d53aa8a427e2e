import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { Patience } from './patience.ts';

function waited(budgetMs: number, processes: number): number {
  let time = 0;
  const patience = new Patience(budgetMs, { now: () => time, processes: () => processes });
  while (!patience.isOver()) time += 10;
  return time;
}

test('a wait takes its budget on an idle machine, longer on a busy one, and ends on any', () => {
  const cores = availableParallelism();
  expect(waited(1_000, 1)).toBe(1_010);
  expect(waited(1_000, cores)).toBe(1_010);
  expect(waited(1_000, 4 * cores)).toBeGreaterThanOrEqual(4_000);
  expect(waited(1_000, 1_000 * cores)).toBe(8_010);
});
