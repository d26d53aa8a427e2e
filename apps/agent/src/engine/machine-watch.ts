import { isActivating, isPreparing, type AgentEvent } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { Connection } from '../server/connection.ts';
import type { Identity } from '../server/identity.ts';
import { isAsLeft, judgeDrift } from './drift.ts';
import type { Inbox } from './inbox.ts';
import type { Loop } from './loop.ts';
import type { MissedServer } from './missed-server.ts';
import type { Scheduler } from './scheduler.ts';
import { trialEnd } from './trial-end.ts';

const LOOK_EVERY_MS = 5_000;
/** How often it is looked whether the machine slept, in ms: on wake the server is to be reached within a few seconds. */
const SLEEP_LOOK_MS = 2_000;

export interface MachineWatchDeps {
  readonly loop: Loop;
  readonly inbox: Inbox;
  readonly scheduler: Scheduler;
  readonly connection: Connection;
  readonly missedServer: MissedServer;
  readonly identity: Pick<Identity, 'bootId'>;
  readonly machine: Pick<Machine, 'observe' | 'switchHeldBy'>;
  readonly readPolicy: () => Promise<AgentPolicy>;
  /** ms */
  readonly now: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Looks for what others do to the machine: users who switch it, switches that end, a server that stays away, sleep, the end of a trial. */
export class MachineWatch {
  readonly #deps: MachineWatchDeps;
  #wasHeld = false;

  constructor(deps: MachineWatchDeps) {
    this.#deps = deps;
  }

  /** Looks every few seconds until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#lookForSleep(signal), this.#lookForOthers(signal)]);
  }

  async #lookForSleep(signal: AbortSignal): Promise<void> {
    const { clock, connection, inbox, loop, scheduler } = this.#deps;
    for (;;) {
      await clock.sleep(SLEEP_LOOK_MS, signal);
      if (signal.aborted) return;
      // Waits are counted awake, and what they wait for may have come meanwhile, with or without a server.
      if (connection.noticeSleep())
        inbox.add(() => {
          if (loop.journal.state === 'DEFERRED') scheduler.retryNow();
          return Promise.resolve();
        });
    }
  }

  async #lookForOthers(signal: AbortSignal): Promise<void> {
    const { clock, inbox } = this.#deps;
    for (;;) {
      await clock.sleep(LOOK_EVERY_MS, signal);
      if (signal.aborted) return;
      // One task, so that no other event is decided between the look and the step that it leads to.
      inbox.add(async () => await this.look());
    }
  }

  /** From a task of the inbox only. */
  async look(isFirstLook = false): Promise<void> {
    const { machine, scheduler, loop, missedServer, clock, identity } = this.#deps;
    const { state, detail, blocks } = loop.journal;
    // Asked with every look, so that a change that waits for another switch goes on when that ends, and a stuck switch is found.
    const waits = state === 'BLOCKED' && detail?.code === 'SWITCH_HELD';
    const isHeld = waits && (await machine.switchHeldBy()) !== null;
    // After the first block only when the other switch was seen to end: a lock that is never seen would be retried with each look.
    if (waits && !isHeld && (this.#wasHeld || blocks === 1)) scheduler.retryNow();
    this.#wasHeld = isHeld;
    const found = (await missedServer.look(loop.journal)) ?? trialEnd(loop.journal, { uptimeMs: clock.sinceBoot(), bootId: identity.bootId });
    if (found !== null) await loop.step(found);
    await this.lookForDrift(isFirstLook);
  }

  /** What a user chose in the last seconds counts first: the event may lead to a change of the machine. */
  async stepAfterLook(event: AgentEvent): Promise<void> {
    const { loop } = this.#deps;
    if (isPreparing(loop.journal)) await this.lookForDrift();
    await loop.step(event);
  }

  /** Also before a step whose report would make a user's new choice the expected system. */
  async lookForDrift(isFirstLook = false): Promise<void> {
    const { machine, logger, readPolicy, loop, scheduler, now } = this.#deps;
    const { journal, lastReported } = loop;
    const { state } = journal;
    if ((isActivating(state) && state !== 'PRECHECK') || (state === 'BOOT_STAGED' && scheduler.isBusy)) return;
    const facts = { journal, observed: await machine.observe(), lastReported };
    if (isAsLeft(facts)) return;
    const event = judgeDrift({ ...facts, policy: await readPolicy(), isFirstLook, now: now() });
    if (event === null) return;
    logger.warn('the machine is not as this agent left it', { event: event.type, ...facts.observed });
    await loop.step(event);
  }
}
