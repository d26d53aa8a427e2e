import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, it } from 'vitest';
import { noteOutcome } from '../outcomes.ts';
import { audit, type Heights } from './audit.ts';
import { name, planOf, tell } from './plan.ts';
import { World } from './world.ts';

// A campaign: pushes and faults by a plan that is derived from a seed, on real processes. After each phase all faults are
// repaired, and the result is audited. A short one in `npm test`; `npm run fuzz` runs long ones.

/** For the short campaign: its 24 steps include nearly all kinds of pushes and faults. */
const USUAL_SEED = 12_580;

const seed = Number(process.env['FLOE_CAMPAIGN_SEED'] ?? USUAL_SEED);
const phases = Number(process.env['FLOE_CAMPAIGN_PHASES'] ?? 4);
const again = `FLOE_CAMPAIGN_SEED=${seed} FLOE_CAMPAIGN_PHASES=${phases} npm test -- tests/campaign`;
const heights: Heights = new Map();
let world: World;
let hasFailed = false;

beforeAll(async () => {
  world = await World.create(`campaign ${seed} ${randomInt(1e9)}`);
  await audit(world, heights);
}, 600_000);
afterAll(async () => await world?.[Symbol.asyncDispose]());

it.for(planOf(seed, phases))(
  'phase $number of a campaign ends with every folder, row, statement and status as expected',
  { timeout: 600_000 },
  async (phase, { skip }) => {
    // A phase does not start from a failed one.
    if (hasFailed) skip();
    const story = phase.steps.map(tell);
    console.log([`phase ${phase.number} of the campaign with the seed ${seed}`, ...story].join('\n  '));
    const note = (outcome: string): void =>
      noteOutcome({
        table: 'Campaign',
        phase: String(phase.number),
        seed: String(seed),
        'what was tried': phase.steps.map(name).join(', '),
        outcome,
      });
    try {
      await world.play(phase);
      await audit(world, heights);
    } catch (error) {
      hasFailed = true;
      note('FAILED');
      throw new Error(`phase ${phase.number} of the campaign failed; to play it again: ${again}\n  ${story.join('\n  ')}`, { cause: error });
    }
    note('all true');
  },
);
