import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pausedCheck, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();
const GUESTS = ['ada', 'bob', 'cyd', 'dan'] as const;

interface Cut {
  readonly where: string;
  /** Stops the machine there. */
  readonly reach: (lab: LabFleet, name: string) => Promise<void>;
  /** Points that the machine is stopped at, on the way or in the end. */
  readonly pauses: readonly string[];
  readonly host: LabHost;
  readonly ends: 'new' | 'old';
  /** The verdict may be in: then the new system is one that was verified. */
  readonly isProved?: boolean;
}

const at =
  (point: string) =>
  async (lab: LabFleet, name: string): Promise<void> =>
    await lab.isAt(name, point);
/** Verification fails, and the rollback begins: there the old system's switch stops. */
const inRollback =
  (point: string) =>
  async (lab: LabFleet, name: string): Promise<void> => {
    await lab.isAt(name, 'health');
    await lab.pauseAt(name, point);
    await lab.goOn(name, 'health');
    await lab.isAt(name, point);
  };

const ballast = { ballast: 3_000_000 };
const CUTS: readonly Cut[] = [
  { where: 'downloading', reach: async (lab, name) => await lab.reaches(name, 'DOWNLOADING'), pauses: [], host: ballast, ends: 'new' },
  { where: 'assessing (dry-activate)', reach: at('dry-activate-start'), pauses: ['dry-activate-start'], host: {}, ends: 'new' },
  { where: 'the switch begins', reach: at('test-start'), pauses: ['test-start'], host: {}, ends: 'new' },
  { where: 'units were stopped', reach: at('test-stopped'), pauses: ['test-stopped'], host: {}, ends: 'new' },
  { where: 'activated, units not restarted', reach: at('test-activated'), pauses: ['test-activated'], host: {}, ends: 'new' },
  { where: 'switched, not ended', reach: at('test-end'), pauses: ['test-end'], host: {}, ends: 'new' },
  { where: 'verifying', reach: at('health'), pauses: ['health'], host: { health: [pausedCheck('passes')] }, ends: 'new' },
  { where: 'committing: the profile is set', reach: at('boot-start'), pauses: ['boot-start'], host: {}, ends: 'new', isProved: true },
  { where: 'committing: the boot loader is told', reach: at('boot-written'), pauses: ['boot-written'], host: {}, ends: 'new', isProved: true },
  { where: 'rolling back begins', reach: inRollback('test-start'), pauses: ['health'], host: { health: [pausedCheck('fails')] }, ends: 'old' },
  {
    where: 'rolling back: activated',
    reach: inRollback('test-activated'),
    pauses: ['health'],
    host: { health: [pausedCheck('fails')] },
    ends: 'old',
  },
  { where: 'rolling back: not ended', reach: inRollback('test-end'), pauses: ['health'], host: { health: [pausedCheck('fails')] }, ends: 'old' },
];

describe.skipIf(!isReady)(`power cuts${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let round = 0;
  beforeAll(async () => {
    lab = await LabFleet.create(1, Object.fromEntries(GUESTS.map((name) => [name, {}])));
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const rounds = Array.from({ length: Math.ceil(CUTS.length / GUESTS.length) }, (_, index) =>
    CUTS.slice(index * GUESTS.length, (index + 1) * GUESTS.length),
  );

  test.each(rounds.map((cuts) => [cuts.map(({ where }) => where).join('; '), cuts] as const))('at: %s', async (_name, cuts) => {
    round += 1;
    const plan = cuts.map((cut, index) => ({ cut, name: GUESTS[index] ?? 'ada' }));
    const olds = new Map<string, string | undefined>();
    for (const { cut, name } of plan) {
      olds.set(name, (await lab.machine(name)).current);
      for (const point of cut.pauses) await lab.pauseAt(name, point);
    }
    const units = (name: string): Record<string, string> => ({
      [`round${round}.service`]: `[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n# ${name}\n`,
    });
    const sha = await lab.push(`Round ${round}`, Object.fromEntries(plan.map(({ cut, name }) => [name, { ...cut.host, units: units(name) }])));
    await Promise.all(
      plan.map(async ({ cut, name }) => {
        const old = olds.get(name) ?? '';
        const guest = lab.guest(name);
        await cut.reach(lab, name);
        await guest.cutPower();
        for (const point of ['health', 'test-start', 'test-activated', 'test-end', ...cut.pauses]) await lab.goOn(name, point);
        const { verdict } = (await lab.journal(name)) ?? {};
        await guest.start();

        // What the machine started by itself, before anybody did anything about it.
        const { default: started } = await lab.machine(name);
        const wanted = (await lab.published(sha)).get(name) ?? '';
        expect(started === old || (cut.isProved === true && verdict === 'passed' && started === wanted), `${cut.where}: started ${started}`).toBe(
          true,
        );

        const end = cut.ends === 'new' ? wanted : old;
        await lab.runs(name, end);
        if (cut.ends === 'old') await lab.told(name, 'was rolled back', ({ standing }) => standing === 'rolled-back');
        await lab.isTidy(name);
        noteOutcome({
          fault: 'power cut',
          where: cut.where,
          outcome: cut.ends === 'old' ? 'old system, rolled back' : `${started === old ? 'old' : 'verified'} system at start, then the new one`,
        });
      }),
    );
  });
});
