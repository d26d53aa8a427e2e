import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type FreshnessStatement, type ReleaseStatement } from '@floe/protocol';
import { generateKeyPem, loadOrCreateSigner, signerFromPem, silentLogger, systemClock, type Signer } from '@floe/runtime';
import { dataPaths } from '@floe/pipeline';
import { openStore, type Repository, type Store } from '@floe/store';
import { startPostgres } from '@floe/testkit';
import { hostName, MACHINE_ID, type AgentsRequest, type AgentsStatus } from './agents-wire.ts';
import { run, type Progress } from './measure.ts';
import { Worker } from './worker.ts';

const ROOT = join(import.meta.dirname, '..');
/** The benchmark is the pipeline: the server finds the repository's lease taken. */
const LEASE_MS = 3_000_000;

/** The shipped server as a process of its own, on Postgres, and thousands of agents in another. */
export class LargeFleet implements AsyncDisposable {
  readonly count: number;
  readonly store: Store;
  readonly agentKey = generateKeyPem();
  readonly #dir: string;
  readonly #port: number;
  readonly #repository: Repository;
  readonly #releaseSigner: Signer;
  readonly #stack: AsyncDisposableStack;
  readonly #databaseUrl: string;
  #server: Worker | undefined;
  #agents: Worker | undefined;
  #published = 0;

  private constructor(
    count: number,
    made: {
      dir: string;
      port: number;
      store: Store;
      repository: Repository;
      releaseSigner: Signer;
      databaseUrl: string;
      stack: AsyncDisposableStack;
    },
  ) {
    this.count = count;
    this.store = made.store;
    this.#dir = made.dir;
    this.#port = made.port;
    this.#repository = made.repository;
    this.#releaseSigner = made.releaseSigner;
    this.#databaseUrl = made.databaseUrl;
    this.#stack = made.stack;
  }

  /** Builds the bundle, and enrols the hosts; the server is not started yet. */
  static async create(count: number, progress: Progress): Promise<LargeFleet> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'floe-bench-fleet-'));
    stack.defer(async () => await rm(dir, { recursive: true, force: true }));
    await run(process.execPath, [join(ROOT, 'scripts/bundle.ts'), join(dir, 'bundle')]);
    const { url: databaseUrl } = stack.use(await startPostgres());
    const deps = { clock: systemClock, logger: silentLogger, migrationsDir: join(ROOT, 'migrations') };
    const store = stack.use(await openStore({ kind: 'postgres', url: databaseUrl }, deps));
    const repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: systemClock.now() });
    if (!(await store.repositories.claim(repository.id, 'bench', LEASE_MS))) throw new Error('the lease was not free');
    const { keys, releaseKey } = dataPaths(join(dir, 'server'));
    await mkdir(keys, { recursive: true, mode: 0o700 });
    const releaseSigner = await loadOrCreateSigner(releaseKey, 'release-1');
    const port = await freePort();
    const fleet = new LargeFleet(count, { dir, port, store, repository, releaseSigner, databaseUrl, stack: stack.move() });
    progress(`${count} hosts are enrolled`);
    await fleet.#enrol();
    return fleet;
  }

  get hosts(): readonly HostName[] {
    return Array.from({ length: this.count }, (_, index) => hostName(index));
  }

  get server(): Worker {
    if (this.#server === undefined) throw new Error('the server was not started');
    return this.#server;
  }

  get agents(): Worker {
    if (this.#agents === undefined) throw new Error('no agents were started');
    return this.#agents;
  }

  /** Starts the server; resolves when it answers. */
  async start(): Promise<void> {
    const env = {
      PATH: process.env['PATH'],
      HOME: this.#dir,
      DATABASE_URL: this.#databaseUrl,
      FLOE_LISTEN: `127.0.0.1:${this.#port}`,
      FLOE_DATA_DIR: join(this.#dir, 'server'),
      FLOE_REPOSITORY_URL: this.#repository.url,
      FLOE_REPOSITORY_BRANCH: this.#repository.branch,
      FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE: 'yes',
    };
    // More of Node's own options, e.g. --cpu-prof, when somebody looks for what is slow.
    const options = (process.env['FLOE_BENCH_NODE_OPTIONS'] ?? '').split(' ').filter((option) => option !== '');
    const probe = join(import.meta.dirname, 'probe.ts');
    this.#server = new Worker([...options, '--import', probe, join(this.#dir, 'bundle/floe-server.mjs')], {
      env,
      log: join(this.#dir, 'server.log'),
    });
    while ((await this.ask('/readyz').catch(() => undefined)) !== 200) await delay(20);
  }

  /** Ends the server as systemd does, or at once. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.server.end(signal);
  }

  /** The status of the answer to a request of a person. */
  async ask(path: string): Promise<number> {
    const token = await readFile(dataPaths(join(this.#dir, 'server')).adminToken, 'utf8');
    const answer = await fetch(`http://127.0.0.1:${this.#port}${path}`, { headers: { authorization: `Bearer ${token.trim()}` } });
    await answer.arrayBuffer();
    return answer.status;
  }

  /** Connects all agents for the first time; resolves when all are welcomed. */
  async connect(): Promise<void> {
    this.#agents = startAgents({ type: 'connect', kind: 'floe', count: this.count, port: this.#port, agentKey: this.agentKey, reportBytes: 0 });
    await untilStatus(this.#agents, ({ connected }) => connected === this.count);
  }

  /** Creates a revision with a release for every host, like the pipeline. */
  async publish(): Promise<void> {
    const { store, hosts } = this;
    this.#published += 1;
    const sha = String(this.#published).padStart(40, 'c') as CommitSha;
    const toplevel = `/nix/store/${'a'.repeat(32)}-nixos-system-bench-${this.#published}` as StorePath;
    const now = systemClock.now();
    const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: now, receivedAt: now, fetchedAt: now };
    const revision = await store.revisions.receive(this.#repository.id, { sha, ...about });
    for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, now);
    const evaluations = hosts.map((host) => ({ host, outcome: 'CHANGED' as const, drvPath: `${toplevel}.drv`, toplevel, system: 'x86_64-linux' }));
    await store.revisions.saveEvaluations(revision.id, evaluations);
    const { url, ref, id } = this.#repository;
    const freshness: FreshnessStatement = { version: 1, repository: url, ref, sequence: revision.sequence, asOf: now };
    await store.releases.saveFreshness(id, JSON.stringify(seal(this.#releaseSigner, 'floe/freshness', freshness)), revision.sequence, now);
    const releases = hosts.map((host) => {
      const statement: ReleaseStatement = {
        version: 1,
        repository: url,
        ref,
        commit: sha,
        sequence: revision.sequence,
        host,
        toplevel,
        narHash: `sha256:${'0'.repeat(52)}`,
        closureSizeBytes: 5_000_000_000,
        system: 'x86_64-linux',
        issuedAt: now,
        expiresAt: now + 1e10,
      };
      const envelope = JSON.stringify(seal(this.#releaseSigner, 'floe/release', statement));
      return { host, sequence: revision.sequence, toplevel, commit: sha, issuedAt: now, envelope };
    });
    await store.releases.publish(revision.id, releases, now);
  }

  /** Whether the rollout that hosts follow is complete: before, another one would wait for it. */
  async isComplete(): Promise<boolean> {
    const { rollout } = await this.store.hosts.fleet(this.#repository.id, []);
    return rollout?.state === 'COMPLETE';
  }

  async #enrol(): Promise<void> {
    const { publicKey } = signerFromPem('host', this.agentKey);
    await this.store.hosts.ensure(this.#repository.id, this.hosts);
    const queue = [...this.hosts];
    const worker = async (): Promise<void> => {
      for (let host = queue.pop(); host !== undefined; host = queue.pop())
        await this.store.hosts.enrol({ host, repositoryId: this.#repository.id, machineId: MACHINE_ID, publicKey, at: 1 });
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents?.[Symbol.asyncDispose]();
    await this.#server?.end('SIGTERM');
    await this.#stack.disposeAsync();
  }
}

export function startAgents(request: AgentsRequest): Worker {
  const agents = new Worker([join(import.meta.dirname, 'agents-clients.ts')]);
  agents.send(request);
  return agents;
}

/** Waits for the agents' status to be so. */
export async function untilStatus(agents: Worker, isSo: (status: AgentsStatus) => boolean): Promise<AgentsStatus> {
  for (;;) {
    const status = await agents.next('status');
    if (isSo(status)) return status;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (typeof address !== 'object' || address === null) throw new Error('no port is free');
  return address.port;
}
