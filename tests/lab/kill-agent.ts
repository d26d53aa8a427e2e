import { setTimeout as delay } from 'node:timers/promises';
import type { AgentState } from '@floe/model';
import type { LabHost } from './hosts.ts';
import { AT_REST, type LabFleet } from './lab-fleet.ts';

const TRIES = 8;

/**
 * Pushes a change, and kills the agent in a state on its way. Some states last for a few milliseconds: where one was
 * missed, the machine gets another change; `host` gives a new one each time.
 */
export async function changeAndKillIn(
  lab: LabFleet,
  name: string,
  state: AgentState,
  host: () => LabHost,
): Promise<{ readonly old: string; readonly wanted: string }> {
  for (let tries = 0; tries < TRIES; tries++) {
    const dies = killIn(lab, name, state);
    const changed = await lab.change(name, host());
    if (await dies) return changed;
  }
  throw new Error(`${name} was not seen in ${state}, in ${TRIES} changes`);
}

/** Lets the agent run a little at a time until its journal says `state`, and kills it there; false: that state was missed. */
async function killIn(lab: LabFleet, name: string, state: AgentState): Promise<boolean> {
  const pid = await lab.guest(name).mainPid('floe-agent.service');
  const before = (await lab.journal(name))?.directive?.release.toplevel;
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    process.kill(pid, 'SIGSTOP');
    const found = await lab.journal(name);
    if (found?.state === state && found.directive?.release.toplevel !== before) {
      process.kill(pid, 'SIGKILL');
      const last = (await lab.journal(name))?.state;
      if (last !== state) throw new Error(`${name} was killed in ${last}, not in ${state}`);
      return true;
    }
    process.kill(pid, 'SIGCONT');
    if (found !== undefined && AT_REST.has(found.state) && found.directive?.release.toplevel !== before) return false;
    await delay(1);
  }
  throw new Error(`${name} did not come through ${state} in time`);
}
