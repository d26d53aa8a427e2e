import { ROLLOUT_STATES } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { Simulation } from '../simulation.ts';
import { draw } from './draw.ts';
import { overlap, type Label } from './drawing.ts';
import { WIDTH } from './frame.ts';

const SEED = Math.abs(Number(process.env['FLOE_FUZZ_SEED'] ?? 1));
/** Few days make wide ones, many make narrow ones. */
const RUNS = [
  { hosts: 12, days: 1 },
  { hosts: 20, days: 7 },
  { hosts: 8, days: 30 },
] as const;

describe('the drawing of a fleet', () => {
  test.each(RUNS)('of $hosts hosts, days: $days, has no label on another one, and explains all that it shows', async ({ hosts, days }) => {
    const simulation = new Simulation({ hosts, days, seed: SEED });
    await simulation.run();
    const { svg, labels, explained } = draw(simulation);
    expect(svg).toMatch(/^<svg [\s\S]+<\/svg>\n$/);
    expect(overlapping(labels)).toEqual([]);
    expect(labels.filter(({ left, right }) => left < 0 || right > WIDTH)).toEqual([]);
    const shown = new Set([...svg.matchAll(/data-of="([^"]+)"/g)].map(([, of]) => of));
    expect(shown.has('PAUSED') || days < 2).toBe(true);
    expect([...shown].filter((of) => of === undefined || !explained.has(of))).toEqual([]);
    expect(ROLLOUT_STATES.filter((state) => !explained.has(state))).toEqual([]);
    // Its last lines are the run's own figures.
    expect(labels.at(-1)?.words).toContain(`pauses: ${simulation.pauses}`);
  });
});

function overlapping(labels: readonly Label[]): readonly (readonly [string, string])[] {
  return labels.flatMap((one, index) => labels.slice(index + 1).flatMap((other) => (overlap(one, other) ? [[one.words, other.words] as const] : [])));
}
