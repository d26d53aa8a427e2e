import { missingApprovals, type HostName, type LabelStop, type StorePath } from '@floe/model';
import type { Fleet } from '@floe/store';
import { rolloutFacts } from '../../apps/server/src/rollouts/facts.ts';
import { DAY, isWorkday, START } from './fleet-days.ts';
import { shaOf, type FleetStore } from './fleet-store.ts';
import type { Random } from './random.ts';
import type { SimulatedHost } from './simulated-host.ts';
import type { RevisionStory } from './story.ts';
import type { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const LABELS = ['laptop', 'server', 'dns', 'canary'] as const;

export interface PeopleDeps {
  readonly timeline: Timeline;
  /** Of their own: what they do is the same whatever the server does. */
  readonly random: Random;
  readonly fleetStore: FleetStore;
  readonly hosts: readonly SimulatedHost[];
  readonly isBad: (toplevel: StorePath) => boolean;
  readonly hint: () => void;
}

/** How often people did what. */
export interface PeopleCounts {
  stops: number;
  freezes: number;
  pins: number;
  approvals: number;
  resumes: number;
  aborts: number;
  hotfixes: number;
  quarantines: number;
  retries: number;
  loosenings: number;
}

/**
 * What people do to a fleet: stop labels, freeze it, pin and hold hosts, quarantine commits, each with an end; approve after hours, or never;
 * make a commit a hotfix, or abort it; and look at pauses.
 */
export class SimulatedPeople {
  readonly counts: PeopleCounts = {
    stops: 0,
    freezes: 0,
    pins: 0,
    approvals: 0,
    resumes: 0,
    aborts: 0,
    hotfixes: 0,
    quarantines: 0,
    retries: 0,
    loosenings: 0,
  };
  /** Who approved which rings, by rollout. */
  readonly approved = new Map<string, Map<number, Set<string>>>();
  /** Rollouts whose weaker policy an administrator approved. */
  readonly loosened = new Set<string>();
  /** What somebody had hosts try again. */
  readonly #retried = new Set<string>();
  readonly #deps: PeopleDeps;
  #stops: LabelStop[] = [];
  #frozenUntil = 0;
  readonly #kept = new Map<HostName, number>();
  readonly #banned = new Set<string>();
  /** What was decided about a rollout when it was looked at first: when its ring is approved, or that it never is. */
  readonly #approvesAt = new Map<string, number>();
  readonly #judged = new Set<string>();
  /** Somebody wanted hosts back on their stable systems. */
  hasReverted = false;
  /** Which hosts were not asked, because somebody kept them elsewhere, and until when. */
  readonly #keptUntil = new Map<HostName, number>();

  constructor(deps: PeopleDeps) {
    this.#deps = deps;
  }

  /** One of its labels is stopped now. */
  isStopped({ labels }: SimulatedHost): boolean {
    const { now } = this.#deps.timeline;
    return this.#stops.some(({ label, until = Infinity }) => labels.includes(label) && now < until);
  }

  get isFrozen(): boolean {
    return this.#deps.timeline.now < this.#frozenUntil;
  }

  /** A person said that it does not run there. */
  isBanned(host: HostName, toplevel: StorePath): boolean {
    return this.#banned.has(`${host} ${toplevel}`);
  }

  /** Somebody had it try that again. */
  hasRetried(host: HostName, toplevel: StorePath): boolean {
    return this.#retried.has(`${host} ${toplevel}`);
  }

  /** A pin or a hold keeps it where it is. */
  isKept({ name }: SimulatedHost): boolean {
    return this.#deps.timeline.now < (this.#kept.get(name) ?? 0);
  }

  /** Somebody kept it elsewhere at that time, or later. */
  wasKept(host: HostName, since: number): boolean {
    return since <= (this.#keptUntil.get(host) ?? 0);
  }

  /** It is not asked until then. */
  noteKept(host: HostName, until: number): void {
    this.#keptUntil.set(host, Math.max(until, this.#keptUntil.get(host) ?? 0));
  }

  /** What was said of the host holds for it under its other name. */
  rename(from: HostName, to: HostName): void {
    for (const keys of [this.#banned, this.#retried])
      for (const key of keys) if (key.startsWith(`${from} `) && keys.delete(key)) keys.add(`${to}${key.slice(from.length)}`);
    for (const times of [this.#kept, this.#keptUntil]) {
      const until = times.get(from);
      times.delete(from);
      if (until !== undefined) times.set(to, Math.max(until, times.get(to) ?? 0));
    }
  }

  /** Nobody keeps it where it is any more. That something does not run there stays said. */
  forget(host: HostName): void {
    this.#kept.delete(host);
  }

  plan(days: number): void {
    const { timeline, random } = this.#deps;
    for (let day = 0; day < days; day += 1) {
      if (!isWorkday(day)) continue;
      const soon = (): number => START + day * DAY + random.between(8, 18) * HOUR;
      // Each at least once, however few days there are.
      if (random.chance(day === 0 ? 1 : 0.3)) timeline.at(soon(), async () => await this.#stopLabel());
      if (random.chance(day === 0 ? 1 : 0.5)) timeline.at(soon(), async () => await this.#keepHosts());
      if (random.chance(day === 0 ? 1 : 0.15)) timeline.at(soon(), async () => await this.#freeze());
      if (random.chance(day === 0 ? 1 : 0.3)) timeline.at(soon(), async () => await this.#quarantine());
    }
  }

  async #stopLabel(): Promise<void> {
    const { timeline, random, fleetStore, hint } = this.#deps;
    const { rollouts } = fleetStore.store;
    const label = LABELS[Math.floor(random.next() * LABELS.length)] ?? 'laptop';
    const [lasts, isEndedEarly, part] = [random.between(1, 20) * HOUR, random.chance(0.5), random.next()];
    const at = timeline.now;
    const stop: LabelStop = { label, by: 'bob', reason: 'an audit', at, until: Math.round(at + lasts) };
    this.#stops = [...this.#stops.filter((each) => each.label !== label), stop];
    this.counts.stops += 1;
    for (const host of this.#deps.hosts) if (host.labels.includes(label)) this.noteKept(host.name, at + lasts);
    await rollouts.stopLabel(fleetStore.repositoryId, stop);
    hint();
    timeline.at(at + lasts * (isEndedEarly ? part : 1), async () => {
      if (isEndedEarly && (await rollouts.startLabel(fleetStore.repositoryId, stop))) this.#stops = this.#stops.filter((each) => each !== stop);
      hint();
    });
  }

  async #freeze(): Promise<void> {
    const { timeline, random, fleetStore, hint } = this.#deps;
    const until = Math.round(timeline.now + random.between(0.3, 5) * HOUR);
    this.#frozenUntil = until;
    this.counts.freezes += 1;
    const freeze = { by: 'bob', reason: 'a fair', at: timeline.now, until };
    await fleetStore.store.rollouts.freeze(fleetStore.repositoryId, freeze);
    hint();
    timeline.at(until, hint);
    if (!random.chance(0.3)) return;
    timeline.at(random.between(timeline.now, until), async () => {
      if (await fleetStore.store.rollouts.unfreeze(fleetStore.repositoryId, freeze)) this.#frozenUntil = timeline.now;
      hint();
    });
  }

  /** What the newest rollout has for a few hosts does not run there, somebody says, for some hours. */
  async #quarantine(): Promise<void> {
    const { timeline, random, fleetStore, hosts, hint } = this.#deps;
    const { store, repositoryId } = fleetStore;
    const stored = new Map((await store.hosts.fleet(repositoryId)).hosts.map((each) => [each.row.host, each]));
    for (let left = Math.min(10, 1 + Math.floor(hosts.length / 100)); left > 0; left -= 1) {
      const host = hosts[Math.floor(random.next() * hosts.length)]?.name;
      const lasts = random.between(1, 40) * HOUR;
      const release = host && stored.get(host)?.situation.rollout;
      if (host === undefined || release === undefined) continue;
      const commit = shaOf(release.sequence);
      if (!(await store.hosts.orderQuarantine({ repositoryId, host, commit, by: 'bob', reason: 'it broke there', at: timeline.now }))) continue;
      const key = `${host} ${release.toplevel}`;
      this.#banned.add(key);
      this.noteKept(host, timeline.now + lasts);
      this.counts.quarantines += 1;
      timeline.at(timeline.now + lasts, async () => {
        if (await store.hosts.liftQuarantine({ repositoryId, host, commit })) this.#banned.delete(key);
        hint();
      });
    }
    hint();
  }

  /** A few hosts stay on what they run. */
  async #keepHosts(): Promise<void> {
    const { timeline, random, fleetStore, hosts, hint } = this.#deps;
    const { store, repositoryId } = fleetStore;
    const stored = new Map((await store.hosts.fleet(repositoryId)).hosts.map((each) => [each.row.host, each]));
    for (let left = Math.min(20, 1 + Math.floor(hosts.length / 50)); left > 0; left -= 1) {
      const host = hosts[Math.floor(random.next() * hosts.length)];
      const kind = random.chance(0.5) ? 'pin' : 'hold';
      const expiresAt = Math.round(timeline.now + random.between(1, 40) * HOUR);
      const desired = host && stored.get(host.name)?.row.desired;
      if (host === undefined || desired === undefined || host.isChanging || host.runs !== desired.toplevel) continue;
      const said = { by: 'bob', reason: 'somebody is at work there', at: timeline.now };
      if (!(await store.hosts.pin({ host: host.name, kind, releaseId: desired.releaseId, expiresAt, ...said }))) continue;
      this.#kept.set(host.name, Math.max(expiresAt, this.#kept.get(host.name) ?? 0));
      this.noteKept(host.name, expiresAt);
      this.counts.pins += 1;
      timeline.at(expiresAt, hint);
    }
    hint();
  }

  /** At office hours somebody approves, and looks at a pause some time after it began. */
  async look(fleet: Fleet, story: RevisionStory | undefined): Promise<void> {
    const { now } = this.#deps.timeline;
    const hour = ((now - START) % DAY) / HOUR;
    const isAtWork = isWorkday(Math.floor((now - START) / DAY)) && hour >= 8 && hour < 18;
    if (!isAtWork || story === undefined) return;
    await this.#judge(fleet, story);
    if (story.isBad) return;
    await this.#approve(fleet, story);
    await this.#retry(fleet);
    await this.#resume(fleet);
  }

  /** Now and then somebody makes a commit a hotfix, or aborts one that is under way, most often a bad one that is paused. */
  async #judge({ rollout }: Fleet, { isBad }: RevisionStory): Promise<void> {
    const { timeline, random, fleetStore } = this.#deps;
    if (rollout === undefined || (rollout.state !== 'ROLLING' && rollout.state !== 'SOAKING' && rollout.state !== 'PAUSED')) return;
    const key = `${rollout.id} ${isBad ? rollout.state : 'any'}`;
    if (this.#judged.has(key)) return;
    this.#judged.add(key);
    const [draw, isRevert] = [random.next(), random.chance(0.5)];
    const isAborted = draw < (isBad && rollout.state === 'PAUSED' ? 0.4 : 0.04);
    if (!isAborted && (isBad || draw > 0.14)) return;
    const said = {
      rolloutId: rollout.id,
      version: rollout.version,
      by: 'bob',
      role: 'administrator',
      reason: 'it has to be',
      at: timeline.now,
    } as const;
    await fleetStore.store.rollouts.order(isAborted ? { ...said, kind: 'abort', subject: isRevert ? 1 : undefined } : { ...said, kind: 'hotfix' });
    if (isAborted) this.counts.aborts += 1;
    else this.counts.hotfixes += 1;
    this.hasReverted ||= isAborted && isRevert;
    this.#deps.hint();
  }

  /** A ring is approved after minutes in an emergency, else after hours, and some never are. */
  #approvalOf(rolloutId: string, ring: number, isHotfix: boolean): number {
    const { random, timeline } = this.#deps;
    const key = `${rolloutId} ${ring}`;
    const known = this.#approvesAt.get(key);
    if (known !== undefined) return known;
    const after = isHotfix ? 2 * MINUTE : random.chance(0.1) ? Infinity : random.between(0.2, 6) * HOUR;
    this.#approvesAt.set(key, timeline.now + after);
    return timeline.now + after;
  }

  async #approve({ rollout, hosts }: Fleet, { isHotfix }: RevisionStory): Promise<void> {
    const { timeline, fleetStore } = this.#deps;
    const { now } = timeline;
    if (rollout?.state !== 'WAITING_APPROVAL' || now < this.#approvalOf(rollout.id, rollout.course.ring, isHotfix)) return;
    const facts = rolloutFacts(rollout, hosts, now);
    const missing = missingApprovals(rollout.course, facts);
    if (missing === undefined) return;
    const { ring } = rollout.course;
    const ofRollout = this.approved.get(rollout.id) ?? new Map<number, Set<string>>();
    const given = ofRollout.get(ring) ?? new Set<string>();
    const isWeaker = missing.weaker.length > 0;
    const by = isWeaker ? 'ada' : (['eve', 'fay', 'ada'].find((each) => !given.has(each)) ?? 'eve');
    this.approved.set(rollout.id, ofRollout.set(ring, given.add(by)));
    if (isWeaker) this.loosened.add(rollout.id);
    this.counts[isWeaker ? 'loosenings' : 'approvals'] += 1;
    const loosens = isWeaker ? facts.weaker.map(({ id }) => id) : [];
    const said = { by, role: isWeaker ? 'administrator' : 'approver', reason: 'it looks good', at: now } as const;
    await fleetStore.store.rollouts.order({
      rolloutId: rollout.id,
      version: rollout.version,
      kind: 'approve',
      subject: ring,
      binds: facts.binds,
      loosens,
      ...said,
    });
    this.#deps.hint();
  }

  /** Now and then one of those that failed by themselves is tried again. */
  async #retry({ hosts }: Fleet): Promise<void> {
    const { random, fleetStore, isBad } = this.#deps;
    for (const { row, desired } of hosts) {
      if (desired.kind !== 'quarantined' || desired.order !== undefined || row.retryEpoch !== undefined) continue;
      const { toplevel } = desired.release;
      const key = `${row.host} ${toplevel}`;
      if (isBad(toplevel) || this.#judged.has(`retry ${key}`)) continue;
      this.#judged.add(`retry ${key}`);
      if (random.chance(0.5)) continue;
      this.#retried.add(key);
      this.counts.retries += 1;
      await fleetStore.store.hosts.retry(row.host, toplevel);
      this.#deps.hint();
    }
  }

  async #resume({ rollout, hosts }: Fleet): Promise<void> {
    const { timeline, fleetStore, isBad } = this.#deps;
    const { now } = timeline;
    if (rollout?.state !== 'PAUSED') return;
    const { since, pause, ring } = rollout.course;
    // A freeze has an end of its own.
    if (pause?.cause === 'freeze' || now - since < 20 * MINUTE || rollout.orders.resume?.of === since) return;
    const acknowledged = hosts.flatMap(({ row: { host }, situation: { rollout: release, quarantined } }) =>
      release !== undefined && quarantined.has(release.toplevel) ? [{ host, toplevel: release.toplevel }] : [],
    );
    // A commit on top of a bad one contains what was bad: that waits for its fix.
    if (hosts.some(({ situation: { rollout: release } }) => release !== undefined && isBad(release.toplevel))) return;
    const answers = pause?.cause === 'probe' ? pause.answers.map(({ name, number }) => ({ name, number, ring })) : [];
    const said = { by: 'ada', role: 'operator', reason: 'they failed by themselves', at: now } as const;
    this.counts.resumes += 1;
    await fleetStore.store.rollouts.order({
      rolloutId: rollout.id,
      version: rollout.version,
      kind: 'resume',
      subject: since,
      acknowledged,
      answers,
      ...said,
    });
    this.#deps.hint();
  }
}
