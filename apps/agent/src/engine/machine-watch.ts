import { isActivating, type AgentEvent, type AgentJournal, type Observed } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { Logger } from '@floe/runtime';
import { isAsLeft, judgeDrift } from './drift.ts';
import type { Machine } from '../machines/machine.ts';
import type { MissedServer } from './missed-server.ts';

export interface MachineWatchDeps {
  readonly machine: Pick<Machine, 'observe' | 'switchHeldBy'>;
  readonly logger: Logger;
  readonly missedServer: MissedServer;
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly journal: () => AgentJournal;
  /** What the server was last told that the machine has. */
  readonly told: () => Observed;
  readonly step: (event: AgentEvent) => Promise<boolean>;
  /** What was blocked is tried now. */
  readonly hurry: () => void;
  /** A job is under way. */
  readonly isBusy: () => boolean;
  /** ms */
  readonly now: () => number;
}

/** Looks for what others do to the machine: people who switch it, switches that end, a server that stays away. */
export class MachineWatch {
  readonly #deps: MachineWatchDeps;
  #wasHeld = false;

  constructor(deps: MachineWatchDeps) {
    this.#deps = deps;
  }

  /** To be asked every few seconds. Not while another step is under way. */
  async look(isFirstLook = false): Promise<void> {
    const { machine, hurry, journal, missedServer, step } = this.#deps;
    const { state, detail, blocks } = journal();
    // Asked as often as this, so that what waits for another switch goes on when that ends, and a stuck one is found.
    const waits = state === 'BLOCKED' && detail?.code === 'SWITCH_HELD';
    const isHeld = waits && (await machine.switchHeldBy()) !== null;
    // More than once only from one that could be seen: else it would be tried every time.
    if (waits && !isHeld && (this.#wasHeld || blocks === 1)) hurry();
    this.#wasHeld = isHeld;
    const found = await missedServer.look(journal());
    if (found !== null) await step(found);
    await this.lookForDrift(isFirstLook);
  }

  /** Also before a step that leads to a change, or whose report would make what somebody chose since look expected. */
  async lookForDrift(isFirstLook = false): Promise<void> {
    const { machine, logger, readPolicy, journal, told, step, isBusy, now } = this.#deps;
    const { state } = journal();
    if ((isActivating(state) && state !== 'PRECHECK') || (state === 'BOOT_STAGED' && isBusy())) return;
    const facts = { journal: journal(), observed: await machine.observe(), told: told() };
    if (isAsLeft(facts)) return;
    const event = judgeDrift({ ...facts, policy: await readPolicy(), isFirstLook, now: now() });
    if (event === null) return;
    logger.warn('the machine is not as this agent left it', { event: event.type, ...facts.observed });
    await step(event);
  }
}
