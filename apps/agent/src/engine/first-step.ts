import { isPreparing, NOTHING_OBSERVED, type AgentEvent } from '@floe/model';
import type { Logger } from '@floe/runtime';
import { findUnfinished } from '../jobs/find-unfinished.ts';
import type { Machine } from '../machines/machine.ts';
import type { Loop } from './loop.ts';
import type { MachineWatch } from './machine-watch.ts';

export interface FirstStepDeps {
  readonly loop: Loop;
  readonly watch: MachineWatch;
  readonly machine: Machine;
  readonly now: () => number;
  readonly logger: Logger;
}

/** The first event of a run: what a stop or a crash of the agent left unfinished. */
export async function takeFirstStep({ loop, watch, machine, now, logger }: FirstStepDeps, signal: AbortSignal): Promise<void> {
  const { state, directive, epoch } = loop.journal;
  // The hello may have reported already; it also tells what changed while no agent ran.
  if (loop.lastReported === NOTHING_OBSERVED) loop.lastReported = await machine.observe();
  logger.info('started', { state, epoch, toplevel: directive?.release.toplevel ?? null });
  // A user may have switched by hand, and that switch restarted this agent: look before a job runs again.
  if (state === 'BOOT_STAGED' || isPreparing(loop.journal)) await watch.look(true);
  if (loop.journal.state !== state) return;
  const found = await findUnfinished({ machine, now }, loop.journal, signal).catch((error: unknown): AgentEvent => {
    logger.error('cannot find out what an earlier run left unfinished', { error });
    return { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false };
  });
  if (signal.aborted) return;
  await loop.step(found);
  await watch.look(true);
}
