import { isActivating } from '../agent/state.ts';
import type { HostName, StorePath } from '../brands.ts';
import { isStopped, isSuperseded, resolve, type Desired, type HostSituation, type LabelStop } from '../resolve.ts';
import { carriedFailures } from '../rollout/carried.ts';
import { admit, mayBeginBy, type Asking } from '../rollout/admit.ts';
import { beginRollout, NO_ORDERS, revertOf, standingStops, type Freeze, type RolloutCourse, type RolloutOrders } from '../rollout/course.ts';
import { decideRollout, soakEnd, type RolloutDecision } from '../rollout/decide.ts';
import type { RolloutFacts } from '../rollout/facts.ts';
import type { RingWindow, RolloutPolicy } from '../rollout/policy.ts';
import type { ProbeVerdict, StoredAnswer } from '../rollout/probe-answer.ts';
import { dueProbes } from '../rollout/probes.ts';
import { unaskedIn } from '../rollout/rings.ts';
import { isPastGo, progressOf, wentAfter, type RingHost } from '../rollout/progress.ts';
import { hasArrived } from '../standing.ts';
import { pendingStone, type SteppingStone } from '../stepping-stone.ts';
import { isEndedRollout, isRingPromoted } from '../rollout/table.ts';
import { DEFAULT_TIME_ZONE, HOST_TIME_ZONE, windowsOfRing } from '../rollout/time-zones.ts';
import { awaitedName, worldHost, ZONES, type WorldHost } from './world-host.ts';
import { changeOf, failedBefore, renamedFacts } from './world-failures.ts';
import { moveAcknowledged, moveInCourse, moveInRevisions, moveReleases, unusedName } from './world-names.ts';
import { dropFirst, releaseIn, worldRevision, type WorldCommit, type WorldRevision } from './world-revision.ts';

/** After a `go` the watchdog has acted by then. */
const WATCHDOG_MS = 15 * 60_000;

/** A fleet, its people and its server, as far as rollouts depend on them. Everything but the decisions is a stand-in. */
export class RolloutWorld {
  now = 1_000_000;
  readonly policy: RolloutPolicy;
  readonly hosts: WorldHost[] = [];
  readonly revisions: WorldRevision[] = [];
  course: RolloutCourse | undefined;
  orders: RolloutOrders = NO_ORDERS;
  freeze: Freeze | undefined;
  stops: readonly LabelStop[] = [];
  readonly acknowledged = new Set<string>();
  /** "SEQUENCE RING": rings that had all their approvals. */
  readonly approved = new Set<string>();
  /** What each probe of a ring answered last. */
  readonly answers = new Map<string, StoredAnswer>();
  /** Of each ring, the time zones in which its windows are open. */
  readonly isOpen: Set<string>[];
  readonly #openMs: number[];
  #rings = new Map<HostName, number>();
  /** All that there ever were. */
  readonly #names = new Set<HostName>();
  /** Called with every decision. */
  readonly onDecision: (decision: RolloutDecision, facts: RolloutFacts, from: RolloutCourse) => void;

  constructor(policy: RolloutPolicy, hosts: number, onDecision: RolloutWorld['onDecision']) {
    this.policy = policy;
    this.isOpen = policy.rings.map(() => new Set(ZONES));
    this.#openMs = policy.rings.map(() => 0);
    this.onDecision = onDecision;
    for (let index = 0; index < hosts; index += 1) this.addHost(`h${index}`, index % policy.rings.length, index % 2 === 0 ? ['dns'] : []);
  }

  addHost(name: string, ring: number, labels: readonly string[], isEnrolled = true): void {
    this.#names.add(name as HostName);
    this.hosts.push(worldHost({ name: name as HostName, ring, labels, isEnrolled }, this.now));
  }

  get newest(): WorldRevision | undefined {
    return this.revisions.at(-1);
  }

  /** A commit. What came before is superseded, and what of that was not built yet never is. */
  publish(commit: WorldCommit = {}): void {
    const revision = worldRevision(commit, this.hosts, this.newest);
    this.revisions.push(revision);
    this.course = beginRollout(this.now);
    this.orders = NO_ORDERS;
    this.answers.clear();
    const names = this.hosts.flatMap(({ name, called = name, ring }) => [[name, ring] as const, [called, ring] as const]);
    this.#rings = new Map(names.filter(([name]) => !revision.unknown.has(name)));
    this.#openMs.fill(0);
  }

  /** The next host of the newest commit is built, or evaluated; `isLast`: and all others with it. */
  build(isLast: boolean): void {
    dropFirst(this.newest?.coming, isLast);
  }
  evaluate(isLast: boolean): void {
    dropFirst(this.newest?.unknown, isLast);
  }

  ringOf(host: WorldHost, name = host.name): number {
    const isPassedOver = this.course?.unapproved?.includes(host.ring) === true;
    const ring = this.#rings.get(name) ?? (isPassedOver ? host.ring : Math.max(host.ring, this.course?.ring ?? 0));
    this.#rings.set(name, ring);
    return ring;
  }

  /** The next commit has another name for the machine: one that nothing ever had, with the same number. */
  callOtherwise(host: WorldHost): void {
    host.called = unusedName(host.name, this.#names);
    this.#names.add(host.called);
  }

  /** An administrator gives a machine the name that the newest commit has for it, once that has a release for the name (D12). */
  rename(host: WorldHost): void {
    const [from, to, { newest }] = [host.name, awaitedName(host), this];
    if (to === undefined || !host.isEnrolled || newest === undefined || newest.coming.has(to) || newest.unknown.has(to)) return;
    this.disconnect(host);
    host.name = to;
    moveInRevisions(this.revisions, from, to);
    moveReleases(host, to);
    this.course = this.course && moveInCourse(this.course, from, to);
    this.#rings.set(to, this.#rings.get(from) ?? host.ring);
    moveAcknowledged(this.acknowledged, from, to);
  }

  /** Another machine is enrolled under the name that this one was to have. */
  replaceNext(host: WorldHost): void {
    const name = awaitedName(host);
    if (name === undefined) return;
    this.addHost(name, host.ring, host.labels);
    host.called = undefined;
  }

  facts(): RolloutFacts {
    const { newest, policy } = this;
    const hosts = this.hosts.flatMap((host): readonly RingHost[] => {
      if (newest !== undefined && host.called !== host.name) return renamedFacts(this, host, newest);
      const { id, toplevel } = (newest && releaseIn(newest, host)) ?? {};
      if (toplevel === undefined) return [];
      const observed = { current: host.seen.runs, booted: null, profile: { generation: 1, toplevel: host.seen.runs } };
      const { isConnected, isOverridden, went } = host;
      const isQuarantined = host.quarantined.has(toplevel);
      const isPinned = host.pin !== undefined || (host.hold !== undefined && host.hold.id !== id);
      const progress = progressOf(
        { ...host.seen, observed, isConnected, isOverridden, isRetryPending: false, toplevel, isQuarantined, went },
        this.now,
      );
      const isStoppedAway = this.stopsOf(host).length > 0 && (progress === 'to-come' || progress === 'waiting' || progress === 'away');
      const isElsewhere = isPinned || isOverridden || isStoppedAway;
      return [
        {
          host: host.name,
          ring: this.ringOf(host),
          toplevel,
          change: changeOf(this.revisions, host.name, toplevel),
          failedBefore: isElsewhere || !host.isEnrolled ? [] : failedBefore(this, host, toplevel),
          platform: host.platform,
          timeZone: host.timeZone,
          isKept: isElsewhere && host.stable?.toplevel !== toplevel,
          isEligible: host.isEnrolled && !isElsewhere && !this.isStuck(host, toplevel) && host.stable?.toplevel !== toplevel,
          progress,
          isBrieflyAway: !isConnected && this.now - host.awaySince < 90_000,
          failure: progress === 'failed' ? host.seen.state : undefined,
          isAcknowledged: this.acknowledged.has(`${host.name} ${toplevel}`),
        },
      ];
    });
    const windows = policy.rings.map((_, ring) => ({ isOpen: this.#isRingOpen(ring, hosts), openMs: this.#openMs[ring] ?? 0 }));
    const orders = { ...this.orders, freeze: this.freeze };
    const coming = this.hosts.flatMap((host) => {
      const { called: name } = host;
      if (name === undefined || newest?.coming.has(name) !== true || newest.unknown.has(name)) return [];
      const isThere = host.isEnrolled && (host.isConnected || this.now - host.awaySince < 90_000);
      return [{ host: name, ring: this.ringOf(host, name), isPresent: isThere && name === host.name }];
    });
    const evaluating = newest === undefined || newest.unknown.size === 0 ? undefined : newest.unknown.size;
    return {
      policy,
      hosts,
      coming,
      evaluating,
      windows,
      orders,
      probes: [...this.answers.values()],
      authors: ['eve'],
      hasUnknownAuthor: false,
      hasOtherAdministrator: true,
      weaker: [],
    };
  }

  /** As the server has it: for some of the hosts that the ring asks. */
  #isRingOpen(ring: number, hosts: readonly RingHost[]): boolean {
    const own: RingWindow = { kind: 'allow', cron: '', durationMs: 0, timeZone: HOST_TIME_ZONE };
    const asked = hosts.filter((host) => host.ring === ring);
    const given = windowsOfRing([own], asked);
    return given.flat().some(({ timeZone }) => this.isOpen[ring]?.has(timeZone) === true || timeZone === DEFAULT_TIME_ZONE);
  }

  /** Changes of the host may begin. */
  isOpenFor(host: WorldHost): boolean {
    return this.isOpen[this.ringOf(host)]?.has(host.timeZone) ?? true;
  }

  stopsOf({ labels }: WorldHost): readonly LabelStop[] {
    return standingStops(this, this.now).filter(({ label }) => labels.includes(label));
  }

  desiredOf(host: WorldHost): Desired {
    return resolve(this.#situationOf(host));
  }

  #situationOf(host: WorldHost): HostSituation {
    const { course, newest } = this;
    return {
      pin: host.pin,
      hold: host.hold,
      isRingPromoted: course !== undefined && isRingPromoted(course, this.ringOf(host)),
      rollout: newest === undefined ? undefined : releaseIn(newest, host),
      stable: host.stable,
      stone: this.stoneOf(host),
      directed: host.directed,
      revert: course && revertOf({ course, orders: this.orders }),
      floor: host.told,
      quarantined: host.quarantined,
      stops: this.stopsOf(host),
    };
  }

  /** The server looks at everything once. */
  tick(): void {
    const { course, newest } = this;
    if (course !== undefined && newest !== undefined) {
      const facts = this.facts();
      const decision = decideRollout(course, facts, this.now);
      this.onDecision(decision, facts, course);
      if (decision.course.ringSince !== course.ringSince) this.#openMs.fill(0);
      this.course = decision.course;
      this.#noteApproved(newest);
      const unasked = new Set(unaskedIn(decision, facts));
      if (decision.course.state === 'COMPLETE' && course.state !== 'COMPLETE')
        for (const host of this.hosts) if (!unasked.has(host.name)) this.#becomesStable(host, newest);
    }
    for (const host of this.hosts.filter(({ isEnrolled }) => isEnrolled)) {
      const desired = this.desiredOf(host);
      if (desired.kind === 'release') {
        host.directed = { ...desired.release, permit: desired.permit };
        host.told = Math.max(host.told, desired.release.sequence);
      }
      this.#offer(host);
    }
  }

  #noteApproved({ sequence }: WorldRevision): void {
    for (const [ring, { approvals }] of this.policy.rings.entries()) {
      const given = this.orders.approvals.filter((each) => each.ring === ring && (approvals?.notAuthor !== true || each.by !== 'eve'));
      if (new Set(given.map(({ by }) => by)).size >= (approvals?.count ?? 0)) this.approved.add(`${sequence} ${ring}`);
    }
  }

  #becomesStable(host: WorldHost, newest: WorldRevision): void {
    const release = releaseIn(newest, host);
    if (release === undefined) return;
    host.stable = release;
    if (newest.isStone && host.stones.every(({ id }) => id !== release.id)) host.stones = [...host.stones, { ...release, name: release.id }];
  }

  /** The stone before this system failed on it. */
  isStuck(host: WorldHost, toplevel: StorePath): boolean {
    const stone = this.stoneOf(host);
    return stone !== undefined && stone.toplevel !== toplevel && host.quarantined.has(stone.toplevel);
  }

  stoneOf(host: WorldHost): SteppingStone | undefined {
    const observed = { current: host.seen.runs, booted: null, profile: { generation: 1, toplevel: host.seen.runs } };
    const arrived = (toplevel: StorePath): boolean => hasArrived({ ...host.seen, observed }, toplevel);
    return pendingStone(host.stones, { floor: Math.max(host.told, host.accepted), hasArrived: arrived });
  }

  /** A connected agent takes its newest directive, unless an activation is under way or it must not. */
  #offer(host: WorldHost): void {
    const toplevel = host.directed?.toplevel;
    if (!host.isConnected || host.isOverridden || toplevel === undefined || isActivating(host.is.state)) return;
    if (host.is.subject === toplevel || host.quarantined.has(toplevel)) return;
    // A11: it refuses what is below without a permit for that.
    const { sequence, permit } = host.directed ?? { sequence: 0 };
    if (sequence < host.accepted && (permit === undefined || host.told < host.accepted)) throw new Error(`${host.name} refuses ${sequence}`);
    host.accepted = Math.max(host.accepted, sequence);
    // It has begun with a later directive: it follows no earlier `go` any more.
    host.went = undefined;
    host.is = { ...host.is, subject: toplevel, state: host.is.runs === toplevel ? 'SUCCEEDED' : 'STAGED' };
    this.report(host);
  }

  /** What the host is becomes known. */
  report(host: WorldHost): void {
    if (!host.isConnected) return;
    host.seen = host.is;
    host.tried.add(host.is.runs);
    if (host.is.state === 'ROLLED_BACK' && host.is.subject !== undefined) host.quarantined.add(host.is.subject);
    host.went = wentAfter(host.went, { ...host.is, epoch: 0 });
  }

  /** Hosts that have a place: their `go` has neither a verdict nor ended with the watchdog's time. */
  inFlight(): readonly WorldHost[] {
    return this.hosts.filter(({ went }) => went !== undefined && this.now <= went.until);
  }

  askingOf(host: WorldHost): Asking | undefined {
    const desired = this.desiredOf(host);
    if (desired.kind !== 'release' || desired.release.toplevel !== host.is.subject) return undefined;
    const situation = this.#situationOf(host);
    const because = mayBeginBy(desired, situation, host.verified);
    const { toplevel } = desired.release;
    const of = { host: host.name, toplevel, because, ring: this.ringOf(host), labels: host.labels };
    const wasLost = isPastGo(host.went, toplevel, this.now);
    return { ...of, isStopped: isStopped(situation), isSuperseded: isSuperseded(situation, desired.release), wasLost };
  }

  /** The host's agent does what comes next. The network goes down with the change (`lost`), or with its `go` (`unheard`). */
  advance(host: WorldHost, outcome: 'as-is' | 'fails' | 'lost' | 'later' | 'unheard'): void {
    const { state, subject } = host.is;
    if (subject === undefined || !host.isEnrolled) return;
    if (state === 'DEFERRED') {
      host.is = { ...host.is, state: 'STAGED' };
    } else if (state === 'STAGED') {
      if (outcome === 'later') host.is = { ...host.is, state: 'DEFERRED' };
      else if (this.#mayGo(host)) {
        host.went = { toplevel: subject, until: this.now + WATCHDOG_MS };
        if (outcome !== 'unheard') host.is = { ...host.is, state: 'ACTIVATING' };
        if (outcome === 'lost' || outcome === 'unheard') this.disconnect(host);
      }
    } else if (isActivating(state)) {
      const isBad = outcome === 'fails' || this.revisions.some(({ toplevels, bad }) => toplevels.get(host.name) === subject && bad.has(host.name));
      if (!isBad) host.verified = subject;
      host.is = isBad ? { ...host.is, state: 'ROLLED_BACK' } : { ...host.is, state: 'SUCCEEDED', runs: subject };
    }
    this.report(host);
  }

  #mayGo(host: WorldHost): boolean {
    const asking = this.askingOf(host);
    if (!host.isConnected || asking === undefined) return false;
    const others = this.inFlight();
    const byLabel = new Map(host.labels.map((label) => [label, others.filter(({ labels }) => labels.includes(label)).length]));
    const inFlight = { fleet: others.length, ring: others.filter((other) => this.ringOf(other) === asking.ring).length, byLabel };
    const { policy, course } = this;
    const isWindowOpen = this.isOpenFor(host);
    return admit(asking, { policy, course, orders: { ...this.orders, freeze: this.freeze }, isWindowOpen, inFlight }, this.now).kind === 'go';
  }

  disconnect(host: WorldHost): void {
    if (host.isConnected) host.awaySince = this.now;
    host.isConnected = false;
  }

  connect(host: WorldHost): void {
    if (!host.isEnrolled) return;
    host.isConnected = true;
    this.report(host);
  }

  /** A person resumes what is paused, and so acknowledges every failure that is known. */
  resume(): void {
    const { course } = this;
    if (course?.state !== 'PAUSED') return;
    const { hosts } = this.facts();
    for (const { host, toplevel, progress } of [...hosts, ...carriedFailures(hosts)])
      if (progress === 'failed') this.acknowledged.add(`${host} ${toplevel}`);
    const { ring, pause } = course;
    for (const { name, number } of pause?.cause === 'probe' ? pause.answers : []) {
      const answer = this.answers.get(`${ring} ${name}`);
      if (answer?.number === number) this.answers.set(`${ring} ${name}`, { ...answer, isAcknowledged: true });
    }
    this.orders = { ...this.orders, resume: { by: 'ada', role: 'operator', reason: 'seen', at: this.now, of: course.since } };
  }

  /** The probes that are due are asked, those that give no answer so often. */
  ask(verdict: ProbeVerdict, times = 1): void {
    const { course } = this;
    if (course === undefined) return;
    const facts = this.facts();
    for (const { name, at } of dueProbes(course, facts, soakEnd(course, facts), this.now)) {
      if (at > this.now) continue;
      const key = `${course.ring} ${name}`;
      const before = this.answers.get(key);
      const tries = verdict === 'unknown' ? (before === undefined || before.isAcknowledged ? 0 : before.tries) + times : 0;
      const about = { ring: course.ring, name, number: (before?.number ?? 0) + 1, askedAt: this.now };
      this.answers.set(key, { ...about, verdict, value: undefined, max: undefined, min: undefined, detail: '', tries, isAcknowledged: false });
    }
  }

  approve(by: string): void {
    const { course } = this;
    if (course === undefined || isEndedRollout(course.state)) return;
    const approval = { by, role: 'administrator', reason: 'read it', at: this.now, ring: course.ring } as const;
    this.orders = { ...this.orders, approvals: [...this.orders.approvals, approval] };
  }

  /** Time passes; whoever has waited too long for a verdict is rolled back by its watchdog. */
  pass(ms: number): void {
    this.now += ms;
    const { windows } = this.facts();
    if (ms > 0) for (const ring of this.#openMs.keys()) if (windows[ring]?.isOpen === true) this.#openMs[ring] = (this.#openMs[ring] ?? 0) + ms;
    for (const host of this.hosts) {
      if (host.pinnedUntil <= this.now) host.pin = host.hold = undefined;
      if (isActivating(host.is.state) && host.went !== undefined && this.now > host.went.until) {
        host.is = { ...host.is, state: 'ROLLED_BACK' };
        this.report(host);
      }
    }
  }
}
