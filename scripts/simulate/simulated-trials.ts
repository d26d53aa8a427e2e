import { whyNoTrial, type HostName, type StorePath } from '@floe/model';
import { trialFactsOf } from '@floe/pipeline';
import { DAY, isWorkday, START } from './fleet-days.ts';
import { shaOf, type FleetStore } from './fleet-store.ts';
import { assert } from './assert.ts';
import type { Random } from './random.ts';
import type { Fate, SimulatedHost } from './simulated-host.ts';
import type { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** By then a machine that is awake is back, whatever it was at when its trial ended. */
const BACK_MS = 45 * MINUTE;

export interface TrialsDeps {
  readonly timeline: Timeline;
  /** Of their own: what they do is the same whatever the server does. */
  readonly random: Random;
  readonly fleetStore: FleetStore;
  readonly hosts: readonly SimulatedHost[];
  /** Of the newest good commit. */
  readonly newestOf: (host: HostName) => StorePath | undefined;
  /** A gate does not ask it meanwhile. */
  readonly noteKept: (host: HostName, until: number) => void;
  readonly hint: () => void;
}

interface Asked {
  readonly host: SimulatedHost;
  readonly toplevel: StorePath;
  /** Its time, or when a person ended it before. */
  endsAt: number;
  hasEnded: boolean;
}

/**
 * People who have hosts try systems: what a commit has for them before its turn, or what the head of a branch `testing/<host>` has and no
 * commit of the fleet. Some end before their time, and some hosts are without a network when the end comes.
 */
export class SimulatedTrials {
  readonly counts = { begun: 0, testing: 0, tried: 0, offline: 0 };
  readonly #deps: TrialsDeps;
  /** The newest of each host. */
  readonly #asked = new Map<SimulatedHost, Asked>();

  constructor(deps: TrialsDeps) {
    this.#deps = deps;
  }

  /** Somebody has the host try this now. */
  isAsked(host: SimulatedHost, toplevel: StorePath): boolean {
    const asked = this.#asked.get(host);
    return asked?.toplevel === toplevel && this.#deps.timeline.now < asked.endsAt;
  }

  /** The same, and the machine has not ended it by itself. */
  isOpen(host: SimulatedHost): boolean {
    const asked = this.#asked.get(host);
    return asked !== undefined && !asked.hasEnded && this.isAsked(host, asked.toplevel) && !asked.host.refused.has(asked.toplevel);
  }

  /** The machine runs it, or is done with it. */
  note(host: SimulatedHost, toplevel: StorePath): void {
    const { journal } = host;
    if (journal.state === 'TRYING') this.counts.tried += 1;
    const asked = this.#asked.get(host);
    if (asked?.toplevel === toplevel && journal.state !== 'TRYING') asked.hasEnded = true;
  }

  /** The server knows nothing of it any more. */
  forget(host: SimulatedHost): void {
    this.#asked.delete(host);
  }

  /** What comes of what no commit has: it may be anything. */
  fate(): Fate {
    const { random } = this.#deps;
    return random.chance(0.7) ? 'works' : random.chance(0.5) ? 'fails' : 'loses-network';
  }

  plan(days: number): void {
    const { timeline, random } = this.#deps;
    for (let day = 0; day < days; day += 1) {
      if (!isWorkday(day)) continue;
      for (const hour of [9.5, 13.5]) timeline.at(START + day * DAY + random.between(hour, hour + 3) * HOUR, async () => await this.#begin());
    }
  }

  async #begin(): Promise<void> {
    const { timeline, random, fleetStore, hosts, newestOf, noteKept, hint } = this.#deps;
    const { store, repositoryId } = fleetStore;
    const { hosts: stored } = await store.hosts.fleet(repositoryId);
    const known = new Map(stored.map((each) => [each.row.host, each]));
    for (let left = Math.min(20, 1 + Math.floor(hosts.length / 40)); left > 0; left -= 1) {
      const host = hosts[Math.floor(random.next() * hosts.length)];
      const [isTesting, lasts, isCutOff, isEnded] = [random.chance(0.5), random.between(0.3, 8) * HOUR, random.chance(0.3), random.chance(0.2)];
      const each = host && known.get(host.name);
      const newest = host && newestOf(host.name);
      const sequence = each?.situation.rollout?.sequence ?? each?.row.desired?.sequence;
      if (host === undefined || each === undefined || newest === undefined || sequence === undefined) continue;
      const toplevel = isTesting ? (`/nix/store/${'0'.repeat(32)}-${host.name}-testing-${timeline.now}` as StorePath) : newest;
      if (whyNoTrial({ ...trialFactsOf(each), knowsTrials: true }, toplevel) !== undefined || this.isOpen(host)) continue;
      const endsAt = Math.round(timeline.now + lasts);
      const said = { commit: shaOf(sequence), envelope: '{}', by: 'eve', reason: 'it has to be tried', at: timeline.now };
      const id = await store.hosts.beginTrial({ host: host.name, toplevel, sequence, ...said, endsAt });
      const asked: Asked = { host, toplevel, endsAt, hasEnded: false };
      this.#asked.set(host, asked);
      noteKept(host.name, endsAt);
      this.counts.begun += 1;
      if (isTesting) this.counts.testing += 1;
      if (isEnded) timeline.at(timeline.now + lasts / 2, async () => await this.#end(asked, id));
      else timeline.at(endsAt, hint);
      if (isCutOff) timeline.at(timeline.now + lasts * 0.75, () => this.#cutOff(asked));
      timeline.at(endsAt + BACK_MS, () => this.#checkBack(asked));
    }
    hint();
  }

  async #end(asked: Asked, id: string): Promise<void> {
    const { timeline, fleetStore, hint } = this.#deps;
    if (!(await fleetStore.store.hosts.endTrial({ host: asked.host.name, id }, 'eve ended it', timeline.now))) return;
    asked.endsAt = timeline.now;
    hint();
  }

  /** Its network is away from before the end to long after it. */
  #cutOff({ host, toplevel, endsAt }: Asked): void {
    const { timeline } = this.#deps;
    if (host.journal.state !== 'TRYING' || host.runs !== toplevel) return;
    this.counts.offline += 1;
    host.cutOff();
    timeline.at(endsAt + 2 * BACK_MS, () => host.plugIn());
  }

  /** Once its time is over and the machine was awake for a while, it does not run it, with or without a network. */
  #checkBack(asked: Asked): void {
    const { timeline } = this.#deps;
    const { host, toplevel } = asked;
    if (this.#asked.get(host) !== asked) return;
    if (!host.isAwake || timeline.now - host.awakeSince < BACK_MS) return timeline.after(BACK_MS, () => this.#checkBack(asked));
    // The fleet may have brought it meanwhile.
    const { directive } = host.journal;
    const isFleets = host.observe().profile?.toplevel === toplevel || (directive?.trial === null && directive.release.toplevel === toplevel);
    assert(host.runs !== toplevel || isFleets, `A13: ${host.name} still runs what it tried, after its trial ended`);
  }
}
