import {
  beginRollout,
  mayBeTrain,
  NO_ORDERS,
  NOTHING_OBSERVED,
  promotedIn,
  resolve,
  wentAfter,
  type CommitSha,
  type HostName,
  type ReleaseRef,
  type StorePath,
} from '@floe/model';
import type {
  CurrentRollout,
  DesiredRelease,
  Evaluation,
  Fleet,
  FleetHost,
  HostPresence,
  HostRow,
  NewRolloutOrder,
  NextOfFleet,
  StoredReport,
} from '@floe/store';
import type { FleetStore, FleetStoreOptions, NewHost, SimulatedStore } from './fleet-store.ts';

type Changeable<Row> = { -readonly [Key in keyof Row]: Row[Key] };

/** A host as the store has it. */
interface Stored {
  readonly row: Changeable<HostRow>;
  readonly labels: readonly string[];
  stable: ReleaseRef | undefined;
  rollout: ReleaseRef | undefined;
  readonly quarantined: Set<StorePath>;
  readonly acknowledged: Set<StorePath>;
}

/** Kept in memory: 10,000 hosts for a month make millions of writes. It does what the real store does, where the server can see it. */
export class MemoryStore implements FleetStore {
  readonly repositoryId = 'fleet';
  readonly #options: FleetStoreOptions;
  readonly #hosts = new Map<HostName, Stored>();
  #current: CurrentRollout | undefined;
  /** It waits, with what it and those before it that waited changed. */
  #next: Omit<NextOfFleet, 'superseded'> | undefined;
  readonly #pending = new Map<HostName, ReleaseRef>();
  /** Rollouts in a row that were superseded: when each began. */
  #superseded: number[] = [];
  /** The last one that was complete. */
  #complete: CurrentRollout | undefined;
  /** Hosts with a `go`. */
  readonly #gone = new Set<Stored>();
  #sequence = 0;

  constructor(options: FleetStoreOptions) {
    this.#options = options;
  }

  async enrol(hosts: readonly NewHost[], at: number): Promise<void> {
    // By name, as the database has them.
    for (const { host, labels } of hosts.toSorted((one, other) => (one.host < other.host ? -1 : 1))) {
      const row: HostRow = {
        host,
        repositoryId: this.repositoryId,
        publicKey: 'key',
        enrolledAt: at,
        epoch: 0,
        observed: NOTHING_OBSERVED,
        state: 'IDLE',
        isConnected: false,
        acceptedSequence: 0,
        reportSeq: 0,
      };
      this.#hosts.set(host, { row, labels, stable: undefined, rollout: undefined, quarantined: new Set(), acknowledged: new Set() });
    }
    await Promise.resolve();
  }

  async publish(changed: ReadonlyMap<HostName, StorePath>, at: number): Promise<void> {
    this.#sequence += 1;
    const sequence = this.#sequence;
    for (const [host, toplevel] of changed) this.#pending.set(host, { id: `${host}@${sequence}`, host, sequence, toplevel });
    const id = `rollout-${sequence}`;
    const sha = sequence.toString(16).padStart(40, '0') as CommitSha;
    const wasNews = this.#next?.hasNews === true;
    const since = wasNews ? (this.#next?.since ?? at) : at;
    const hasNews = wasNews || changed.size > 0;
    const state = this.#current?.state ?? 'COMPLETE';
    const waits = state !== 'COMPLETE' && (!hasNews || mayBeTrain(state, this.#supersededInARow(), since));
    this.#next = { id, version: 0, revisionId: id, sha, sequence, since, hasNews, isHotfix: false, orders: NO_ORDERS, after: undefined };
    if (!waits) this.#begin(this.#next, at);
    await Promise.resolve();
  }

  #supersededInARow(): NextOfFleet['superseded'] {
    return { count: this.#superseded.length, since: Math.min(...this.#superseded, this.#current?.startedAt ?? Infinity) };
  }

  #begin({ id, revisionId, orders }: Pick<NextOfFleet, 'id' | 'revisionId' | 'orders'>, at: number): void {
    const before = this.#current;
    // One that came to an end of its own ends the row.
    if (before !== undefined)
      this.#superseded = before.state === 'COMPLETE' || before.state === 'ABORTED' ? [] : [...this.#superseded, before.startedAt];
    for (const [host, release] of this.#pending) this.#get(host).rollout = release;
    this.#pending.clear();
    this.#next = undefined;
    const course = beginRollout(at);
    const { policy } = this.#options;
    this.#current = { id, revisionId, startedAt: at, policy, rings: undefined, weaker: undefined, orders, state: course.state, course, version: 0 };
  }

  #read(stored: Stored): FleetHost {
    const { row, stable, rollout, quarantined, acknowledged } = stored;
    const { desired, host } = row;
    const directed = desired && { id: desired.releaseId, host, sequence: desired.sequence, toplevel: desired.toplevel };
    const isRingPromoted = this.#current !== undefined && promotedIn(this.#current)(host);
    const situation = { pin: undefined, hold: undefined, isRingPromoted, rollout, stable, directed, quarantined };
    return { row, situation, desired: resolve(situation), quarantines: [], acknowledged, desiredCommit: undefined };
  }

  #readFleet(): Fleet {
    const isPromoted = this.#current === undefined ? () => false : promotedIn(this.#current);
    const hosts = [...this.#hosts.values()].map((stored): FleetHost => {
      const { row, stable, rollout, quarantined, acknowledged } = stored;
      const { desired, host } = row;
      const directed = desired && { id: desired.releaseId, host, sequence: desired.sequence, toplevel: desired.toplevel };
      const situation = { pin: undefined, hold: undefined, isRingPromoted: isPromoted(host), rollout, stable, directed, quarantined };
      return { row, situation, desired: resolve(situation), quarantines: [], acknowledged, desiredCommit: undefined };
    });
    const next = this.#next && { ...this.#next, superseded: this.#supersededInARow() };
    return { rollout: this.#current, next, hosts };
  }

  #connect(stored: Stored, { sessionId, system, observed, state, stateToplevel, at }: HostPresence): HostRow {
    Object.assign(stored.row, { isConnected: true, sessionId, system, observed, lastSeenAt: at, state, stateToplevel });
    return stored.row;
  }

  #disconnect(stored: Stored, at: number): void {
    stored.row.isConnected = false;
    stored.row.lastSeenAt = at;
  }

  #report({ host, seq, state, toplevel, observed, receivedAt }: StoredReport): void {
    const stored = this.#hosts.get(host);
    if (stored === undefined || seq <= stored.row.reportSeq) return;
    const { row } = stored;
    const subject = toplevel ?? undefined;
    Object.assign(row, { reportSeq: seq, state, stateToplevel: subject, observed, lastSeenAt: receivedAt });
    row.went = wentAfter(row.went, { state, subject });
    if (row.went === undefined) this.#gone.delete(stored);
    if (state === 'ROLLED_BACK' && subject !== undefined) stored.quarantined.add(subject);
  }

  #desire(wanted: readonly DesiredRelease[], at: number): { host: HostName; epoch: number }[] {
    return wanted.flatMap(({ host, id, toplevel, sequence }) => {
      const row = this.#hosts.get(host)?.row;
      if (row === undefined || row.desired?.releaseId === id) return [];
      row.epoch += 1;
      row.desired = { releaseId: id, toplevel, sequence, epoch: row.epoch, since: at };
      return [{ host, epoch: row.epoch }];
    });
  }

  #order({ rolloutId, kind, by, role, reason, at, subject, acknowledged = [] }: NewRolloutOrder): void {
    if (this.#next?.id === rolloutId) {
      this.#next = { ...this.#next, isHotfix: true, orders: { ...NO_ORDERS, hotfix: { by, role, reason, at } } };
      return;
    }
    if (this.#current === undefined) return;
    const said = { by, role, reason, at };
    const asked = kind === 'resume' ? { resume: { ...said, of: subject ?? 0 } } : kind === 'hotfix' ? { hotfix: said } : {};
    this.#current = { ...this.#current, orders: { ...this.#current.orders, ...asked } };
    for (const { host, toplevel } of acknowledged) this.#hosts.get(host)?.acknowledged.add(toplevel);
  }

  readonly store: SimulatedStore = {
    hosts: {
      fleet: async () => await Promise.resolve(this.#readFleet()),
      desire: async (wanted, at) => await Promise.resolve(this.#desire(wanted, at)),
      connect: async (host, presence) => await Promise.resolve(this.#connect(this.#get(host), presence)),
      disconnect: async (host, sessionId, at) => {
        const stored = this.#get(host);
        const isCurrent = stored.row.sessionId === sessionId;
        if (isCurrent) this.#disconnect(stored, at);
        return await Promise.resolve(isCurrent);
      },
      disconnectAll: async (_, at) => {
        const here = [...this.#hosts.values()].filter(({ row }) => row.isConnected);
        for (const stored of here) this.#disconnect(stored, at);
        return await Promise.resolve(here.length);
      },
      takeSlot: async (_, host, judge) => {
        const stored = this.#get(host);
        const went = judge({ rollout: this.#current, asking: this.#read(stored), gone: [...this.#gone].map(({ row }) => row) });
        if (went !== undefined) {
          stored.row.went = went;
          this.#gone.add(stored);
        }
        return await Promise.resolve(went);
      },
    },
    reports: {
      store: async (batch) => {
        for (const report of batch) this.#report(report);
        return await Promise.resolve(new Map(batch.map(({ host, seq }) => [host, seq])));
      },
    },
    rollouts: {
      save: async ({ id, version, course, rings, weaker, unasked = [] }) => {
        const current = this.#current;
        if (current?.id !== id || current.version !== version) return await Promise.resolve(false);
        this.#current = { ...current, course, rings, weaker, state: course.state, version: version + 1 };
        if (course.state === 'COMPLETE') {
          this.#complete = this.#current;
          const left = new Set(unasked);
          for (const [host, stored] of this.#hosts) if (!left.has(host)) stored.stable = stored.rollout ?? stored.stable;
        }
        return await Promise.resolve(true);
      },
      begin: async ({ id }, at) => {
        const next = this.#next;
        if (next?.id !== id) return await Promise.resolve(false);
        this.#begin(next, at);
        return await Promise.resolve(true);
      },
      // No host leaves the fleet.
      lastComplete: async () => await Promise.resolve(this.#complete && { ...this.#complete, known: [] }),
      lostComplete: async () => await Promise.resolve(undefined),
      pushersOf: async () => await Promise.resolve(undefined),
      order: async (asked) => await Promise.resolve(this.#order(asked)),
    },
    revisions: {
      get: async () => await Promise.resolve(undefined),
      evaluations: async () =>
        await Promise.resolve([...this.#hosts].map(([host, { labels }]): Evaluation => ({ host, outcome: 'CHANGED', labels }))),
    },
    audit: { append: async () => await Promise.resolve() },
  };

  #get(host: HostName): Stored {
    const stored = this.#hosts.get(host);
    if (stored === undefined) throw new Error(`there is no host ${host}`);
    return stored;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}
