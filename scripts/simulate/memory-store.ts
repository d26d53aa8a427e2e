import {
  beginRollout,
  DEFAULT_PRESENCE,
  defaultGates,
  NO_ORDERS,
  NOTHING_OBSERVED,
  promotedIn,
  resolve,
  wentAfter,
  type AgentState,
  type HostName,
  type ReleaseRef,
  type RingPolicy,
  type RolloutOrders,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import type { CurrentRollout, Evaluation, Fleet, FleetHost, HostRow, RolloutDecided, SlotFacts } from '@floe/store';

type Changeable<Row> = { -readonly [Key in keyof Row]: Row[Key] };

/** A host as the store has it. */
export interface StoredHost {
  readonly row: Changeable<HostRow>;
  readonly labels: readonly string[];
  stable: ReleaseRef | undefined;
  rollout: ReleaseRef | undefined;
  readonly quarantined: Set<StorePath>;
  readonly acknowledged: Set<StorePath>;
}

const REPOSITORY = 'fleet';

/** What the engine and the admission ask of the store, kept in memory: 10,000 hosts for a month make millions of writes. */
export class MemoryStore {
  readonly hosts = new Map<HostName, StoredHost>();
  readonly policy: RolloutPolicy;
  current: CurrentRollout | undefined;
  /** Hosts with a `go`. */
  readonly #gone = new Set<StoredHost>();
  #sequence = 0;

  constructor(policy: RolloutPolicy) {
    this.policy = policy;
  }

  add(host: HostName, labels: readonly string[], enrolledAt: number): StoredHost {
    const row: HostRow = {
      host,
      repositoryId: REPOSITORY,
      publicKey: 'key',
      enrolledAt,
      epoch: 0,
      observed: NOTHING_OBSERVED,
      state: 'IDLE',
      isConnected: false,
      acceptedSequence: 0,
      reportSeq: 0,
    };
    const stored = { row, labels, stable: undefined, rollout: undefined, quarantined: new Set<StorePath>(), acknowledged: new Set<StorePath>() };
    this.hosts.set(host, stored);
    return stored;
  }

  /** A revision that changes these hosts. It supersedes whatever there was. */
  publish(changed: ReadonlyMap<HostName, StorePath>, orders: Partial<RolloutOrders>, now: number): number {
    this.#sequence += 1;
    for (const [host, toplevel] of changed) {
      const stored = this.hosts.get(host);
      if (stored !== undefined) stored.rollout = { id: `${host}@${this.#sequence}`, host, sequence: this.#sequence, toplevel };
    }
    const id = `rollout-${this.#sequence}`;
    const course = beginRollout(now);
    this.current = {
      id,
      revisionId: id,
      state: course.state,
      startedAt: now,
      course,
      version: 0,
      policy: this.policy,
      rings: undefined,
      weaker: undefined,
      orders: { ...NO_ORDERS, ...orders },
    };
    return this.#sequence;
  }

  order(orders: Partial<RolloutOrders>): void {
    if (this.current !== undefined) this.current = { ...this.current, orders: { ...this.current.orders, ...orders } };
  }

  readHost(stored: StoredHost): FleetHost {
    const { row, stable, rollout, quarantined, acknowledged } = stored;
    const { current } = this;
    const { desired } = row;
    const directed = desired && { id: desired.releaseId, host: row.host, sequence: desired.sequence, toplevel: desired.toplevel };
    const isRingPromoted = current !== undefined && promotedIn(current)(row.host);
    const situation = { pin: undefined, hold: undefined, isRingPromoted, rollout, stable, directed, quarantined };
    return { row, situation, desired: resolve(situation), quarantines: [], acknowledged, desiredCommit: undefined };
  }

  readFleet(): Fleet {
    return { rollout: this.current, hosts: [...this.hosts.values()].map((stored) => this.readHost(stored)) };
  }

  /** A report, as the store takes it. */
  report(stored: StoredHost, state: AgentState, subject: StorePath | undefined, runs: StorePath | undefined): void {
    const { row } = stored;
    row.state = state;
    row.stateToplevel = subject;
    row.observed = runs === undefined ? NOTHING_OBSERVED : { current: runs, booted: null, profile: { generation: 1, toplevel: runs } };
    row.went = wentAfter(row.went, { state, subject });
    if (row.went === undefined) this.#gone.delete(stored);
    if (state === 'ROLLED_BACK' && subject !== undefined) stored.quarantined.add(subject);
  }

  readonly engine = {
    rollouts: {
      save: async ({ id, version, course, rings, weaker }: RolloutDecided): Promise<boolean> => {
        const { current } = this;
        if (current?.id !== id || current.version !== version) return await Promise.resolve(false);
        this.current = { ...current, course, rings, weaker, state: course.state, version: version + 1 };
        if (course.state === 'COMPLETE') for (const stored of this.hosts.values()) if (stored.rollout !== undefined) stored.stable = stored.rollout;
        return await Promise.resolve(true);
      },
      // The policy of the simulated fleet does not change.
      lastComplete: async (): Promise<undefined> => await Promise.resolve(undefined),
    },
    revisions: {
      get: async (): Promise<undefined> => await Promise.resolve(undefined),
      evaluations: async (): Promise<Evaluation[]> =>
        await Promise.resolve([...this.hosts].map(([host, { labels }]): Evaluation => ({ host, outcome: 'CHANGED', labels }))),
    },
    audit: { append: async (): Promise<void> => await Promise.resolve() },
    hosts: {
      takeSlot: async (_: string, host: HostName, judge: (facts: SlotFacts) => HostRow['went']): Promise<HostRow['went']> => {
        const stored = this.hosts.get(host);
        if (stored === undefined) return await Promise.resolve(undefined);
        const went = judge({ rollout: this.current, asking: this.readHost(stored), gone: [...this.#gone].map(({ row }) => row) });
        if (went !== undefined) {
          stored.row.went = went;
          this.#gone.add(stored);
        }
        return await Promise.resolve(went);
      },
    },
  };
}

/** A company: canaries by label, a tenth of the fleet by share, then everyone. */
export function companyPolicy(hostCount: number): RolloutPolicy {
  const ring = (index: number, name: string, members: Partial<RingPolicy['members']>): RingPolicy => ({
    name,
    members: { hosts: [], labels: [], share: undefined, ...members },
    ...defaultGates(index, 3),
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    pauseAfter: false,
  });
  return {
    rings: [ring(0, 'canary', { labels: ['canary'] }), ring(1, 'early', { share: 10 }), ring(2, 'everyone', {})],
    labels: {},
    maxInFlight: Math.max(10, Math.round(hostCount / 50)),
    budgets: [{ label: 'dns', atMost: 1 }],
    checks: [],
    presence: DEFAULT_PRESENCE,
  };
}
