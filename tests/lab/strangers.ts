import { eventually } from '@floe/testkit';
import type { LabFleet } from './lab-fleet.ts';

/** What a user reads where somebody else answers. */
export const LOGIN = 'This network does not lead there: if it has a login page, please log in.';

/** It runs and starts the new system, and the server has confirmed it. */
export async function isProved(lab: LabFleet, name: string, wanted: string): Promise<void> {
  await eventually(
    `${name} is proved`,
    async () => {
      const { state, detail } = (await lab.journal(name)) ?? {};
      return state === 'SUCCEEDED' && detail === null && (await lab.machine(name)).current === wanted ? true : undefined;
    },
    { timeoutMs: 90_000, explain: async () => await lab.guest(name).log() },
  );
  await lab.runs(name, wanted);
}
