import { eventsOf, type NotificationEvent, type RolloutPolicy } from '@floe/model';
import { createWake, fullJitter, isAboutSubject, narrow, type BackoffOptions, type Clock, type Logger, type Wake } from '@floe/runtime';
import type { NotificationStore } from '@floe/store';
import type { SeenFacts } from './facts.ts';
import type { NotifyTarget } from './notify-config.ts';

/** How often a target is noted as being in the settings. */
const ENSURE_MS = 10 * 60_000;
const RETRY: BackoffOptions = { baseMs: 500, capMs: 30_000 };
/** More events at once than any fleet has reasons for. */
const MAX_PENDING = 20_000;

export interface NotifierDeps {
  readonly store: Pick<NotificationStore, 'ensure' | 'put'>;
  readonly targets: readonly NotifyTarget[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** There may be something to send. */
  readonly onPut: () => void;
}

/**
 * Puts what happened into the outbox of each target. Level-triggered: every look at the fleet says what is so, and the store drops
 * what was told. So nothing is lost when this process ends at any moment, and two servers do not tell twice.
 */
export class Notifier {
  readonly #deps: NotifierDeps;
  readonly #wake: Wake = createWake();
  /** Events that are still to be put, by key. */
  #pending = new Map<string, NotificationEvent>();
  /** Keys of what was put and is still so: most looks bring nothing new, and cost no statement. */
  #put = new Set<string>();
  /** What this process saw that was not decided then: what has come out since is new, however long it took. */
  #open: Set<string> = new Set();
  /** Whom the policy names: of the commit that hosts follow. */
  #notify: RolloutPolicy['notify'] = {};

  constructor(deps: NotifierDeps) {
    this.#deps = deps;
  }

  /** What a look at the fleet found. `hasHosts`: it looked at the hosts, too. */
  look({ facts, open, notify }: SeenFacts, hasHosts: boolean): void {
    this.#notify = notify ?? this.#notify;
    const now = this.#deps.clock.now();
    const revisions = facts.revisions.map((each) => (this.#open.has(each.id) ? { ...each, since: now } : each));
    const hosts = facts.hosts.map((each) =>
      each.lost !== undefined && this.#open.has(each.host) ? { ...each, lost: { ...each.lost, since: now } } : each,
    );
    const events = eventsOf({ ...facts, revisions, hosts });
    for (const { id } of facts.revisions) if (!open.has(id)) this.#open.delete(id);
    for (const { host } of facts.hosts) if (!open.has(host)) this.#open.delete(host);
    for (const each of open) this.#open.add(each);
    const keys = new Set(events.map(({ key }) => key));
    for (const key of this.#put) if (hasHosts && !keys.has(key)) this.#put.delete(key);
    this.#tell(events);
  }

  #tell(events: readonly NotificationEvent[]): void {
    for (const event of events) if (!this.#put.has(event.key) && this.#pending.size < MAX_PENDING) this.#pending.set(event.key, event);
    if (this.#pending.size > 0) this.#wake.wake();
  }

  /** Puts what was found, until `signal` aborts. Waits for a store that is away. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, targets, clock, random, logger, onPut } = this.#deps;
    const names = targets.map(({ name }) => name);
    let ensuredAt: number | undefined;
    let failures = 0;
    while (!signal.aborted) {
      try {
        // First of all: what happens from now on is told to a new target.
        if (ensuredAt === undefined || clock.monotonic() - ensuredAt >= ENSURE_MS) await store.ensure(names, clock.now());
        ensuredAt ??= clock.monotonic();
        const events = [...this.#pending.values()];
        const addressed = this.#addressed(events);
        const now = clock.now();
        // One that the database refuses must not keep the others.
        const culprits = await narrow(addressed, async (some) => await store.put(some, now), isAboutSubject, addressed.length);
        for (const { item, error } of culprits)
          logger.error('an event cannot be stored, and is not told', { target: item.target, key: item.event.key, error });
        for (const { key } of events) {
          this.#pending.delete(key);
          this.#put.add(key);
        }
        if (events.length > 0) onPut();
        failures = 0;
        await this.#wake.wait(ENSURE_MS, signal);
        if (clock.monotonic() - ensuredAt >= ENSURE_MS) ensuredAt = undefined;
      } catch (error) {
        if (isAboutSubject(error)) logger.error('notifications cannot be put; trying again', { error });
        else logger.debug('notifications wait for the database', { error });
        await clock.sleep(Math.max(500, fullJitter(failures++, RETRY, random)), signal);
      }
    }
  }

  #addressed(events: readonly NotificationEvent[]) {
    const { targets } = this.#deps;
    const isTold = ({ name, events: some }: NotifyTarget, { kind }: NotificationEvent): boolean =>
      some.includes(kind) || this.#notify[kind]?.includes(name) === true;
    return events.flatMap((event) => targets.filter((target) => isTold(target, event)).map(({ name }) => ({ target: name, event })));
  }
}
