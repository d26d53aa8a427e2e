import { spawn, type ChildProcess } from 'node:child_process';
import { access, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exec, execInTest, type ExecResult } from '@floe/runtime';
import { eventually } from '../service-process.ts';

/** nspawn's exit status when its guest restarts itself. */
const RESTARTS = 133;
const CGROUPS = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup'];
const GUEST_ENV = { HOME: '/root', TERM: 'dumb', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/** The content of a file, and who may read it; default: everybody. */
export type GuestFile = string | { readonly text: string; readonly mode: number };

export interface GuestOptions {
  readonly name: string;
  /** The root file system that guests share, read only. */
  readonly rootfs: string;
  /** The guest's own files are below it. */
  readonly dir: string;
  readonly bridge: string;
  /** `a.b.c.d/bits` */
  readonly address: string;
  /** A separate disk of this size for the store. */
  readonly storeMegabytes?: number | undefined;
  /** Files that replace those of the shared root file system: path → content. */
  readonly files: Readonly<Record<string, GuestFile>>;
  /** Files of this machine that are readable in the guest: path here → path there. */
  readonly readable?: Readonly<Record<string, string>> | undefined;
}

/** A machine under systemd-nspawn with its own systemd, store and address. It can be restarted, and lose its power. */
export class LabGuest implements AsyncDisposable {
  readonly name: string;
  readonly #options: GuestOptions;
  #nspawn: ChildProcess | undefined;
  #isWanted = false;
  #starts = 0;
  #console: string[] = [];

  constructor(options: GuestOptions) {
    this.#options = options;
    this.name = options.name;
  }

  /** The guest's root, as a path of this machine. */
  get root(): string {
    return join(this.#options.dir, this.name, 'root');
  }

  /** The host's end of its network cable. */
  get link(): string {
    return `vb-${this.name}`;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  path(path: string): string {
    return `${this.root}${path}`;
  }

  /** Starts it, and waits until its systemd is up. */
  async start(): Promise<void> {
    await this.#mount();
    this.#isWanted = true;
    this.#spawn();
    await this.isUp();
  }

  async #mount(): Promise<void> {
    const { dir, rootfs, files, storeMegabytes } = this.#options;
    const own = join(dir, this.name);
    const [upper, work] = [join(own, 'upper'), join(own, 'work')];
    for (const folder of [upper, work, this.root]) await mkdir(folder, { recursive: true });
    if ((await execInTest('mountpoint', ['--quiet', this.root])).exitCode === 0) return;
    await run('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${rootfs},upperdir=${upper},workdir=${work}`, this.root]);
    if (storeMegabytes !== undefined) {
      await mkdir(this.path('/nix'), { recursive: true });
      await run('mount', ['-t', 'tmpfs', '-o', `size=${storeMegabytes}m,mode=755`, 'tmpfs', this.path('/nix')]);
      await mkdir(this.path('/nix/store'), { recursive: true, mode: 0o775 });
    }
    for (const [path, content] of Object.entries({ ...this.#network(), ...files })) {
      await mkdir(dirname(this.path(path)), { recursive: true });
      const { text, mode } = typeof content === 'string' ? { text: content, mode: 0o644 } : content;
      await writeFile(this.path(path), text, { mode });
    }
  }

  #network(): Record<string, string> {
    const { address } = this.#options;
    return {
      '/etc/hostname': `${this.name}\n`,
      '/etc/systemd/network/10-host0.network': `[Match]\nName=host0\n[Network]\nAddress=${address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n`,
    };
  }

  #spawn(): void {
    this.#starts += 1;
    const cgroups = CGROUPS.map((cgroup) => `${cgroup}/floe-lab/${this.name}`);
    // One control group per guest, in each hierarchy that nspawn uses; otherwise all guests would share one.
    const enter =
      'for group in "$@"; do [ "$group" != -- ] || break; shift; mkdir -p "$group" 2>/dev/null && echo $$ >"$group/cgroup.procs" 2>/dev/null || :; done; shift; exec "$@"';
    const nspawn = [
      // Ends with the tests, also when those are killed: nobody else would turn it off.
      'setpriv',
      '--pdeathsig=KILL',
      'systemd-nspawn',
      '--quiet',
      '--register=no',
      '--keep-unit',
      '--boot',
      `--directory=${this.root}`,
      `--machine=${this.name}`,
      `--network-bridge=${this.#options.bridge}`,
      `--bind-ro=${process.execPath}:/usr/local/bin/node`,
      ...Object.entries(this.#options.readable ?? {}).map(([from, to]) => `--bind-ro=${from}:${to}`),
      '--console=pipe',
      '--resolv-conf=off',
    ];
    const child = spawn('sh', ['-c', enter, 'sh', ...cgroups, '--', ...nspawn], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...GUEST_ENV, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1', SYSTEMD_NSPAWN_LOCK: '0' },
    });
    this.#nspawn = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#console = [...this.#console, chunk.toString('utf8')].slice(-200);
      });
    }
    child.once('exit', (code) => {
      if (code === RESTARTS && this.#isWanted) this.#spawn();
    });
  }

  async isUp(): Promise<void> {
    await eventually(
      `${this.name} is up`,
      async () => {
        const { stdout } = await this.run('systemctl', 'is-system-running');
        return /^(?:running|degraded)/.test(stdout) ? true : undefined;
      },
      { timeoutMs: 30_000, everyMs: 100, explain: () => this.#console.join('') },
    );
  }

  /** The pid of the guest's init on this machine; undefined while it is off. */
  async #init(): Promise<number | undefined> {
    const pid = this.#nspawn?.pid;
    if (pid === undefined || this.#nspawn?.exitCode !== null) return undefined;
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')).trim().split(' ');
    for (const child of children) {
      if ((await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '')).trim() === 'systemd') return Number(child);
    }
    return undefined;
  }

  /** The pid of a unit's main process on this machine. */
  async mainPid(unit: string): Promise<number> {
    const inner = await this.sh(`systemctl show ${unit} --property=MainPID --value`);
    const namespace = await readlink(`/proc/${await this.#init()}/ns/pid`);
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      if (/^NSpid:.*\t(\d+)$/m.exec(status)?.[1] !== inner) continue;
      if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => '')) === namespace) return Number(pid);
    }
    throw new Error(`${this.name}: ${unit} does not run`);
  }

  /** Runs a program in the guest. */
  async run(file: string, ...args: string[]): Promise<ExecResult> {
    const init = await this.#init();
    if (init === undefined) throw new Error(`${this.name} is off`);
    return await exec('nsenter', ['--target', String(init), '--all', file, ...args], { env: GUEST_ENV, timeoutMs: 60_000 });
  }

  /** Runs a shell script in the guest; throws when it fails. */
  async sh(script: string): Promise<string> {
    const result = await this.run('/bin/sh', '-euc', script);
    if (result.exitCode !== 0) throw new Error(`${this.name}: ${script}\n${result.stdout}${result.stderr}`);
    return result.stdout.trim();
  }

  /** A power failure: init and all its descendants are killed immediately. */
  async cutPower(): Promise<void> {
    const init = await this.#init();
    const child = this.#nspawn;
    this.#isWanted = false;
    if (init === undefined || child === undefined) return;
    const ended = new Promise<void>((resolve) =>
      child.exitCode === null && child.signalCode === null ? child.once('exit', () => resolve()) : resolve(),
    );
    process.kill(init, 'SIGKILL');
    await ended;
  }

  /** Nothing in it runs any more, as in a machine that sleeps. Its clocks go on. */
  async freeze(): Promise<void> {
    await this.#setFrozen(true);
  }

  async thaw(): Promise<void> {
    await this.#setFrozen(false);
  }

  async #setFrozen(isFrozen: boolean): Promise<void> {
    const state = isFrozen ? '1' : '0';
    const groups = CGROUPS.map((cgroup) => `${cgroup}/floe-lab/${this.name}`);
    const written = await Promise.allSettled(groups.map(async (group) => await writeFile(`${group}/cgroup.freeze`, state, { flag: 'r+' })));
    const group = groups.find((_group, index) => written[index]?.status === 'fulfilled');
    if (group === undefined) throw new Error(`${this.name} cannot be frozen: its control group is none of version 2`);
    await eventually(
      `${this.name} is ${isFrozen ? 'frozen' : 'awake'}`,
      async () => ((await readFile(`${group}/cgroup.events`, 'utf8')).includes(`frozen ${state}`) ? true : undefined),
      { timeoutMs: 10_000, everyMs: 10 },
    );
  }

  async unplug(): Promise<void> {
    await run('ip', ['link', 'set', this.link, 'down']);
  }

  /** Limits the guest's incoming bandwidth. */
  async slowDown(rate: string): Promise<void> {
    await run('tc', ['qdisc', 'replace', 'dev', this.link, 'root', 'tbf', 'rate', rate, 'burst', '32k', 'latency', '200ms']);
  }

  /** Resizes the store's own disk. */
  async resizeStore(megabytes: number): Promise<void> {
    await this.sh(`mount -o remount,size=${megabytes}m /nix`);
  }

  async plug(): Promise<void> {
    await run('ip', ['link', 'set', this.link, 'up']);
  }

  /** The target of a link of the guest; undefined: there is none. */
  async linkTarget(path: string): Promise<string | undefined> {
    return await readlink(this.path(path)).catch(() => undefined);
  }

  /** The same for a link that exists only in the running guest: `/run` is not on its disk. */
  async liveLinkTarget(path: string): Promise<string | undefined> {
    const init = await this.#init();
    if (init === undefined) throw new Error(`${this.name} is off`);
    return await readlink(`/proc/${init}/root${path}`).catch(() => undefined);
  }

  async has(path: string): Promise<boolean> {
    return await access(this.path(path)).then(
      () => true,
      () => false,
    );
  }

  /** Describes the processes of a guest that is off and should not be. */
  async #processes(): Promise<string> {
    const { pid, exitCode, signalCode } = this.#nspawn ?? {};
    const read = async (of: number, file: string): Promise<string> => (await readFile(`/proc/${of}/${file}`, 'utf8').catch(() => '?')).trim();
    const describe = async (of: number): Promise<string> => {
      const children = (await read(of, `task/${of}/children`)).split(' ').filter((each) => /^\d+$/.test(each));
      const own = `${await read(of, 'comm')} (${of}, ${(await read(of, 'stat')).split(') ')[1]?.[0] ?? 'gone'}, in ${await read(of, 'wchan')})`;
      return [own, ...(await Promise.all(children.map(async (child) => await describe(Number(child)))))].join('; ');
    };
    return `start ${this.#starts}, ended with ${exitCode ?? signalCode ?? 'nothing yet'}: ${pid === undefined ? 'never started' : await describe(pid)}`;
  }

  async log(): Promise<string> {
    if ((await this.#init()) === undefined) return `${await this.#processes()}\n${this.#console.join('').slice(-4_000)}`;
    const journal = await this.run('journalctl', '--no-pager', '--lines=150', '--output=short-precise').catch(() => undefined);
    return `${this.#console.join('').slice(-2_000)}\n${journal?.stdout ?? ''}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
    if (this.#options.storeMegabytes !== undefined) await execInTest('umount', ['--lazy', this.path('/nix')]);
    await execInTest('umount', ['--lazy', this.root]);
    for (const cgroup of CGROUPS) await execInTest('find', [`${cgroup}/floe-lab/${this.name}`, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']);
  }
}

async function run(file: string, args: readonly string[]): Promise<void> {
  const result = await execInTest(file, args);
  if (result.exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: ${result.stderr}`);
}
