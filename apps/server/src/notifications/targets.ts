import type { NotificationKind } from '@floe/model';
import { send, type Message } from '@floe/notify';
import type { NotificationTargetView, NotificationTested } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import { testWords } from '@floe/views';
import { destinationOf, type NotifyTarget } from './notify-config.ts';

export interface TargetsDeps {
  readonly targets: readonly NotifyTarget[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly publicUrl: string;
}

/** What the API says of the targets of notifications, and does with them. */
export class NotificationTargets {
  readonly #deps: TargetsDeps;

  constructor(deps: TargetsDeps) {
    this.#deps = deps;
  }

  async list(): Promise<NotificationTargetView[]> {
    return await Promise.resolve(
      this.#deps.targets.map(({ name, address, events }) => ({
        name,
        kind: address.kind,
        destination: destinationOf(address),
        events: [...events] satisfies NotificationKind[],
      })),
    );
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
