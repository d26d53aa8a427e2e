import {
  beginRollout,
  mayBeTrain,
  NO_ORDERS,
  NOTHING_OBSERVED,
  promotedIn,
  revertOf,
  type HostName,
  type Order,
  type ReleaseRef,
  type RolloutOrders,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import {
  type CurrentRollout,
  type DesiredRelease,
  type DecisionStore,
  type Evaluation,
  type Fleet,
  type HostRow,
  type NewRolloutOrder,
  type NextOfFleet,
  type StoredReport,
} from '@floe/store';
import { StoredHost, type OfFleet } from './memory-host.ts';
import { MemoryOrders } from './memory-orders.ts';
import { shaOf, type FleetStore, type FleetStoreOptions, type NewHost, type SimulatedStore } from './fleet-store.ts';

type Waiting = Omit<NextOfFleet, 'superseded'> & { readonly policy: RolloutPolicy };

/** Kept in memory: 10,000 hosts for a month make millions of writes. It does what the real store does, where the server can see it. */
export class MemoryStore implements FleetStore {
  readonly repositoryId = 'fleet';
  readonly #hosts = new Map<HostName, StoredHost>();
  #current: CurrentRollout | undefined;
  /** It waits, with what it and those before it that waited changed. */
  #next: Waiting | undefined;
  readonly #pending = new Map<HostName, ReleaseRef>();
  /** Rollouts in a row that were superseded: when each began. */
  #superseded: number[] = [];
  /** By revision, in the order in which they were complete last. */
  readonly #complete = new Map<string, CurrentRollout>();
  /** Hosts with a `go`. */
  readonly #gone = new Set<StoredHost>();
  readonly #people: MemoryOrders;
  /** What hosts were read with last. */
  #seen: Pick<OfFleet, 'revert' | 'key'> & { readonly version: number } = { version: 0, revert: undefined, key: 0 };
  readonly #hasStone = new Set<string>();
  /** All that was ever released, the newest last. */
  readonly #released = new Map<HostName, ReleaseRef[]>();
  readonly #sequenceOf = new Map<StorePath, number>();
  #sequence = 0;

  constructor({ now }: FleetStoreOptions) {
    this.#people = new MemoryOrders(now);
  }

  async enrol(hosts: readonly NewHost[], at: number): Promise<void> {
    // By name, as the database has them.
    for (const { host, labels, timeZone } of hosts.toSorted((one, other) => (one.host < other.host ? -1 : 1))) {
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
      this.#hosts.set(host, new StoredHost(row, labels, timeZone));
    }
    await Promise.resolve();
  }

  async publish(changed: ReadonlyMap<HostName, StorePath>, policy: RolloutPolicy, at: number): Promise<void> {
    this.#sequence += 1;
    const sequence = this.#sequence;
    for (const [host, toplevel] of changed) {
      const release = { id: `${host}@${sequence}`, host, sequence, toplevel };
      this.#pending.set(host, release);
      this.#released.set(host, [...(this.#released.get(host) ?? []), release]);
      this.#sequenceOf.set(toplevel, sequence);
    }
    const id = `rollout-${sequence}`;
    const wasNews = this.#next?.hasNews === true;
    const since = wasNews ? (this.#next?.since ?? at) : at;
    const hasNews = wasNews || changed.size > 0;
    const state = this.#current?.state ?? 'COMPLETE';
    const waits = state !== 'COMPLETE' && (!hasNews || mayBeTrain(state, this.#supersededInARow(), since));
    this.#next = {
      id,
      version: 0,
      revisionId: id,
      sha: shaOf(sequence),
      sequence,
      since,
      hasNews,
      isHotfix: false,
      orders: NO_ORDERS,
      after: undefined,
      policy,
    };
    if (!waits) this.#begin(this.#next, at);
    await Promise.resolve();
  }

  #supersededInARow(): NextOfFleet['superseded'] {
    return { count: this.#superseded.length, since: Math.min(...this.#superseded, this.#current?.startedAt ?? Infinity) };
  }

  #begin({ id, revisionId, orders, policy }: Pick<Waiting, 'id' | 'revisionId' | 'orders' | 'policy'>, at: number): void {
    const before = this.#current;
    // One that came to an end of its own ends the row.
    if (before !== undefined)
      this.#superseded = before.state === 'COMPLETE' || before.state === 'ABORTED' ? [] : [...this.#superseded, before.startedAt];
    for (const [host, release] of this.#pending) this.#get(host).setRollout(release);
    this.#pending.clear();
    this.#next = undefined;
    const course = beginRollout(at);
    this.#current = { id, revisionId, startedAt: at, policy, rings: undefined, weaker: undefined, orders, state: course.state, course, version: 0 };
  }

  /** With what was asked of the fleet since. */
  #withOrders(rollout: CurrentRollout | undefined): CurrentRollout | undefined {
    if (rollout === undefined) return undefined;
    const probes = this.#people.answersOf(rollout.id);
    return { ...rollout, orders: { ...rollout.orders, ...this.#people.ofFleet() }, probes };
  }

  #ofFleet(): OfFleet {
    const current = this.#current;
    const revert = current && revertOf(current);
    const { version } = this.#people;
    const isSame = this.#seen.version === version && this.#seen.revert?.reason === revert?.reason && this.#seen.revert?.by === revert?.by;
    if (!isSame) this.#seen = { version, revert, key: this.#seen.key + 1 };
    return {
      isPromoted: current === undefined ? () => false : promotedIn(current),
      revert,
      sequenceOf: (toplevel) => this.#sequenceOf.get(toplevel),
      ordersOf: ({ row: { host }, labels }) => this.#people.ofHost(host, labels),
      key: this.#seen.key,
    };
  }

  #readFleet(): Fleet {
    const ofFleet = this.#ofFleet();
    const hosts = [...this.#hosts.values()].map((stored) => stored.read(ofFleet));
    const next = this.#next && { ...this.#next, superseded: this.#supersededInARow() };
    return { rollout: this.#withOrders(this.#current), next, hosts };
  }

  #report(report: StoredReport): void {
    const stored = this.#hosts.get(report.host);
    if (stored === undefined) return;
    stored.report(report, report.toplevel === null ? undefined : this.#sequenceOf.get(report.toplevel));
    if (stored.row.went === undefined) this.#gone.delete(stored);
  }

  #desire(wanted: readonly DesiredRelease[], at: number): { host: HostName; epoch: number }[] {
    return wanted.flatMap(({ host, id, toplevel, sequence, permit }) => {
      const stored = this.#hosts.get(host);
      if (stored === undefined || stored.row.desired?.releaseId === id) return [];
      const epoch = stored.row.epoch + 1;
      const desired = { releaseId: id, toplevel, sequence, epoch, since: at, ...(permit === undefined ? {} : { permit }) };
      stored.write({ epoch, toldSequence: Math.max(stored.row.toldSequence ?? 0, sequence), desired });
      return [{ host, epoch }];
    });
  }

  /** As a complete rollout does, with the stones that its policy names for the first time. */
  #advanceStable({ policy, revisionId }: CurrentRollout, unasked: ReadonlySet<HostName>): void {
    for (const [host, stored] of this.#hosts) {
      const { rollout, stable } = stored;
      if (rollout === undefined || unasked.has(host)) continue;
      if (rollout.toplevel !== stable?.toplevel) stored.write({ stableBy: revisionId });
      stored.setStable(rollout);
    }
    for (const name of policy.steppingStones.filter((each) => !this.#hasStone.has(each))) {
      this.#hasStone.add(name);
      for (const stored of this.#hosts.values())
        if (stored.stable !== undefined && stored.stable.id === stored.rollout?.id) stored.addStone({ ...stored.stable, name });
    }
  }

  #order({ version, ...asked }: NewRolloutOrder): boolean {
    const of = this.#next?.id === asked.rolloutId ? this.#next : this.#current;
    if (version !== undefined && of?.version !== version) return false;
    this.#takeOrder(asked);
    if (version === undefined) return true;
    if (this.#next !== undefined && of?.id === this.#next.id) this.#next = { ...this.#next, version: version + 1 };
    else if (this.#current !== undefined) this.#current = { ...this.#current, version: version + 1 };
    return true;
  }

  #takeOrder({ rolloutId, kind, by, role, reason, at, subject, acknowledged = [], answers = [], ...rest }: NewRolloutOrder): void {
    if (this.#next?.id === rolloutId) {
      this.#next = {
        ...this.#next,
        isHotfix: true,
        orders: { ...this.#next.orders, ...hotfixWith(this.#next.orders, { by, role, reason, at }, subject) },
      };
      return;
    }
    if (this.#current === undefined) return;
    const said = { by, role, reason, at };
    this.#people.acknowledge(rolloutId, answers);
    const { approvals } = this.#current.orders;
    const { binds, loosens, person } = rest;
    if (kind === 'approve') {
      const approval = { ...said, ring: subject ?? 0, person, binds, loosens };
      this.#current = { ...this.#current, orders: { ...this.#current.orders, approvals: [...approvals, approval] } };
      return;
    }
    const asked =
      kind === 'resume'
        ? { resume: { ...said, of: subject ?? 0 } }
        : kind === 'abort'
          ? { abort: { ...said, isRevert: subject === 1 } }
          : kind === 'hotfix'
            ? hotfixWith(this.#current.orders, said, subject)
            : {};
    this.#current = { ...this.#current, orders: { ...this.#current.orders, ...asked } };
    for (const { host, toplevel } of acknowledged) this.#hosts.get(host)?.acknowledge(toplevel);
  }

  readonly store: SimulatedStore = {
    // Nothing fails halfway here, and nobody reads the log. What decides something asks for no more than a simulation has.
    decide: async (work) => (await work(this.store as unknown as DecisionStore)).result,
    hosts: {
      fleet: async () => await Promise.resolve(this.#readFleet()),
      desire: async (wanted, at) => await Promise.resolve(this.#desire(wanted, at)),
      retry: async (host, toplevel) => await Promise.resolve(this.#get(host).retry(toplevel)),
      connect: async (host, presence) => await Promise.resolve(this.#get(host).connect(presence)),
      disconnect: async (host, sessionId, at) => {
        const stored = this.#get(host);
        const isCurrent = stored.row.sessionId === sessionId;
        if (isCurrent) stored.disconnect(at);
        return await Promise.resolve(isCurrent);
      },
      disconnectAll: async (_, at) => {
        const here = [...this.#hosts.values()].filter(({ row }) => row.isConnected);
        for (const stored of here) stored.disconnect(at);
        return await Promise.resolve(here.length);
      },
      pin: async (pin) => {
        const { desired } = this.#get(pin.host).row;
        // Nobody pins to anything else here.
        if (desired?.releaseId !== pin.releaseId) return await Promise.resolve(false);
        const { sequence, toplevel } = desired;
        this.#people.pin(pin, { id: pin.releaseId, host: pin.host, sequence, toplevel });
        return await Promise.resolve(true);
      },
      orderQuarantine: async ({ host, commit, by, reason, at }) => {
        const sequence = Number.parseInt(commit, 16);
        const toplevel = host === undefined ? undefined : this.#systemOf(host, sequence);
        if (host === undefined || toplevel === undefined) return await Promise.resolve(false);
        this.#people.ban(host, toplevel, { commit, sequence, by, reason, at, isOfAll: false });
        return await Promise.resolve(true);
      },
      liftQuarantine: async ({ host, commit }) => {
        const toplevel = host === undefined ? undefined : this.#systemOf(host, Number.parseInt(commit, 16));
        return await Promise.resolve(host !== undefined && toplevel !== undefined && this.#people.lift(host, toplevel));
      },
      beginTrial: async (trial) => await Promise.resolve(this.#get(trial.host).beginTrial(trial)),
      endTrial: async ({ host, id }) => await Promise.resolve(this.#get(host).endTrial(id)),
      takeSlot: async (_, host, judge) => {
        const stored = this.#get(host);
        const rollout = this.#withOrders(this.#current);
        const labels = new Map([stored, ...this.#gone].map((each) => [each.row.host, each.labels]));
        const went = judge({ rollout, asking: stored.read(this.#ofFleet()), gone: [...this.#gone].map(({ row }) => row), labels });
        if (went !== undefined) {
          stored.write({ went });
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
          this.#complete.delete(this.#current.revisionId);
          this.#complete.set(this.#current.revisionId, this.#current);
          this.#advanceStable(this.#current, new Set(unasked));
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
      completeBefore: async (revisionId) => {
        const last = [...this.#complete.values()].findLast((each) => each.revisionId !== revisionId);
        return await Promise.resolve({ last: last && { ...last, known: [] }, lost: undefined });
      },
      authorsOf: async () => await Promise.resolve(undefined),
      order: async (asked) => await Promise.resolve(this.#order(asked)),
      unfreeze: async (_, seen) => await Promise.resolve(this.#people.unfreeze(seen)),
      freeze: async (_, freeze) => {
        this.#people.freeze(freeze);
        return await Promise.resolve(undefined);
      },
      stopLabel: async (_, stop) => {
        this.#people.stop(stop);
        return await Promise.resolve({ replaced: undefined });
      },
      startLabel: async (_, seen) => await Promise.resolve(this.#people.start(seen)),
      claimProbe: async (probe) => await Promise.resolve(this.#people.claim(probe)),
      answerProbe: async (probe, claim, answer) => await Promise.resolve(this.#people.answer(probe, claim, answer)),
    },
    revisions: {
      get: async () => await Promise.resolve(undefined),
      evaluationsOf: async (ids) => await Promise.resolve(new Map(ids.map((id) => [id, { state: 'PUBLISHED', evaluations: this.#evaluations() }]))),
    },
  };

  #evaluations(): readonly Evaluation[] {
    return [...this.#hosts].map(([host, { labels, timeZone }]) => {
      const toplevel = this.#released.get(host)?.at(-1)?.toplevel;
      return { host, outcome: 'CHANGED', toplevel, labels, timeZone };
    });
  }

  /** What the commit has for the host. */
  #systemOf(host: HostName, commit: number): StorePath | undefined {
    return this.#released.get(host)?.findLast(({ sequence }) => sequence <= commit)?.toplevel;
  }

  #get(host: HostName): StoredHost {
    const stored = this.#hosts.get(host);
    if (stored === undefined) throw new Error(`there is no host ${host}`);
    return stored;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}

/** With the words of those who want it now. */
function hotfixWith({ hotfix }: RolloutOrders, said: Order, subject: number | undefined): Pick<RolloutOrders, 'hotfix'> {
  return { hotfix: { ...said, now: [...(hotfix?.now ?? []), ...(subject === 1 ? [said] : [])] } };
}
