import { readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, exampleFleetFiles, startPostgres, TestFleet, testNixSettings, type PostgresServer, type ServiceProcess } from '@floe/testkit';
import { FaultyLine } from './faulty-line.ts';
import { LogWatch } from './log-watch.ts';
import { HOSTS, LINES, type Fault, type Host, type Line, type Phase, type Push } from './plan.ts';
import { hostFile, Truth, type HostContent, type Tree } from './truth.ts';

type Who = 'server' | Host;

/** A whole Floe in which every connection can be disturbed and every process can be killed, with the expected state. */
export class World implements AsyncDisposable {
  readonly fleet: TestFleet;
  readonly postgres: PostgresServer;
  readonly truth = new Truth();
  readonly logs: LogWatch;
  readonly #lines: Readonly<Record<Line, FaultyLine>>;
  readonly #run: string;
  /** Processes that are down on purpose. */
  readonly #down = new Set<Who>();
  readonly #suspended = new Set<Who>();
  #texts = 0;

  private constructor(fleet: TestFleet, postgres: PostgresServer, lines: Readonly<Record<Line, FaultyLine>>, logs: LogWatch, run: string) {
    this.fleet = fleet;
    this.postgres = postgres;
    this.#lines = lines;
    this.logs = logs;
    this.#run = run;
  }

  /** `run` is part of every text, so that no system was built before. */
  static async create(run: string): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const logs = new LogWatch();
    const postgres = stack.use(await startPostgres());
    const start: Tree = {
      ada: { state: 'good', text: `${run} ada 0` },
      bob: { state: 'good', text: `${run} bob 0` },
      cyd: { state: 'good', text: `${run} cyd 0` },
    };
    const files = { ...(await exampleFleetFiles()), ...Object.fromEntries(HOSTS.map((host) => [`hosts/${host}.nix`, hostFile(start[host])])) };
    const socketFolder = new URL(postgres.url).searchParams.get('host') ?? '';
    const database = stack.use(await FaultyLine.open('database', { path: join(socketFolder, '.s.PGSQL.5432') }));
    const fleet = stack.use(
      await TestFleet.create({
        files,
        nixConfig: testNixSettings,
        databaseUrl: `postgres://floe@127.0.0.1:${database.port}/floe`,
        pollSeconds: 3,
        onLine: (who, line) => logs.take(who, line),
      }),
    );
    const serverPort = Number(new URL(fleet.serverUrl).port);
    const lines = {
      database,
      forge: stack.use(await FaultyLine.open('forge', { port: Number(new URL(fleet.forge.origin).port) })),
      webhooks: stack.use(await FaultyLine.open('webhooks', { port: serverPort })),
      agents: stack.use(await FaultyLine.open('agents', { port: serverPort })),
    };
    fleet.forge.webhookUrl = `http://127.0.0.1:${lines.webhooks.port}/webhooks/github`;
    const world = new World(fleet, postgres, lines, logs, run);
    world.truth.pushed({ sha: await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'), tree: start, isOdd: false });
    world.#start('server');
    await fleet.serverReady();
    await fleet.settled(world.truth.head.sha);
    for (const host of HOSTS)
      await fleet.addMachine(host, { FLOE_SETTLE_SECONDS: '0', FLOE_HEALTH_GRACE_SECONDS: '0', FLOE_SLOW_RETRY_SECONDS: '2' });
    world.#owned = stack.move();
    return world;
  }

  #owned: AsyncDisposableStack | undefined;

  process(who: Who): ServiceProcess {
    return who === 'server' ? this.fleet.server : this.fleet.machine(who).agent;
  }

  /** Runs the phase, and then repairs everything. */
  async play(phase: Phase): Promise<void> {
    const startedAt = performance.now();
    const over = new AbortController();
    let pushing: Promise<void> = Promise.resolve();
    const faults: Promise<void>[] = [];
    for (const step of phase.steps) {
      await delay(Math.max(0, startedAt + step.atMs - performance.now()));
      // Pushes run one after another, because they share a work tree; faults run at any time.
      if ('push' in step) pushing = pushing.then(async () => await this.#push(step.push));
      else faults.push(this.#do(step.fault, over.signal));
    }
    await pushing;
    // Waiting for a line of a log is limited to the time that a push takes.
    const calledOff = setTimeout(() => over.abort(), 8_000);
    await Promise.all(faults);
    clearTimeout(calledOff);
    await this.#mend();
  }

  async #mend(): Promise<void> {
    for (const line of LINES) this.#lines[line].heal();
    for (const who of this.#suspended) this.process(who).signal('SIGCONT');
    this.#suspended.clear();
    if (!this.postgres.isRunning) await this.postgres.start();
    await eventually('the server is ready again', async () => ((await fetch(`${this.fleet.serverUrl}/readyz`)).ok ? true : undefined), {
      timeoutMs: 90_000,
      explain: () => this.fleet.server.log(),
    });
  }

  async #do(fault: Fault, over: AbortSignal): Promise<void> {
    switch (fault.kind) {
      case 'line':
        this.#lines[fault.line].spoil(fault.fault);
        await delay(fault.forMs);
        this.#lines[fault.line].heal();
        return;
      case 'stop-database':
        if (!this.postgres.isRunning) return;
        await this.postgres.stop('immediate');
        await delay(fault.downMs);
        if (!this.postgres.isRunning) await this.postgres.start();
        return;
      case 'kill':
        await this.#kill(fault.who, fault.downMs);
        return;
      case 'kill-at':
        if (await this.logs.says(fault.who, fault.text, over)) await this.#kill(fault.who, fault.downMs);
        return;
      case 'suspend':
        if (this.#down.has(fault.who) || this.#suspended.has(fault.who)) return;
        this.#suspended.add(fault.who);
        this.process(fault.who).signal('SIGSTOP');
        await delay(fault.forMs);
        if (this.#suspended.delete(fault.who)) this.process(fault.who).signal('SIGCONT');
    }
  }

  async #kill(who: Who, downMs: number): Promise<void> {
    if (this.#down.has(who)) return;
    this.#down.add(who);
    await this.process(who).stop('SIGKILL');
    this.#suspended.delete(who);
    await delay(downMs);
    this.#down.delete(who);
    this.#start(who);
  }

  #start(who: Who): void {
    if (who !== 'server') {
      this.process(who).start();
      return;
    }
    this.fleet.server.start({
      FLOE_PUBLIC_URL: `http://127.0.0.1:${this.#lines.agents.port}`,
      FLOE_REPOSITORY_URL: this.fleet.forge.cloneUrl.replace(/:\d+\//, `:${this.#lines.forge.port}/`),
      FLOE_GITHUB_API_URL: `http://127.0.0.1:${this.#lines.forge.port}`,
    });
  }

  #content(host: Host, state: HostContent['state']): HostContent {
    this.#texts += 1;
    return { state, text: `${this.#run} ${host} ${this.#texts}` };
  }

  async #push(push: Push): Promise<void> {
    const { truth, fleet } = this;
    const commit = async (changes: Partial<Tree>, message: string, force = false): Promise<void> => {
      const files = Object.fromEntries(
        HOSTS.flatMap((host) => (changes[host] === undefined ? [] : [[`hosts/${host}.nix`, hostFile(changes[host])] as const])),
      );
      const tree = { ...truth.head.tree, ...changes };
      truth.pushed({ sha: await fleet.push(message, files, { force }), tree, isOdd: false });
    };
    switch (push.kind) {
      case 'good':
        return await commit(Object.fromEntries(push.hosts.map((host) => [host, this.#content(host, 'good')])), `For ${push.hosts.join(', ')}`);
      case 'readme':
        this.#texts += 1;
        truth.pushed({ ...truth.head, isOdd: false, sha: await fleet.push('Read me', { 'README.md': `${this.#run} ${this.#texts}\n` }) });
        return;
      case 'broken':
      case 'unbuildable':
      case 'unhealthy':
        return await commit({ [push.host]: this.#content(push.host, push.kind) }, `A ${push.kind} ${push.host}`);
      case 'revert': {
        const { beforeHead } = truth;
        if (beforeHead === undefined) return;
        await fleet.git('-C', fleet.workTree, 'read-tree', '-u', '--reset', beforeHead.sha);
        truth.pushed({ tree: beforeHead.tree, isOdd: false, sha: await fleet.push('Taken back', {}) });
        return;
      }
      case 'forced':
        if (truth.beforeHead === undefined) return;
        await fleet.git('-C', fleet.workTree, 'reset', '-q', '--hard', truth.beforeHead.sha);
        truth.lost();
        return await commit({ [push.host]: this.#content(push.host, 'good') }, 'Instead of the last one', true);
      case 'odd-author': {
        const content = this.#content(push.host, 'good');
        const tree = { ...truth.head.tree, [push.host]: content };
        truth.pushed({ sha: await this.#pushOdd(push.line, { [`hosts/${push.host}.nix`]: hostFile(content) }), tree, isOdd: true });
      }
    }
  }

  /** A commit object written byte by byte: git accepts such lines, but does not write them. */
  async #pushOdd(line: string, files: Readonly<Record<string, string>>): Promise<string> {
    const { fleet } = this;
    const inTree = async (...args: string[]): Promise<string> => await fleet.git('-C', fleet.workTree, ...args);
    for (const [path, content] of Object.entries(files)) await writeFile(join(fleet.workTree, path), content);
    await inTree('add', '-A');
    const [tree, parent] = [await inTree('write-tree'), await inTree('rev-parse', 'HEAD')];
    const text = `tree ${tree}\nparent ${parent}\n${line}\n${line.replace('author', 'committer')}\n\nAn odd one\n`;
    const file = join(fleet.dir, 'odd-commit');
    await writeFile(file, text);
    const sha = await inTree('hash-object', '-t', 'commit', '-w', '--literally', file);
    await inTree('reset', '-q', '--soft', sha);
    await inTree('push', '-q', 'origin', 'HEAD:main');
    return sha;
  }

  /** The motd of the machine's running system; undefined: none. */
  async motd(host: Host): Promise<string | undefined> {
    const machine = this.fleet.machine(host);
    const { profile } = await machine.observe();
    if (profile === undefined) return undefined;
    const link = await readlink(join(machine.root, profile, 'etc/motd'));
    return await readFile(join(machine.root, link), 'utf8');
  }

  isMeantToRun(who: Who): boolean {
    return !this.#down.has(who);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const who of this.#suspended) this.process(who).signal('SIGCONT');
    await this.#owned?.disposeAsync();
  }
}
