import type { FleetEvent } from '@floe/protocol';

type Change = FleetEvent extends infer E ? (E extends { version: number; at: number } ? Omit<E, 'version' | 'at'> : never) : never;
/** `reset`: something was removed, which no view can say; a new snapshot does. */
type Listener = (event: FleetEvent | 'reset') => void;

const HOST_KEY = 'host ';

/**
 * What clients watch: the newest view of each host and revision, and each change once. Views arrive complete and often; only
 * changed ones become events. While nobody watches, none is kept.
 */
export class FleetFeed {
  readonly #now: () => number;
  readonly #listeners = new Set<Listener>();
  readonly #shown = new Map<string, string>();
  #version = 0;
  #isBehind = true;
  readonly #onBehind: () => void;

  /** `onBehind`: somebody watches, and views are to be shown again. */
  constructor(now: () => number, onBehind: () => void = () => undefined) {
    this.#now = now;
    this.#onBehind = onBehind;
  }

  get version(): number {
    return this.#version;
  }

  /** Whether there is anybody to show views to. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Whoever watches has had no snapshot yet. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Something may have changed, and nobody watches. */
  skip(): void {
    this.#shown.clear();
    this.#version += 1;
    this.#isBehind = true;
  }

  /** Whoever watches gets a snapshot, and from now on each change: an event for each host would say no more. */
  caughtUp(): void {
    if (!this.#isBehind) return;
    this.#isBehind = false;
    this.#reset();
  }

  /** Publishes a view; true when it changed. */
  show(change: Change): boolean {
    // Only the newest revision is kept: otherwise every push would stay in memory with all its hosts.
    const key = change.type === 'host' ? `${HOST_KEY}${change.host.host}` : change.type;
    const text = JSON.stringify(change);
    if (this.#shown.get(key) === text) return false;
    this.#shown.set(key, text);
    if (this.#isBehind) return true;
    this.#version += 1;
    const event: FleetEvent = { ...change, version: this.#version, at: this.#now() };
    for (const listener of this.#listeners) listener(event);
    return true;
  }

  /** Removes the hosts that no longer exist; true when there were any. */
  keepHosts(isThere: (host: string) => boolean): boolean {
    const gone = [...this.#shown.keys()].filter((key) => key.startsWith(HOST_KEY) && !isThere(key.slice(HOST_KEY.length)));
    for (const key of gone) this.#shown.delete(key);
    if (gone.length === 0) return false;
    if (!this.#isBehind) this.#reset();
    return true;
  }

  #reset(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener('reset');
  }

  subscribe(listener: Listener): Disposable {
    this.#listeners.add(listener);
    if (this.#isBehind) this.#onBehind();
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }
}
