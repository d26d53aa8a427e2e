import type { NotificationFacts } from '@floe/model';
import { send, type Message } from '@floe/notify';
import type { NotificationTargetView, NotificationTested } from '@floe/protocol';
import { createWake, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { NotificationStore } from '@floe/store';
import { testWords } from '@floe/views';
import type { FleetSnapshot, RevisionSeen } from '../fleet-snapshot.ts';
import { factsFrom, type LookedAt } from './facts.ts';
import { Notifier } from './notifier.ts';
import { destinationOf, type NotifyTarget } from './notify-config.ts';
import { runSendLoop } from './send-loop.ts';

export interface NotificationsDeps {
  readonly targets: readonly NotifyTarget[];
  readonly store: Pick<NotificationStore, 'ensure' | 'put' | 'claim' | 'markSent' | 'markFailed' | 'states'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly publicUrl: string;
  readonly troubles: Pick<Troubles, 'of'>;
  /** What is wrong with the server itself. */
  readonly notices: () => NonNullable<NotificationFacts['notices']>;
  /** A problem with a target, for people; undefined ends it. */
  readonly onProblem: (code: string, problem: string | undefined) => void;
}

/** Who is told what happens, from the look that notices it to the message. */
export class Notifications {
  readonly #deps: NotificationsDeps;
  readonly #notifier: Notifier;
  readonly #targets: readonly { readonly target: NotifyTarget; readonly wake: ReturnType<typeof createWake> }[];

  constructor(deps: NotificationsDeps) {
    this.#deps = deps;
    this.#targets = deps.targets.map((target) => ({ target, wake: createWake() }));
    this.#notifier = new Notifier({
      ...deps,
      onPut: () => {
        for (const { wake } of this.#targets) wake.wake();
      },
    });
  }

  /** Notes what a look at the fleet found. */
  async look(snapshot: FleetSnapshot, seen: readonly RevisionSeen[], how: LookedAt): Promise<void> {
    if (this.#targets.length === 0) return;
    const { troubles, notices } = this.#deps;
    const { facts, ...others } = await factsFrom(snapshot, seen, { ...how, troubles });
    this.#notifier.look({ facts: { ...facts, notices: notices() }, ...others }, how.hasHosts);
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#targets.length === 0) return;
    await Promise.all([
      this.#notifier.run(signal),
      ...this.#targets.map(async ({ target, wake }) => await runSendLoop(this.#deps, target, wake, signal)),
    ]);
  }

  /** The targets, with how it goes. */
  async list(): Promise<NotificationTargetView[]> {
    const { targets, store } = this.#deps;
    if (targets.length === 0) return [];
    const states = new Map((await store.states()).map((state) => [state.name, state]));
    return targets.map(({ name, address, events }) => {
      const { lastSentAt, failing, waiting = 0 } = states.get(name) ?? {};
      return {
        name,
        kind: address.kind,
        destination: destinationOf(address),
        events: [...events],
        lastSentAt: lastSentAt ?? null,
        waiting,
        problem: failing === undefined ? null : { message: failing.error, since: failing.since },
      };
    });
  }

  /** Sends a message that says that it is a test, past the limits that hold for others. Undefined: there is no such target. */
  async test(name: string, by: string): Promise<NotificationTested | undefined> {
    const { targets, clock, random, publicUrl } = this.#deps;
    const target = targets.find((each) => each.name === name);
    if (target === undefined) return undefined;
    const at = clock.now();
    const startedAt = clock.monotonic();
    const id = `test:${name}:${at}:${Math.floor(random() * 2 ** 32)}`;
    const message: Message = { id, kind: 'test', at, ...testWords(name, by), url: `${publicUrl}/`, events: [] };
    const outcome = await send(target.address, message, { now: at, signal: new AbortController().signal });
    const tookMs = Math.round(clock.monotonic() - startedAt);
    return { isSent: outcome.kind === 'sent', answer: outcome.kind === 'sent' ? outcome.answer : outcome.reason, tookMs };
  }
}
