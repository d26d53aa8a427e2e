import type { AgentEffect, AgentJournal } from '@floe/model';
import type { Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { Inbox } from './inbox.ts';
import type { Scheduler } from './scheduler.ts';

export interface EffectsDeps {
  readonly scheduler: Scheduler;
  readonly inbox: Inbox;
  readonly machine: Pick<Machine, 'letGo' | 'watchdog'>;
  readonly logger: Logger;
}

/** Runs the effects of a step, but for its report, which is written with the journal. */
export class Effects {
  readonly #deps: EffectsDeps;

  constructor(deps: EffectsDeps) {
    this.#deps = deps;
  }

  async run(effect: AgentEffect, journal: AgentJournal): Promise<void> {
    const { scheduler, inbox } = this.#deps;
    const epoch = journal.directive?.epoch ?? 0;
    switch (effect.type) {
      case 'report':
        break;
      case 'stop-job':
        scheduler.stopJob();
        break;
      case 'start-job':
        scheduler.startJob(effect.job, journal);
        break;
      case 'ask':
        scheduler.askForGo(epoch);
        break;
      case 'retry-later':
        scheduler.retryLater(effect.pace, effect.attempt, epoch);
        break;
      case 'look-again':
        scheduler.lookAgain(effect.until, epoch);
        break;
      case 'await-reboot':
        scheduler.awaitReboot(epoch);
        break;
      case 'take-pending-at':
        scheduler.takePendingAt(effect.at);
        break;
      case 'take-pending':
        inbox.dispatch({ type: 'pending-due' });
        break;
      case 'tidy':
        await this.#tidy();
        break;
    }
  }

  async #tidy(): Promise<void> {
    const { machine, logger } = this.#deps;
    try {
      await Promise.all([machine.letGo('next'), machine.letGo('before'), machine.watchdog?.forget()]);
    } catch (error) {
      logger.warn('what was kept for an activation could not be removed', { error });
    }
  }
}
