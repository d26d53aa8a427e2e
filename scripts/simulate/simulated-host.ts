import type { StorePath } from '@floe/model';
import type { MemoryStore, StoredHost } from './memory-store.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** The agent's watchdog rolls back when there is no verdict by then. */
const WATCHDOG = 10 * MINUTE;

/** What happens to a host when it activates a system. */
export type Fate = 'works' | 'fails' | 'loses-network';

export interface HostDeps {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly store: MemoryStore;
  readonly fateOf: (host: SimulatedHost, toplevel: StorePath) => Fate;
  /** It asks for its `go` from now on. */
  readonly onReady: (host: SimulatedHost) => void;
  readonly onActivating: (host: SimulatedHost, toplevel: StorePath) => void;
  readonly onReport: (host: SimulatedHost) => void;
}

type Phase = 'rests' | 'downloads' | 'waits' | 'ready' | 'activates';
type SaidState = 'DOWNLOADING' | 'DEFERRED' | 'STAGED' | 'ACTIVATING' | 'SUCCEEDED' | 'ROLLED_BACK';

/**
 * A machine with a thin agent: the states and reports of the agent's table, without its journal and jobs (scripts/explore has those). A
 * change needs the machine awake; a directive replaces another before the change, and waits for the verdict after its begin.
 */
export class SimulatedHost {
  readonly stored: StoredHost;
  readonly isLaptop: boolean;
  isOnline = false;
  runs: StorePath | undefined;
  phase: Phase = 'rests';
  subject: StorePath | undefined;
  directives = 0;
  readonly #deps: HostDeps;
  #pending: StorePath | undefined;
  #unreported = false;
  /** What was scheduled for an older directive has no effect. */
  #turn = 0;

  constructor(stored: StoredHost, isLaptop: boolean, deps: HostDeps) {
    this.stored = stored;
    this.isLaptop = isLaptop;
    this.#deps = deps;
  }

  connect(): void {
    if (this.isOnline) return;
    this.isOnline = true;
    this.stored.row.isConnected = true;
    this.stored.row.lastSeenAt = this.#deps.timeline.now;
    if (this.#unreported) this.#report();
    this.takeDirective();
    if (this.phase === 'ready') this.#deps.onReady(this);
  }

  disconnect(): void {
    this.isOnline = false;
    this.stored.row.isConnected = false;
    this.stored.row.lastSeenAt = this.#deps.timeline.now;
  }

  /** The newest directive, when it is here. */
  takeDirective(): void {
    const toplevel = this.stored.row.desired?.toplevel;
    if (!this.isOnline || toplevel === undefined || toplevel === this.subject) return;
    if (this.phase === 'activates') {
      this.#pending = toplevel;
      return;
    }
    this.#begin(toplevel);
  }

  #begin(toplevel: StorePath): void {
    this.#turn += 1;
    this.subject = toplevel;
    this.#pending = undefined;
    if (this.runs === toplevel) return this.#rest('SUCCEEDED');
    this.phase = 'downloads';
    this.#say('DOWNLOADING');
    this.#whenAwake(this.#deps.random.between(1, 8) * MINUTE, () => this.#downloaded());
  }

  #downloaded(): void {
    const { random } = this.#deps;
    // One user in ten says "later".
    if (this.isLaptop && random.chance(0.1)) {
      this.phase = 'waits';
      this.#say('DEFERRED');
      this.#whenAwake(random.between(1, 4) * HOUR, () => this.#ask());
      return;
    }
    this.#ask();
  }

  #ask(): void {
    this.phase = 'ready';
    this.#say('STAGED');
    this.#deps.onReady(this);
  }

  /** The server's `go`. */
  go(): void {
    const { subject } = this;
    if (subject === undefined || this.phase !== 'ready') return;
    const { random, fateOf, onActivating, timeline } = this.#deps;
    this.phase = 'activates';
    this.#say('ACTIVATING');
    onActivating(this, subject);
    const fate = fateOf(this, subject);
    const turn = this.#turn;
    if (fate === 'loses-network') {
      this.disconnect();
      timeline.after(WATCHDOG, () => {
        if (turn !== this.#turn) return;
        this.#rest('ROLLED_BACK');
        this.connect();
      });
      return;
    }
    this.#whenAwake(random.between(1, 3) * MINUTE, () => {
      if (fate === 'works') this.runs = subject;
      this.#rest(fate === 'works' ? 'SUCCEEDED' : 'ROLLED_BACK');
    });
  }

  #rest(state: 'SUCCEEDED' | 'ROLLED_BACK'): void {
    this.phase = 'rests';
    this.#say(state);
    if (this.#pending !== undefined && this.#pending !== this.subject) this.#begin(this.#pending);
  }

  /** After so long, once the machine is awake: a laptop that is closed does nothing. */
  #whenAwake(ms: number, run: () => void): void {
    const turn = this.#turn;
    const tryIt = (): void => {
      if (turn !== this.#turn) return;
      if (this.isOnline) run();
      else this.#deps.timeline.after(10 * MINUTE, tryIt);
    };
    this.#deps.timeline.after(ms, tryIt);
  }

  #state: SaidState = 'SUCCEEDED';

  #say(state: SaidState): void {
    this.#state = state;
    this.#unreported = true;
    if (this.isOnline) this.#report();
  }

  #report(): void {
    this.#unreported = false;
    this.#deps.store.report(this.stored, this.#state, this.subject, this.runs);
    this.#deps.onReport(this);
  }
}
