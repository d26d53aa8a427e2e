// What users and other programs do to the machine while a job runs.
import type { AgentDetail, AgentJournal, Observed, StorePath } from '@floe/model';
import { switchHeld, type JobDeps } from './job.ts';

/** Another switch held the lock, so this one did not begin: it says nothing about the system, and nothing must be rolled back. */
export async function lockInTheWay({ machine }: JobDeps, toplevel: StorePath, { message }: AgentDetail): Promise<AgentDetail | null> {
  if (!/acquire lock/i.test(message)) return null;
  const heldBy = await machine.switchHeldBy();
  if ((await machine.observe()).current === toplevel) return null;
  return switchHeld(heldBy);
}

/** Waits until no other switch holds the lock, for at most the time of two switches. */
export async function waitForOtherSwitches({ machine, clock, logger, settings }: JobDeps, what: string, signal: AbortSignal): Promise<void> {
  let named: string | null = null;
  const deadline = clock.monotonic() + 2 * settings.switchLimitMs;
  for (;;) {
    const heldBy = await machine.switchHeldBy();
    if (heldBy === null || clock.monotonic() > deadline) return;
    if (heldBy !== named) logger.warn(`${what} waits for another switch`, { heldBy });
    named = heldBy;
    await clock.sleep(1_000, signal);
    signal.throwIfAborted();
  }
}

/** Whether a user chose the running system: it is not the new one, not a previous one, and not the result of a restart. */
export async function isByHand({ machine }: JobDeps, journal: AgentJournal, { current, booted }: Observed, toplevel: StorePath): Promise<boolean> {
  const { before, verdict, boot, override, activation } = journal;
  if (boot !== null || override !== null || verdict === 'unwanted' || current === null) return false;
  if (current === toplevel || current === before?.toplevel || current === before?.profile) return false;
  return current !== booted || (await machine.boot?.boots(activation))?.isNewBoot === false;
}
