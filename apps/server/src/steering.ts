import { resolve, type HostName } from '@floe/model';
import { createWake, describeError, isFloeError, type Clock, type Logger, type Signer } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { AgentHub } from './agents/hub.ts';
import { offerDirective } from './directives.ts';

/** Everything is looked at again this often, whatever hints were lost. */
const FULL_PASS_MS = 30_000;
/** After a failure (database away), the next try. */
const RETRY_MS = 1_000;

export interface SteeringDeps {
  readonly store: Store;
  readonly hub: AgentHub;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverSigner: Signer;
  readonly repositoryId: string;
}

/** Called after a pass with the hosts that were looked at, or 'all'. */
export type AfterPass = (hosts: ReadonlySet<HostName> | 'all') => Promise<void>;

/**
 * Brings stored desired state and connected agents together, level-triggered: a hint marks hosts, a pass computes what
 * each should run now with `resolve()`, stores it if it differs, and tells the agent if it is here. Repeating a pass
 * changes nothing.
 */
export class Steering {
  readonly #deps: SteeringDeps;
  readonly #wake = createWake();
  readonly #afterPass: AfterPass;
  #marked = new Set<HostName>();
  #isAllMarked = true;

  constructor(deps: SteeringDeps, afterPass: AfterPass) {
    this.#deps = deps;
    this.#afterPass = afterPass;
  }

  mark(host: HostName): void {
    this.#marked.add(host);
    this.#wake.wake();
  }

  markAll(): void {
    this.#isAllMarked = true;
    this.#wake.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    while (!signal.aborted) {
      const hosts: ReadonlySet<HostName> | 'all' = this.#isAllMarked ? 'all' : this.#marked;
      this.#marked = new Set();
      this.#isAllMarked = false;
      try {
        await this.#pass(hosts);
        await this.#afterPass(hosts);
      } catch (error) {
        if (!isFloeError(error) || !error.retryable) throw error;
        logger.warn('steering failed; trying again', { error: describeError(error) });
        this.#isAllMarked = true;
        await clock.sleep(RETRY_MS, signal);
        continue;
      }
      const isWoken = await this.#wake.wait(FULL_PASS_MS, signal);
      if (!isWoken) this.#isAllMarked = true;
    }
  }

  async #pass(hosts: ReadonlySet<HostName> | 'all'): Promise<void> {
    const { store, hub, clock, logger, repositoryId } = this.#deps;
    if (hosts !== 'all' && hosts.size === 0) return;
    const situations = await store.hosts.situation(repositoryId, hosts === 'all' ? undefined : [...hosts]);
    for (const { host, ...situation } of situations) {
      const desired = resolve(situation);
      if (desired.kind === 'release') {
        const { isNew, epoch } = await store.hosts.desire(host, desired.release, clock.now());
        if (isNew) logger.info('desired state changed', { host, epoch, toplevel: desired.release.toplevel, because: desired.because });
      }
      const session = hub.session(host);
      if (session === undefined || desired.kind !== 'release') continue;
      const row = await store.hosts.get(host);
      if (row === undefined) continue;
      if (await offerDirective(this.#deps, session, row)) logger.info('directive sent', { host, epoch: row.desired?.epoch });
    }
  }
}
