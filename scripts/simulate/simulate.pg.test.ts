import { describe, expect, test } from 'vitest';
import { STORES } from './open-store.ts';
import { Simulation } from './simulation.ts';
import { summarize } from './summary.ts';

/** npm run fuzz counts it up. A failure says how to see the seed again. */
const SEED = Math.abs(Number(process.env['FLOE_FUZZ_SEED'] ?? 1));
const RUNS = [
  { store: 'postgres', hosts: 24, days: 2 },
  { store: 'pglite', hosts: 12, days: 2 },
] as const;

// Thousands of calls of the database, on machines that may be busy.
describe('a fleet for days, on a database', () => {
  test.each(RUNS)('$hosts hosts on $store keep the invariants, and do what they do on the store in memory', async ({ store, hosts, days }) => {
    const again = `npm run simulate -- --hosts ${hosts} --days ${days} --seed ${SEED} --store ${store}`;
    const real = new Simulation({ hosts, days, seed: SEED, openStore: STORES[store] });
    await expect(real.run(), again).resolves.toBeUndefined();
    const { bad, mostHit } = summarize(real);
    // Of a rollout whose last ring is never approved, or comes late, only the first rings hear.
    expect(
      real.stories.some(({ arrived }) => arrived.size > 0),
      again,
    ).toBe(true);
    expect(bad, again).toBeGreaterThan(0);
    // All who began with it are of the first ring.
    expect(mostHit, again).toBeLessThanOrEqual(real.hosts.filter(({ labels }) => labels.includes('canary')).length);
    const inMemory = new Simulation({ hosts, days, seed: SEED });
    await inMemory.run();
    expect(real.samples, again).toEqual(inMemory.samples);
  });
});
