import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentState } from '@floe/model';
import { eventually, LabGuest, labRootfs, LabNetwork, startPostgres, TestFleet, testNixSettings, type PostgresServer } from '@floe/testkit';
import type { HostView } from '@floe/protocol';
import { execInTest } from '@floe/runtime';
import { CacheServer } from './cache-server.ts';
import { fleetFiles, hostFiles } from './fleet-files.ts';
import type { LabHost, LabMachine } from './hosts.ts';
import type { LabJournal, LocalStatus } from './machine-state.ts';

export interface LabOptions {
  /** Puts somebody between the machines and the server, or its cache; returns the URLs that the machines are told. */
  readonly between?: (to: Required<WayThere> & { readonly address: string }) => Promise<WayThere>;
}

interface WayThere {
  readonly serverUrl: string;
  /** Default: the cache's own. */
  readonly cacheUrl?: string;
}

interface Change {
  readonly old: string;
  readonly wanted: string;
  readonly sha: string;
}

const FIND_PROGRAM = "systemctl show floe-agent --property=ExecStart --value | sed 's/.*argv\\[\\]=\\(.*\\) run ;.*/\\1/'";

/** Nothing is under way. */
export const AT_REST: ReadonlySet<AgentState> = new Set<AgentState>(['IDLE', 'SUCCEEDED', 'ROLLED_BACK']);

/** A fleet of real machines: guests with systemd, a store and a network of their own, a real server, a real forge. */
export class LabFleet implements AsyncDisposable {
  readonly fleet: TestFleet;
  readonly guests = new Map<string, LabGuest>();
  readonly cache: CacheServer;
  readonly #network: LabNetwork;
  readonly #postgres: PostgresServer;
  readonly #dir: string;
  readonly #hosts = new Map<string, LabHost>();
  #trust: Record<string, string> = {};
  #lastChange: Promise<unknown> = Promise.resolve();

  private constructor(fleet: TestFleet, cache: CacheServer, network: LabNetwork, postgres: PostgresServer, dir: string) {
    this.#postgres = postgres;
    this.cache = cache;
    this.fleet = fleet;
    this.#network = network;
    this.#dir = dir;
  }

  /** `number` is the network's: files of tests that run at the same time use different ones. */
  static async create(number: number, hosts: Readonly<Record<string, LabMachine>>, options: LabOptions = {}): Promise<LabFleet> {
    const dir = await mkdtemp(join(tmpdir(), 'floe-lab-'));
    const [network, postgres] = await Promise.all([LabNetwork.create(number), startPostgres()]);
    const files = await fleetFiles();
    for (const name of Object.keys(hosts)) Object.assign(files, hostFiles(name, {}, {}));
    const cache = new CacheServer(join(dir, 'fleet/server/cache'), network.address);
    await cache.start();
    const fleet = await TestFleet.create({
      files,
      dir: join(dir, 'fleet'),
      nixConfig: testNixSettings,
      serverAddress: network.address,
      databaseUrl: postgres.url,
      serverEnv: { FLOE_CACHE_URL: cache.url },
      pollSeconds: 3600,
    });
    const lab = new LabFleet(fleet, cache, network, postgres, dir);
    try {
      await fleet.startServer();
      const names = Object.keys(hosts);
      const way = await options.between?.({ serverUrl: fleet.serverUrl, cacheUrl: cache.url, address: network.address });
      await lab.#install(number, names, hosts, way);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #install(number: number, names: readonly string[], hosts: Readonly<Record<string, LabMachine>>, way: WayThere | undefined): Promise<void> {
    const tokens = new Map<string, string>();
    let cacheKeys = '';
    for (const name of names) {
      const enrolment = await this.fleet.enrolmentToken(name);
      tokens.set(name, enrolment.token);
      cacheKeys = enrolment.cachePublicKeys.join(' ');
      this.#trust = {
        FLOE_SERVER_URL: way?.serverUrl ?? enrolment.serverUrl,
        FLOE_TRUSTED_RELEASE_KEYS: enrolment.releaseKeys.join(' '),
        FLOE_TRUSTED_SERVER_KEYS: enrolment.serverKeys.join(' '),
        FLOE_SUBSTITUTERS: way?.cacheUrl ?? enrolment.substituter,
        FLOE_TRUSTED_PUBLIC_KEYS: cacheKeys,
        FLOE_ENROLMENT_TOKEN_FILE: '/var/lib/lab/token',
      };
    }
    const sha = await this.push('The first systems', Object.fromEntries(names.map((name) => [name, hosts[name] ?? {}])));
    const toplevels = await this.published(sha);
    // All of them, also when one fails: what is still at work would be in the way of the end.
    const installed = await Promise.allSettled(
      names.map(async (name, index) => {
        const guest = new LabGuest({
          // Its cable's name is one of this machine's: files of tests that run at the same time must not share it.
          name: `${name}${number}`,
          storeMegabytes: hosts[name]?.storeMegabytes,
          rootfs: labRootfs(hosts[name]?.suite ?? 'bookworm'),
          dir: join(this.#dir, 'guests'),
          bridge: this.#network.bridge,
          address: this.#network.guestAddress(index),
          // On NixOS a unit finds nothing but systemd's own programs, unless it brings its PATH.
          files: {
            '/var/lib/lab/token': tokens.get(name) ?? '',
            '/etc/systemd/system.conf.d/path.conf': '[Manager]\nDefaultEnvironment=PATH=/var/empty\n',
            ...hosts[name]?.files,
          },
        });
        this.guests.set(name, guest);
        await guest.start();
        const toplevel = toplevels.get(name) ?? '';
        // As an installer does: the first system, from the cache.
        await guest.sh(
          [
            `nix-store --realise ${toplevel} --option substituters '${this.#trust['FLOE_SUBSTITUTERS']}' --option trusted-public-keys '${cacheKeys}' >/dev/null`,
            `nix-env --profile /nix/var/nix/profiles/system --set ${toplevel}`,
            // 4: it is on, though a unit of it failed.
            `${toplevel}/bin/switch-to-configuration switch || [ $? = 4 ]`,
            `ln -sfn ${toplevel} /run/booted-system`,
          ].join('\n'),
        );
        await this.runs(name, toplevel);
      }),
    );
    for (const each of installed) if (each.status === 'rejected') throw each.reason;
  }

  /** What machines are told to trust, by the agent's variable. */
  trusted(variable: string): string {
    return this.#trust[variable] ?? '';
  }

  /** … from the next push on. */
  trust(changes: Readonly<Record<string, string>>): void {
    Object.assign(this.#trust, changes);
  }

  /** `KEYID:BASE64` of the server's keys. */
  get serverKeys(): readonly string[] {
    return (this.#trust['FLOE_TRUSTED_SERVER_KEYS'] ?? '').split(' ');
  }

  /** What a host is to be, as it was pushed last. */
  host(name: string): LabHost {
    return this.#hosts.get(name) ?? {};
  }

  guest(name: string): LabGuest {
    const guest = this.guests.get(name);
    if (guest === undefined) throw new Error(`there is no guest ${name}`);
    return guest;
  }

  /** Changes what hosts are to be (null: removed), and pushes that; returns the commit. */
  async push(message: string, changes: Readonly<Record<string, LabHost | null>>): Promise<string> {
    const files: Record<string, string | null> = {};
    for (const [name, host] of Object.entries(changes)) {
      this.#hosts.set(name, host ?? {});
      for (const [path, text] of Object.entries(hostFiles(name, host ?? {}, this.#trust))) files[path] = host === null ? null : text;
    }
    return await this.fleet.push(message, files);
  }

  /** The machine has this name from now on. */
  isNamed(former: string, name: string): void {
    this.guests.set(name, this.guest(former));
    this.guests.delete(former);
  }

  /** Pushes what a host is to be, and waits until that is published; gives what it ran, and what it is to run. */
  async change(name: string, host: LabHost): Promise<Change> {
    // One after the other: a newer push takes the place of one that is not published yet.
    const turn = this.#lastChange.then(async () => await this.#change(name, host));
    this.#lastChange = turn.catch(() => undefined);
    return await turn;
  }

  async #change(name: string, host: LabHost): Promise<Change> {
    const old = (await this.machine(name)).current ?? '';
    const sha = await this.push(`Change ${name}`, { [name]: host });
    const wanted = (await this.published(sha)).get(name) ?? '';
    if (wanted === old) throw new Error(`${name} has this system already: ${old}`);
    return { old, wanted, sha };
  }

  /** The toplevels that a commit gives the hosts, once it is published. */
  async published(sha: string): Promise<Map<string, string>> {
    return await eventually(
      `${sha.slice(0, 7)} is published`,
      async () => {
        const revision = await this.fleet.revision(sha);
        if (revision?.publishedAt == null) return undefined;
        return new Map(revision.hosts.map(({ host, toplevel }) => [host, toplevel ?? '']));
      },
      { explain: () => this.fleet.server.log().slice(-3_000) },
    );
  }

  /** Waits until the host runs and starts `toplevel`, by its own files; from the contact on, the server has 10 s to know. */
  async runs(name: string, toplevel: string, timeoutMs = 120_000): Promise<void> {
    const explain = async (): Promise<string> => `${JSON.stringify(await this.machine(name).catch(String))}\n${await this.guest(name).log()}`;
    await eventually(
      `${name} runs and starts ${toplevel}, and has contact`,
      async () => {
        const { current, default: started } = await this.machine(name);
        return current === toplevel && started === toplevel && (await this.fleet.hostView(name)).isConnected ? true : undefined;
      },
      { timeoutMs, explain },
    );
    await this.told(name, `runs ${toplevel}`, ({ observed }) => observed.current === toplevel && observed.profile?.toplevel === toplevel, 10_000);
  }

  /** Waits for the server to know something of a host. */
  async told(name: string, what: string, isSo: (host: HostView) => boolean, timeoutMs = 60_000): Promise<HostView> {
    return await eventually(
      `the server knows: ${name} ${what}`,
      async () => {
        const view = await this.fleet.hostView(name);
        return isSo(view) ? view : undefined;
      },
      {
        timeoutMs,
        explain: async () => `${JSON.stringify(await this.fleet.hostView(name), null, 1)}\n${await this.guest(name).log()}`,
      },
    );
  }

  /** Waits until `old` is what it runs again, and the server knows why. */
  async putBack(name: string, old: string, code: string, says: RegExp, timeoutMs = 60_000): Promise<void> {
    const view = await this.told(
      name,
      `was rolled back (${code})`,
      ({ standing, detail }) => standing === 'rolled-back' && detail?.code === code,
      timeoutMs,
    );
    if (!says.test(view.detail?.message ?? '')) throw new Error(`${name} was rolled back, but says: ${view.detail?.message}`);
    await this.runs(name, old);
    await this.isTidy(name);
  }

  async reaches(name: string, state: AgentState, timeoutMs = 60_000): Promise<void> {
    await eventually(`${name} is ${state}`, async () => ((await this.journal(name))?.state === state ? true : undefined), {
      timeoutMs,
      everyMs: 5,
      explain: async () => await this.guest(name).log(),
    });
  }

  /** The agent's journal, as it is on the guest's disk. */
  async journal(name: string): Promise<LabJournal | undefined> {
    const text = await readFile(this.guest(name).path('/var/lib/floe-agent/journal.json'), 'utf8').catch(() => '');
    return text === '' ? undefined : (JSON.parse(text) as LabJournal);
  }

  /** What the machine itself has, read from its disk. */
  async machine(
    name: string,
  ): Promise<{ readonly current: string | undefined; readonly profile: string | undefined; readonly default: string | undefined }> {
    const guest = this.guest(name);
    const current = await guest.liveLinkTarget('/run/current-system');
    const generation = await guest.linkTarget('/nix/var/nix/profiles/system');
    const profile = generation === undefined ? undefined : await guest.linkTarget(`/nix/var/nix/profiles/${generation.split('/').at(-1)}`);
    const loader = await readFile(guest.path('/boot/loader/default'), 'utf8').catch(() => '');
    return { current, profile, default: /^init=(.*)\/init$/m.exec(loader)?.[1] };
  }

  /** What the boot loader starts next, by the disk alone: also of a machine without power. */
  async startsNext(name: string): Promise<string | undefined> {
    const text = async (file: string): Promise<string> => await readFile(this.guest(name).path(`/boot/loader/${file}`), 'utf8').catch(() => '');
    return /^init=(.*)\/init$/m.exec((await text('once')) || (await text('default')))?.[1];
  }

  /** Of a machine without power: it starts the old system, or one that was verified, or one that a guard would take back. */
  async isSafeToStart(name: string, old: string): Promise<void> {
    const next = await this.startsNext(name);
    const { verdict } = (await this.journal(name)) ?? {};
    const isGuarded = await this.guest(name).has('/var/lib/floe-agent/boot-guard');
    if (next !== old && verdict !== 'passed' && !isGuarded) throw new Error(`${name} would start ${next}, unproved (${verdict}) and unguarded`);
  }

  /** Makes the host's next switch stop at a point; see fleet/scripts/switch-to-configuration.sh. */
  async pauseAt(name: string, point: string): Promise<void> {
    await writeFile(this.guest(name).path(`/var/lib/lab/pause-${point}`), '');
  }

  async isAt(name: string, point: string): Promise<void> {
    await eventually(`${name} is at ${point}`, async () => ((await this.guest(name).has(`/var/lib/lab/at-${point}`)) ? true : undefined), {
      everyMs: 5,
      explain: async () => await this.guest(name).log(),
    });
  }

  async goOn(name: string, point: string): Promise<void> {
    for (const kind of ['pause', 'at']) await rm(this.guest(name).path(`/var/lib/lab/${kind}-${point}`), { force: true });
  }

  /** Makes the host's switches fail for a reason that is none of theirs. */
  async refuse(name: string, action: 'test' | 'boot'): Promise<void> {
    await writeFile(this.guest(name).path(`/var/lib/lab/refuse-${action}`), '');
  }

  async allow(name: string, action: 'test' | 'boot'): Promise<void> {
    await rm(this.guest(name).path(`/var/lib/lab/refuse-${action}`), { force: true });
  }

  /** Waits for a line of the agent's log. */
  async logs(name: string, pattern: string): Promise<void> {
    const look = `journalctl --unit=floe-agent --output=cat --no-pager | grep -q '${pattern}'`;
    await eventually(`${name} logs ${pattern}`, async () => ((await this.guest(name).run('/bin/sh', '-c', look)).exitCode === 0 ? true : undefined), {
      explain: async () => await this.guest(name).log(),
    });
  }

  /** Kills the agent's process as a crash or the memory killer would. */
  async killAgent(name: string): Promise<void> {
    await this.guest(name).sh('systemctl kill --signal=SIGKILL floe-agent.service');
  }

  /** What the people at the machine run: `floe-agent COMMAND`. */
  async agentCommand(name: string, command: string): Promise<string> {
    return await this.guest(name).sh(`$(${FIND_PROGRAM}) ${command}`);
  }

  /** How the machine's agent is started, without its command. */
  async programOf(name: string): Promise<string> {
    return await this.guest(name).sh(FIND_PROGRAM);
  }

  /** Waits for the agent to say of itself, at the machine, what is asked of it. */
  async says(name: string, what: string, isSo: (status: LocalStatus) => boolean | Promise<boolean>): Promise<void> {
    const look = async (): Promise<true | undefined> => {
      const status = JSON.parse(await this.agentCommand(name, 'status --json')) as LocalStatus;
      return (await isSo(status)) ? true : undefined;
    };
    await eventually(`${name}'s agent ${what}`, look, { explain: async () => await this.guest(name).log() });
  }

  /** Nothing of an activation is left behind: no unit, no root, no file. */
  async isTidy(name: string): Promise<void> {
    await eventually(
      `${name} is tidy`,
      async () => {
        const guest = this.guest(name);
        const units = await guest.sh(
          "systemctl list-units --all --plain --no-legend 'floe-switch-*' 'floe-watchdog-*' 'floe-verdict-*' 'floe-trial-*' 'floe-hold-*' 'run-*.service' | awk '{ print $1 }'",
        );
        const roots = await readdir(guest.path('/var/lib/floe-agent/roots')).catch(() => []);
        // What was downloaded ahead belongs to no activation.
        const left = [...(units === '' ? [] : units.split('\n')), ...roots.filter((root) => root !== 'ahead')];
        for (const path of ['/var/lib/floe-agent/activation', '/var/lib/floe-agent/boot-guard']) if (await guest.has(path)) left.push(path);
        if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
        return true;
      },
      { timeoutMs: 10_000 },
    );
  }

  /** All machines that are at rest are tidy: to be asked after each test. */
  async restingAreTidy(): Promise<void> {
    for (const name of this.guests.keys()) {
      const { state } = (await this.journal(name)) ?? {};
      if (state !== undefined && AT_REST.has(state)) await this.isTidy(name);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.guests.values()].map(async (guest) => await guest[Symbol.asyncDispose]()));
    await this.fleet[Symbol.asyncDispose]();
    await this.cache[Symbol.asyncDispose]();
    await this.#postgres[Symbol.asyncDispose]();
    await this.#network[Symbol.asyncDispose]();
    await execInTest('chmod', ['-R', 'u+w', this.#dir]);
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 20 });
  }
}
