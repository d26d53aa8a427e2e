import type { HostName } from '@floe/model';
import type { FlakeHost } from './commit.ts';
import type { FleetStore } from './fleet-store.ts';
import type { Random } from './random.ts';
import type { SimulatedHost } from './simulated-host.ts';
import type { Timeline } from './timeline.ts';

const HOUR = 60 * 60_000;

/** What a commit does to the list of hosts. */
const EDITS = ['move', 'add', 'remove', 'return', 'rename'] as const;

export interface FlakeDeps {
  readonly timeline: Timeline;
  /** Of their own: what they do is the same whatever the server does. */
  readonly random: Random;
  readonly fleetStore: FleetStore;
  readonly hosts: SimulatedHost[];
  /** Another machine; `name`: of one that is gone, undefined: a new one. */
  readonly makeHost: (name: HostName | undefined, before: SimulatedHost | undefined) => SimulatedHost;
  /** A rollout cannot ask it before that. */
  readonly noteKept: (host: HostName, until: number) => void;
  /** The server ends its connection. */
  readonly disconnect: (host: SimulatedHost) => void;
  readonly hello: (host: SimulatedHost) => void;
  readonly onRenamed: (host: SimulatedHost, from: HostName) => void;
  readonly onForgotten: (host: SimulatedHost) => void;
  readonly hint: () => void;
}

/** How often which of it was done. */
export interface FlakeCounts {
  moves: number;
  additions: number;
  removals: number;
  renames: number;
  forgotten: number;
  enrolledAnew: number;
  reinstalled: number;
}

/**
 * The hosts of the flake, and which machines are enrolled: commits add hosts, remove them, have them back, rename them, or have one name its ring
 * itself. People enrol what is new, rename what has another name, and revoke and forget what is gone; some of that is enrolled again, as it is or
 * installed again.
 */
export class SimulatedFlake {
  readonly counts: FlakeCounts = { moves: 0, additions: 0, removals: 0, renames: 0, forgotten: 0, enrolledAnew: 0, reinstalled: 0 };
  readonly #deps: FlakeDeps;
  readonly #hosts = new Map<HostName, FlakeHost>();
  /** By the name that the server knows. */
  readonly #enrolled = new Map<HostName, SimulatedHost>();
  /** What it was in the flake, with its machine. */
  readonly #gone = new Map<HostName, { readonly was: FlakeHost; readonly machine: SimulatedHost }>();

  constructor(deps: FlakeDeps) {
    this.#deps = deps;
  }

  get hosts(): readonly FlakeHost[] {
    return [...this.#hosts.values()];
  }

  isEnrolled(host: SimulatedHost): boolean {
    return this.#enrolled.get(host.name) === host;
  }

  /** The machine of that name. */
  machine(name: HostName): SimulatedHost | undefined {
    return this.#enrolled.get(name);
  }

  has(name: HostName): boolean {
    return this.#hosts.has(name);
  }

  /** The fleet, as it begins. */
  async begin(): Promise<void> {
    const { fleetStore, hosts } = this.#deps;
    const names = hosts.map(({ name }) => name);
    await fleetStore.store.hosts.ensure(fleetStore.repositoryId, names);
    for (const host of hosts) {
      this.#hosts.set(host.name, flakeHostOf(host));
      await this.#enrol(host);
    }
  }

  async #enrol(machine: SimulatedHost): Promise<void> {
    const { fleetStore, timeline, hello, noteKept } = this.#deps;
    const { name: host, id } = machine;
    if (this.#enrolled.has(host)) return;
    const { store, repositoryId } = fleetStore;
    await store.hosts.enrol({ host, repositoryId, machineId: id, publicKey: `key of ${id}`, at: Math.round(timeline.now) });
    this.#enrolled.set(host, machine);
    noteKept(host, timeline.now);
    machine.onlineSince = timeline.now;
    hello(machine);
  }

  /** What the commit does to the list, by its draws. */
  edit(draws: readonly [number, number, number] | undefined, rings: readonly string[]): void {
    if (draws === undefined) return;
    const [what, which, how] = draws;
    const pick = <Some>(all: readonly Some[]): Some | undefined => all[Math.floor(which * all.length)];
    const enrolled = this.hosts.filter(({ host }) => this.#enrolled.has(host));
    const some = pick(enrolled);
    switch (EDITS[Math.floor(what * EDITS.length)]) {
      case 'move':
        return some && this.#move(some, [...rings, undefined][Math.floor(how * (rings.length + 1))]);
      case 'add':
        return this.#add(how);
      case 'remove':
        return some && this.#remove(some, how);
      case 'return': {
        const back = pick([...this.#gone.values()]);
        if (back !== undefined) return this.#return(back, how);
        return some && this.#remove(some, how);
      }
      case 'rename':
        return some && this.#rename(some, how);
      case undefined:
        return undefined;
    }
  }

  /** It names its ring itself, or does not any more. */
  #move(host: FlakeHost, ring: string | undefined): void {
    if (host.ring === ring) return;
    this.#hosts.set(host.host, { ...host, ring });
    this.counts.moves += 1;
  }

  #add(how: number): void {
    const { timeline, makeHost } = this.#deps;
    const machine = makeHost(undefined, undefined);
    this.#hosts.set(machine.name, flakeHostOf(machine));
    this.counts.additions += 1;
    timeline.after(how * 20 * HOUR, async () => await this.#enrol(machine));
  }

  /** Some time later a person revokes and forgets what is gone, if it has not come back. */
  #remove(was: FlakeHost, how: number): void {
    const { timeline } = this.#deps;
    const machine = this.#enrolled.get(was.host);
    if (machine === undefined || this.#hosts.size <= 4) return;
    this.#hosts.delete(was.host);
    this.#gone.set(was.host, { was, machine });
    this.counts.removals += 1;
    timeline.after((1 + how * 40) * HOUR, async () => await this.#forget(was.host));
  }

  async #forget(name: HostName): Promise<void> {
    const { fleetStore, timeline, disconnect, onForgotten } = this.#deps;
    const machine = this.#enrolled.get(name);
    if (machine === undefined || this.#hosts.has(name)) return;
    await fleetStore.store.hosts.revoke(name, timeline.now);
    this.#enrolled.delete(name);
    disconnect(machine);
    if (!(await fleetStore.store.hosts.forget(name))) return;
    this.counts.forgotten += 1;
    onForgotten(machine);
  }

  /** It is in the flake again, with the machine that it had, as that is or installed again. */
  #return({ was, machine }: { readonly was: FlakeHost; readonly machine: SimulatedHost }, how: number): void {
    const { timeline, makeHost } = this.#deps;
    const { host } = was;
    this.#gone.delete(host);
    this.#hosts.set(host, { ...was, ring: undefined });
    if (this.#enrolled.has(host)) return;
    const isInstalledAgain = how < 0.5;
    const next = isInstalledAgain ? makeHost(host, machine) : machine;
    this.counts[isInstalledAgain ? 'reinstalled' : 'enrolledAnew'] += 1;
    timeline.after(how * 10 * HOUR, async () => await this.#enrol(next));
  }

  /** The commit has another name in its place. A person says so to the server some time later. */
  #rename({ host: formerHost, ...rest }: FlakeHost, how: number): void {
    const { timeline } = this.#deps;
    const to = `${formerHost.replace(/-named-\d+$/, '')}-named-${this.counts.renames + 1}` as HostName;
    this.#hosts.delete(formerHost);
    this.#hosts.set(to, { ...rest, host: to, formerHost });
    this.counts.renames += 1;
    timeline.after(how * 30 * HOUR, async () => await this.#tellRename(formerHost, to));
  }

  async #tellRename(formerHost: HostName, host: HostName): Promise<void> {
    const { fleetStore, timeline, disconnect, hello, noteKept, onRenamed, hint } = this.#deps;
    const machine = this.#enrolled.get(formerHost);
    if (machine === undefined || !this.#hosts.has(host) || this.#hosts.has(formerHost)) return;
    const said = { formerHost, host, publicKey: `key of ${machine.id}`, at: Math.round(timeline.now) };
    if ((await fleetStore.store.hosts.rename(said)) !== 'renamed') return;
    disconnect(machine);
    this.#enrolled.delete(formerHost);
    machine.name = host;
    this.#enrolled.set(host, machine);
    noteKept(host, timeline.now);
    onRenamed(machine, formerHost);
    machine.onlineSince = timeline.now;
    hello(machine);
    hint();
  }
}

function flakeHostOf({ name: host, labels, timeZone }: SimulatedHost): FlakeHost {
  return { host, labels, timeZone };
}
