import { describe, expect, test } from 'vitest';
import { companyPolicy } from './company-policy.ts';
import { Simulation } from './simulation.ts';
import { summarize } from './summary.ts';

const FLEET = { hosts: 150, days: 9 };
/** npm run fuzz counts it up. A failure says how to see the seed again, drawn. */
const SEED = Math.abs(Number(process.env['FLOE_FUZZ_SEED'] ?? 1));
/** Not in each few of these weeks. */
const SELDOM: ReadonlySet<string> = new Set(['aborts', 'hotfixes', 'enrolledAnew', 'reinstalled']);

describe('a fleet for days, with the real engine', () => {
  test.each([SEED, SEED + 1])('keeps its invariants, and gets what is good (seed %d)', async (seed) => {
    const simulation = new Simulation({ ...FLEET, seed });
    await expect(simulation.run(), `npm run simulate -- --hosts ${FLEET.hosts} --days ${FLEET.days} --seed ${seed}`).resolves.toBeUndefined();
    const { bad, mostHit, directivesPerHost } = summarize(simulation);
    expect(bad).toBeGreaterThan(0);
    // The bound is the first ring that changes. Every host gets a directive for a revision once.
    expect(mostHit).toBeLessThanOrEqual(FLEET.hosts / 10);
    // In few of these weeks nothing is complete: nobody approves it, or what follows a bad one does not mend all of it.
    expect(simulation.stories.some(({ isBad, arrived }) => !isBad && arrived.size > FLEET.hosts / 10)).toBe(true);
    expect(directivesPerHost).toBeLessThanOrEqual(simulation.stories.length);
  });

  test('with people who do everything that they may', async () => {
    const sum = new Map<string, number>();
    for (let seed = SEED; seed < SEED + 4; seed += 1) {
      const again = `npm run simulate -- --hosts 40 --days 14 --seed ${seed}`;
      const simulation = new Simulation({ hosts: 40, days: 14, seed });
      await expect(simulation.run(), again).resolves.toBeUndefined();
      for (const [what, count] of Object.entries({ ...simulation.people.counts, ...simulation.trials.counts, ...simulation.flake.counts }))
        sum.set(what, (sum.get(what) ?? 0) + count);
      sum.set('stones', (sum.get('stones') ?? 0) + simulation.hosts.filter(({ stone }) => stone !== undefined).length);
    }
    for (const [what, count] of sum) if (!SELDOM.has(what)) expect(count, what).toBeGreaterThan(0);
  });

  test('is the same again with the same seed', async () => {
    const [one, other] = [1, 2].map(() => new Simulation({ hosts: 40, days: 3, seed: SEED }));
    await one?.run();
    await other?.run();
    expect(one?.samples).toEqual(other?.samples);
  });

  test('without gates, what is bad or untried is found in the second ring', async () => {
    const policy = companyPolicy(FLEET.hosts);
    const rings = policy.rings.map((ring) => ({ ...ring, errors: { percent: 100, minStarted: 1 }, successPercent: 0, minVerified: 0, soakMs: 0 }));
    const problemOf = async (seed: number): Promise<string> =>
      await new Simulation({ ...FLEET, seed, policy: { ...policy, rings } }).run().then(() => 'none', String);
    // In a few of these fleets nothing bad comes so far in these days.
    const problems = await Promise.all([SEED, SEED + 1, SEED + 2].map(problemOf));
    for (const problem of problems) expect(problem).toMatch(/^(?:none|Error: O(?:9|4|29):)/);
    expect(problems.filter((problem) => problem !== 'none')).not.toEqual([]);
  });
});
