import { mayDo } from '@floe/model';
import type { ActorView, FleetEvent, HostView } from '@floe/protocol';
import { attentionOf, capitalised, decisionWords, verdictOf, type Attention, type Decision, type Verdict, type WatchedFleet } from '@floe/views';
import { batch, computed, signal, type ReadonlySignal, type Signal } from '@preact/signals';
import { announce } from './announce.ts';
import type { Answer, Api } from './api.ts';
import { followFleet, type FleetMessage } from './follow-fleet.ts';
import { listHosts, type HostFilter } from './host-list.ts';
import { ALL_HOSTS } from './route.ts';
import { applyEvents, fromSnapshot, type LiveFleet } from './live-fleet.ts';

/** Changes within this time are shown together: a push to thousands of hosts must not redraw the page for each. */
const BATCH_MS = 100;
/** Screen readers hear of changes at most this often. */
const ANNOUNCE_MS = 2_000;
const TICK_MS = 1_000;

export type Session = 'opening' | 'signed-out' | 'signed-in';
export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | { readonly kind: 'lost'; readonly reason: string; readonly retryAt: number };

export interface DashboardDeps {
  readonly api: Api;
  readonly now: () => number;
  readonly random: () => number;
}

/** All that the page shows, as signals, and what people can do with it. One per page; ends with the signal of `run`. */
export class Dashboard {
  readonly api: Api;
  readonly session: Signal<Session> = signal('opening');
  /** Null until the server said who is signed in: nothing can be decided before. */
  readonly actor: Signal<ActorView | null> = signal(null);
  readonly connection: Signal<Connection> = signal({ kind: 'connecting' });
  /** Null until the first snapshot. */
  readonly fleet: Signal<LiveFleet | null> = signal(null);
  readonly filter: Signal<HostFilter> = signal(ALL_HOSTS);
  readonly hosts: ReadonlySignal<readonly HostView[]> = computed(() =>
    this.fleet.value === null ? [] : listHosts(this.fleet.value, this.filter.value),
  );
  readonly attention: ReadonlySignal<readonly Attention[]> = computed(() =>
    this.fleet.value === null ? [] : attentionOf(watched(this.fleet.value)),
  );
  readonly verdict: ReadonlySignal<Verdict | null> = computed(() =>
    this.fleet.value === null ? null : verdictOf(watched(this.fleet.value), this.attention.value),
  );
  /** The server's time, every second: ages are right also where this machine's clock is not. */
  readonly now: Signal<number>;
  /** When the server was last heard, by its time. */
  readonly lastHeardAt: Signal<number | null> = signal(null);
  /** What a screen reader says next. */
  readonly announcement: Signal<string> = signal('');

  /** Why the page asks for a token, when the reader did not simply come. */
  readonly signedOutBecause: Signal<string> = signal('');

  readonly #deps: DashboardDeps;
  #clockOffsetMs = 0;
  #waiting: FleetEvent[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #announced: LiveFleet | null = null;
  #endPause: (() => void) | undefined;
  #endSession: (() => void) | undefined;

  constructor(deps: DashboardDeps) {
    this.#deps = deps;
    this.api = deps.api;
    this.now = signal(deps.now());
  }

  /** Turns a token into a session; the answer is for the form, when it did not work. */
  async signIn(token: string): Promise<Answer<null>> {
    const answer = await this.api.signIn(token);
    if (answer.kind === 'ok') {
      this.session.value = 'opening';
      this.#endPause?.();
    }
    return answer;
  }

  async signOut(): Promise<Answer<null>> {
    const answer = await this.api.signOut();
    // Also when the server did not hear it: who signs out wants nothing left on the screen, but must know of the cookie.
    this.#forget(
      answer.kind === 'ok'
        ? ''
        : `Nothing is shown any more, but this browser is still signed in: ${answer.message} Reload the page and sign out again.`,
    );
    return answer;
  }

  /** Whether the role of who is signed in allows it: what it does not allow is not offered. */
  mayDecide({ kind }: Decision): boolean {
    return this.actor.value !== null && mayDo(this.actor.value.role, kind);
  }

  /** Tells the server what a person decided; what comes of it is seen on the page like every other change. */
  async decide(decision: Decision, reason: string): Promise<Answer<string | null>> {
    const answer = await this.api.decide(decision, reason);
    if (answer.kind === 'ok') this.announcement.value = decisionWords(decision).done ?? capitalised(answer.value ?? '');
    if (answer.kind === 'signed-out') this.#forget('The session has ended: sign in again.');
    return answer;
  }

  /** Ends the wait before the next attempt: a person asks, or the browser is online again. */
  retryNow(): void {
    this.#endPause?.();
  }

  /** Follows the fleet until `stop` aborts. */
  async run(stop: AbortSignal): Promise<void> {
    const tick = setInterval(() => (this.now.value = this.#serverNow()), TICK_MS);
    const speak = setInterval(() => this.#speak(), ANNOUNCE_MS);
    try {
      while (!stop.aborted) {
        if (this.session.value === 'signed-out') {
          await this.#pause(undefined, stop);
          continue;
        }
        await this.#followSession(stop);
      }
    } finally {
      clearInterval(tick);
      clearInterval(speak);
      clearTimeout(this.#flushTimer);
    }
  }

  async #followSession(stop: AbortSignal): Promise<void> {
    const session = new AbortController();
    this.#endSession = () => session.abort();
    const end = await followFleet(
      {
        api: this.api,
        random: this.#deps.random,
        pause: async (ms, stopped) => await this.#pause(ms, stopped),
        onMessage: (message) => this.#take(message),
        onAlive: () => (this.lastHeardAt.value = this.#serverNow()),
        onLost: (reason, retryInMs) => this.#lose(reason, retryInMs),
      },
      AbortSignal.any([stop, session.signal]),
    );
    if (end === 'signed-out') this.#forget(this.fleet.value === null ? '' : 'The session has ended: sign in again.');
  }

  #take(message: FleetMessage): void {
    if (message.type === 'change') {
      this.#waiting.push(message.event);
      this.#flushTimer ??= setTimeout(() => this.#flush(), BATCH_MS);
      return;
    }
    this.#clockOffsetMs = message.fleet.serverTime - this.#deps.now();
    this.#waiting = [];
    batch(() => {
      const hadLost = this.connection.value.kind === 'lost';
      this.session.value = 'signed-in';
      this.connection.value = { kind: 'live' };
      this.now.value = this.#serverNow();
      this.lastHeardAt.value = this.#serverNow();
      this.fleet.value = fromSnapshot(message.fleet);
      if (hadLost) this.announcement.value = 'The page is live again';
    });
    this.#announced ??= this.fleet.value;
    if (this.actor.value === null) void this.#learnActor();
  }

  /** When it fails, the next snapshot tries again. */
  async #learnActor(): Promise<void> {
    const session = this.#endSession;
    const answer = await this.api.whoAmI();
    // Somebody else may have signed in meanwhile.
    if (answer.kind === 'ok' && session === this.#endSession && this.session.value === 'signed-in') this.actor.value = answer.value;
  }

  #flush(): void {
    this.#flushTimer = undefined;
    const events = this.#waiting;
    this.#waiting = [];
    if (this.fleet.value !== null) this.fleet.value = applyEvents(this.fleet.value, events);
  }

  #speak(): void {
    const fleet = this.fleet.value;
    const said = fleet === null || this.#announced === null || fleet === this.#announced ? '' : announce(this.#announced, fleet);
    this.#announced = fleet;
    if (said !== '') this.announcement.value = said;
  }

  #lose(reason: string, retryInMs: number): void {
    const wasLive = this.connection.value.kind === 'live';
    this.connection.value = { kind: 'lost', reason, retryAt: this.#serverNow() + retryInMs };
    if (wasLive) this.announcement.value = `The page is not live any more. ${reason}`;
  }

  #forget(because: string): void {
    this.#endSession?.();
    this.#waiting = [];
    this.#announced = null;
    batch(() => {
      this.session.value = 'signed-out';
      this.actor.value = null;
      this.signedOutBecause.value = because;
      this.connection.value = { kind: 'connecting' };
      this.fleet.value = null;
      this.announcement.value = '';
    });
  }

  #serverNow(): number {
    return this.#deps.now() + this.#clockOffsetMs;
  }

  async #pause(ms: number | undefined, stop: AbortSignal): Promise<void> {
    if (stop.aborted) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const end = () => resolve(undefined);
    this.#endPause = end;
    stop.addEventListener('abort', end, { once: true });
    if (ms !== undefined) timer = setTimeout(end, ms);
    await promise;
    clearTimeout(timer);
    stop.removeEventListener('abort', end);
    this.#endPause = undefined;
  }
}

function watched({ repository, revision, hosts }: LiveFleet): WatchedFleet {
  return { repository, revision, hosts: hosts.values() };
}
