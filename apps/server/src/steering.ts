import { resolve, type HostName } from '@floe/model';
import { createWake, isAboutSubject, type Logger, type Signer, type Troubles } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { AgentHub } from './agents/hub.ts';
import { offerDirectives } from './directives.ts';
import type { ServerClock } from './server-clock.ts';

/** Everything is looked at again this often, whatever hints were lost. */
const FULL_PASS_MS = 30_000;
/** After a failure (database away), the next try. */
const RETRY_MS = 1_000;

/** Of the server as a whole: no host and no revision has a name like it. */
const SERVER_SUBJECT = 'server: steering';

export interface SteeringDeps {
  readonly store: Store;
  readonly hub: AgentHub;
  readonly clock: ServerClock;
  readonly logger: Logger;
  readonly serverSigner: Signer;
  readonly troubles: Troubles;
  readonly repositoryId: string;
}

/** Called after a pass with the hosts that were looked at, or 'all'. */
export type AfterPass = (hosts: ReadonlySet<HostName> | 'all') => void;

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
    const { clock, logger, troubles } = this.#deps;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      const hosts: ReadonlySet<HostName> | 'all' = this.#isAllMarked ? 'all' : this.#marked;
      this.#marked = new Set();
      this.#isAllMarked = false;
      try {
        await this.#pass(hosts);
        troubles.end('steering', SERVER_SUBJECT);
        this.#afterPass(hosts);
      } catch (error) {
        // Not an end for all: what hosts report is stored without it.
        if (isAboutSubject(error)) troubles.note('steering', SERVER_SUBJECT, error);
        else logger.warn('steering failed; trying again', { error });
        this.#isAllMarked = true;
        await clock.sleep(RETRY_MS, signal);
        continue;
      }
      // Of thousands of hosts there is always news: others get as long as a pass takes.
      await clock.sleep(clock.monotonic() - startedAt, signal);
      const isWoken = await this.#wake.wait(FULL_PASS_MS, signal);
      if (!isWoken) this.#isAllMarked = true;
    }
  }

  async #pass(hosts: ReadonlySet<HostName> | 'all'): Promise<void> {
    const { store, hub, clock, logger, troubles, repositoryId } = this.#deps;
    if (hosts !== 'all' && hosts.size === 0) return;
    const names = hosts === 'all' ? undefined : [...hosts];
    const situations = await store.hosts.situation(repositoryId, names);
    const resolved = situations.map(({ host, ...situation }) => ({ host, desired: resolve(situation) }));
    const wanted = new Map(resolved.flatMap(({ host, desired }) => (desired.kind === 'release' ? [[host, desired] as const] : [])));
    const releases = [...wanted.values()].map(({ release }) => release);
    await troubles.together(
      'deciding what it is to run',
      releases,
      ({ host }) => host,
      async (some) => {
        for (const { host, epoch } of await store.hosts.desire(some, clock.now()))
          logger.info('desired state changed', { host, epoch, toplevel: wanted.get(host)?.release.toplevel, because: wanted.get(host)?.because });
      },
    );

    const rows = await store.hosts.list(repositoryId, names);
    const addressees = rows.flatMap((row) => {
      const session = wanted.has(row.host) ? hub.session(row.host) : undefined;
      return session === undefined ? [] : [{ session, row }];
    });
    await troubles.together(
      'telling it',
      addressees,
      ({ row }) => row.host,
      async (some) => {
        for (const { host, epoch } of await offerDirectives(this.#deps, repositoryId, some)) logger.info('directive sent', { host, epoch });
      },
    );
  }
}
