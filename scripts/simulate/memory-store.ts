import {
  beginRollout,
  mayBeTrain,
  NO_ORDERS,
  promotedIn,
  revertOf,
  type HostName,
  type KnownHost,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import {
  type CurrentRollout,
  type DesiredRelease,
  type DecisionStore,
  type Fleet,
  type LeftHosts,
  type NewRolloutOrder,
  type NextOfFleet,
  type Quarantine,
  type StoredReport,
} from '@floe/store';
import { newRow, StoredHost, type OfFleet } from './memory-host.ts';
import { MemoryOrders, ordersWith } from './memory-orders.ts';
import type { Commit } from './commit.ts';
import { shaOf, type FleetStore, type FleetStoreOptions, type SimulatedStore } from './fleet-store.ts';
import { labelsIn, MemoryReleases, renamedIn } from './memory-releases.ts';

type Renames = SimulatedStore['hosts']['rename'];
type Waiting = Omit<NextOfFleet, 'superseded'> & { readonly policy: RolloutPolicy };

/** Kept in memory: 10,000 hosts for a month make millions of writes. It does what the real store does, where the server can see it. */
export class MemoryStore implements FleetStore {
  readonly repositoryId = 'fleet';
  readonly #hosts = new Map<HostName, StoredHost>();
  #current: (CurrentRollout & { readonly sequence: number }) | undefined;
  /** It waits, with what it and those before it that waited changed. */
  #next: Waiting | undefined;
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
  readonly #releases = new MemoryReleases();
  /** Of each name, also when its host is forgotten. */
  readonly #quarantines = new Map<HostName, Map<StorePath, Quarantine>>();
  #sequence = 0;
  #isSorted = true;

  constructor({ now }: FleetStoreOptions) {
    this.#people = new MemoryOrders(now);
  }

  /** Its row, which is new where there is none. */
  #ensure(host: HostName): StoredHost {
    const known = this.#hosts.get(host);
    if (known !== undefined) return known;
    const quarantines = this.#quarantines.get(host) ?? new Map<StorePath, Quarantine>();
    this.#quarantines.set(host, quarantines);
    const stored = new StoredHost(newRow(host, this.repositoryId), quarantines);
    this.#put(host, stored);
    return stored;
  }

  #put(host: HostName, stored: StoredHost): void {
    this.#hosts.set(host, stored);
    this.#isSorted = false;
    this.#askRollout(stored);
  }

  /** By name, as the database has them. */
  #sort(): void {
    if (this.#isSorted) return;
    this.#isSorted = true;
    const all = [...this.#hosts].toSorted(([one], [other]) => (one < other ? -1 : 1));
    this.#hosts.clear();
    for (const [name, each] of all) this.#hosts.set(name, each);
  }

  /** What the rollout that hosts follow has for it. */
  #askRollout(stored: StoredHost): void {
    const { host } = stored.row;
    if (this.#current === undefined) return;
    const { timeZone } = this.#releases.evaluation(this.#current.revisionId, host) ?? {};
    const release = this.#releases.inRevision(host, this.#current);
    stored.setRollout(release, release === undefined ? undefined : timeZone);
  }

  #forget(host: HostName): void {
    this.#hosts.delete(host);
    this.#people.forget(host);
  }

  #rename({ formerHost: from, host: to, publicKey, at }: Parameters<Renames>[0]): Awaited<ReturnType<Renames>> {
    const former = this.#hosts.get(from);
    const taken = this.#hosts.get(to);
    if (former === undefined || former.row.publicKey !== publicKey || former.row.revokedAt !== undefined) return 'not-enrolled';
    if (taken?.row.publicKey !== undefined) return 'taken';
    if (this.#releases.newestSequence(to) <= this.#releases.newestSequence(from)) return 'no-release';
    this.#hosts.delete(to);
    this.#hosts.delete(from);
    const quarantines = this.#quarantines.get(from) ?? new Map<StorePath, Quarantine>();
    for (const [toplevel, quarantine] of this.#quarantines.get(to) ?? []) quarantines.set(toplevel, quarantine);
    this.#quarantines.delete(from);
    this.#quarantines.set(to, quarantines);
    this.#people.rename(from, to);
    this.#releases.rename(from, to);
    former.rename(to, at);
    const current = this.#current;
    if (current !== undefined) this.#current = renamedIn(current, from, to);
    this.#put(to, former);
    return 'renamed';
  }

  async publish(commit: Commit, at: number): Promise<void> {
    const { changed, policy } = commit;
    this.#sequence += 1;
    const sequence = this.#sequence;
    for (const { host } of commit.hosts) this.#ensure(host);
    const id = `rollout-${sequence}`;
    this.#releases.add(id, sequence, commit);
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
    const there = new Set(commit.hosts.map(({ host }) => host));
    for (const [host, { row }] of this.#hosts) if (row.publicKey === undefined && !there.has(host)) this.#forget(host);
    await Promise.resolve();
  }

  #supersededInARow(): NextOfFleet['superseded'] {
    return { count: this.#superseded.length, since: Math.min(...this.#superseded, this.#current?.startedAt ?? Infinity) };
  }

  #begin({ id, revisionId, sequence, orders, policy }: Pick<Waiting, 'id' | 'revisionId' | 'sequence' | 'orders' | 'policy'>, at: number): void {
    const before = this.#current;
    // One that came to an end of its own ends the row.
    if (before !== undefined)
      this.#superseded = before.state === 'COMPLETE' || before.state === 'ABORTED' ? [] : [...this.#superseded, before.startedAt];
    this.#next = undefined;
    const course = beginRollout(at);
    const none = { rings: undefined, weaker: undefined, version: 0 };
    this.#current = { id, revisionId, sequence, startedAt: at, policy, orders, state: course.state, course, ...none };
    for (const stored of this.#hosts.values()) this.#askRollout(stored);
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
      sequenceOf: (toplevel) => this.#releases.sequenceOf(toplevel),
      ordersOf: (stored) => this.#people.ofHost(stored.row.host, this.#labelsOf(stored)),
      key: this.#seen.key,
    };
  }

  /** By which a person stops it. */
  #labelsOf(stored: StoredHost): readonly string[] {
    return labelsIn(this.#releases.newestEvaluation(stored.row.host), stored);
  }

  #readFleet(): Fleet {
    this.#sort();
    const ofFleet = this.#ofFleet();
    const hosts = [...this.#hosts.values()].map((stored) => stored.read(ofFleet));
    const next = this.#next && { ...this.#next, superseded: this.#supersededInARow() };
    return { rollout: this.#withOrders(this.#current), next, hosts };
  }

  #report(report: StoredReport): void {
    const stored = this.#hosts.get(report.host);
    if (stored === undefined) return;
    stored.report(report, report.toplevel === null ? undefined : this.#releases.sequenceOf(report.toplevel));
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

  /** Where hosts were in the last complete rollout that had them. */
  #known(): readonly KnownHost[] {
    return [...this.#hosts.values()].flatMap(({ left }) => left ?? []);
  }

  /** Those that it does not have keep what they had, by the names of now. */
  #leave({ hosts, renamed }: LeftHosts): void {
    const news = new Map(hosts.map((each) => [each.host, each]));
    for (const [host, stored] of this.#hosts) {
      const { left } = stored;
      stored.left = news.get(host) ?? (left && { ...left, ring: left.ring === undefined ? undefined : renamed.get(left.ring) });
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

  #takeOrder(asked: NewRolloutOrder): void {
    const { rolloutId, acknowledged = [], answers = [] } = asked;
    if (this.#next?.id === rolloutId) {
      this.#next = { ...this.#next, isHotfix: true, orders: ordersWith(this.#next.orders, { ...asked, kind: 'hotfix' }) };
      return;
    }
    if (this.#current === undefined) return;
    this.#people.acknowledge(rolloutId, answers);
    this.#current = { ...this.#current, orders: ordersWith(this.#current.orders, asked) };
    for (const { host, toplevel } of acknowledged) this.#hosts.get(host)?.acknowledge(toplevel);
  }

  readonly store: SimulatedStore = {
    // Nothing fails halfway here, and nobody reads the log. What decides something asks for no more than a simulation has.
    decide: async (work) => (await work(this.store as unknown as DecisionStore)).result,
    hosts: {
      fleet: async () => await Promise.resolve(this.#readFleet()),
      desire: async (wanted, at) => await Promise.resolve(this.#desire(wanted, at)),
      retry: async (host, toplevel) => await Promise.resolve(this.#get(host).retry(toplevel)),
      ensure: async (_, hosts) => {
        for (const host of hosts) this.#ensure(host);
        return await Promise.resolve();
      },
      enrol: async ({ host, publicKey, at }) => await Promise.resolve(this.#ensure(host).enrol(publicKey, at)),
      revoke: async (host, at) => {
        this.#get(host).write({ revokedAt: at });
        return await Promise.resolve();
      },
      forget: async (host) => {
        const { row } = this.#hosts.get(host) ?? {};
        const isGone = row !== undefined && (row.publicKey === undefined || row.revokedAt !== undefined);
        if (isGone) this.#forget(host);
        return await Promise.resolve(isGone);
      },
      rename: async (renaming) => await Promise.resolve(this.#rename(renaming)),
      connect: async (host, presence) => await Promise.resolve(this.#get(host).connect(presence, this.#releases.newestSequence(host))),
      disconnect: async (host, sessionId, at) => {
        const stored = this.#hosts.get(host);
        const isCurrent = stored?.row.sessionId === sessionId && stored.row.isConnected;
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
        this.#people.pin(pin, { id: pin.releaseId, host: pin.host, sequence: desired.sequence, toplevel: desired.toplevel });
        return await Promise.resolve(true);
      },
      orderQuarantine: async ({ host, commit, by, reason, at }) => {
        const sequence = Number.parseInt(commit, 16);
        const toplevel = host === undefined ? undefined : this.#releases.evaluation(`rollout-${sequence}`, host)?.toplevel;
        if (host === undefined || toplevel === undefined) return await Promise.resolve(false);
        this.#people.ban(host, toplevel, { commit, sequence, by, reason, at, isOfAll: false });
        return await Promise.resolve(true);
      },
      liftQuarantine: async ({ host, commit }) => {
        const toplevel = host === undefined ? undefined : this.#releases.evaluation(`rollout-${Number.parseInt(commit, 16)}`, host)?.toplevel;
        return await Promise.resolve(host !== undefined && toplevel !== undefined && this.#people.lift(host, toplevel));
      },
      beginTrial: async (trial) => await Promise.resolve(this.#get(trial.host).beginTrial(trial)),
      endTrial: async ({ host, id }) => await Promise.resolve(this.#get(host).endTrial(id)),
      takeSlot: async (_, host, judge) => {
        const stored = this.#get(host);
        const rollout = this.#withOrders(this.#current);
        const gone = [...this.#gone].filter(({ row }) => this.#hosts.get(row.host) !== undefined && row.revokedAt === undefined);
        const labels = new Map(
          [stored, ...gone].map((each) => [each.row.host, labelsIn(this.#releases.evaluation(this.#current?.revisionId, each.row.host), each)]),
        );
        const went = judge({ rollout, asking: stored.read(this.#ofFleet()), gone: gone.map(({ row }) => row), labels });
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
      save: async ({ id, version, course, rings, weaker, unasked = [], left }) => {
        const current = this.#current;
        if (current?.id !== id || current.version !== version) return await Promise.resolve(false);
        this.#current = { ...current, course, rings, weaker, state: course.state, version: version + 1 };
        if (course.state === 'COMPLETE') {
          this.#complete.delete(this.#current.revisionId);
          this.#complete.set(this.#current.revisionId, this.#current);
          this.#advanceStable(this.#current, new Set(unasked));
        }
        if (left !== undefined) this.#leave(left);
        return await Promise.resolve(true);
      },
      begin: async ({ id }, at) => {
        const next = this.#next;
        if (next?.id !== id) return await Promise.resolve(false);
        this.#begin(next, at);
        return await Promise.resolve(true);
      },
      completeBefore: async (revisionId) => {
        const last = [...this.#complete.values()].findLast((each) => each.revisionId !== revisionId);
        return await Promise.resolve({ last: last && { ...last, known: this.#known() }, lost: undefined });
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
      evaluationsOf: async (ids) => await Promise.resolve(this.#releases.evaluationsOf(ids)),
    },
  };

  #get(host: HostName): StoredHost {
    const stored = this.#hosts.get(host);
    if (stored === undefined) throw new Error(`there is no host ${host}`);
    return stored;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}
