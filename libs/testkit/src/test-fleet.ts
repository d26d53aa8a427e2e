import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EnrolmentTokenResponse, FleetView, HostName, RevisionView, type HostView } from '@floe/protocol';
import { execInTest } from '@floe/runtime';
import * as v from 'valibot';
import { ISOLATED_GIT_ENV } from './git-http-server.ts';
import { LocalForge } from './local-forge.ts';
import { startPostgres, type PostgresServer } from './pg-server.ts';
import { placeEmbeddedDatabase } from './prepared-databases.ts';
import { programFile } from './programs.ts';
import { eventually, ServiceProcess } from './service-process.ts';

const FORGE_TOKEN = 'local-forge-token';
const WEBHOOK_SECRET = 'local-webhook-secret';

export interface TestFleetOptions {
  /** Path → content of the fleet repository's first commit. */
  readonly files: Readonly<Record<string, string>>;
  /** Where everything is kept; default: a temporary folder that is removed at the end. */
  readonly dir?: string;
  /** Default: embedded PGlite. */
  readonly databaseUrl?: string;
  /** A Postgres of its own, which takes less processor time: for tests of what goes on beside the database. */
  readonly hasPostgres?: boolean;
  /** Added to the server's environment. */
  readonly serverEnv?: Readonly<Record<string, string>>;
  /** A builder as a process of its own, beside a server without the release key; needs a database of Postgres. */
  readonly hasOwnBuilder?: boolean;
  /** Added to the environment of that. */
  readonly builderEnv?: Readonly<Record<string, string>>;
  readonly serverPort?: number;
  /** Where the server listens; default: the loopback. */
  readonly serverAddress?: string;
  /** Settings for Nix, one `name = value` per line. */
  readonly nixConfig: string;
  readonly pollSeconds?: number;
  /** The agents' program; default: this checkout's. */
  readonly agentMain?: string;
  readonly onLine?: (who: string, line: string) => void;
}

/** What a machine folder really holds, read from its links. */
export interface FolderObservation {
  readonly current: string | undefined;
  readonly profile: string | undefined;
}

/** An agent of its own process on a folder that plays a machine. */
export interface TestMachine {
  readonly host: HostName;
  readonly root: string;
  readonly agent: ServiceProcess;
  observe(): Promise<FolderObservation>;
}

/**
 * A whole Floe on this machine: a local forge, the server as a process, agents as processes on folders. Everything
 * between them is real: git over HTTP, webhooks, WebSockets, Nix.
 */
export class TestFleet implements AsyncDisposable {
  readonly dir: string;
  readonly forge: LocalForge;
  readonly server: ServiceProcess;
  /** Undefined: it is inside the server. */
  readonly builder: ServiceProcess | undefined;
  readonly machines = new Map<string, TestMachine>();
  readonly serverUrl: string;
  /** The work tree that pushes are made from. */
  readonly workTree: string;
  readonly #options: TestFleetOptions;
  readonly #isTemporary: boolean;
  readonly #postgres: PostgresServer | undefined;

  private constructor(
    options: TestFleetOptions,
    { dir, forge, serverPort, postgres }: { dir: string; forge: LocalForge; serverPort: number; postgres: PostgresServer | undefined },
  ) {
    this.#options = options;
    this.#postgres = postgres;
    this.#isTemporary = options.dir === undefined;
    this.dir = dir;
    this.forge = forge;
    const address = options.serverAddress ?? '127.0.0.1';
    this.serverUrl = `http://${address}:${serverPort}`;
    this.workTree = join(dir, 'fleet');
    const hasOwnBuilder = options.hasOwnBuilder === true;
    this.builder = hasOwnBuilder ? this.newBuilder('builder') : undefined;
    this.server = new ServiceProcess({
      name: 'server',
      main: programFile('server'),
      env: {
        ...(hasOwnBuilder ? this.#baseEnv() : this.#builderEnv()),
        FLOE_LISTEN: `${address}:${serverPort}`,
        FLOE_PUBLIC_URL: this.serverUrl,
        FLOE_DATA_DIR: join(dir, 'server'),
        FLOE_REPOSITORY_URL: forge.cloneUrl,
        ...(hasOwnBuilder ? { FLOE_BUILDER_KEYS_FILE: join(dir, 'builder/public-keys.json'), FLOE_CACHE_DIR: join(dir, 'builder/cache') } : {}),
        FLOE_WEBHOOK_SECRET_FILE: join(dir, 'secrets/webhook-secret'),
        FLOE_GITHUB_REPOSITORY: 'family/fleet',
        FLOE_GITHUB_API_URL: forge.origin,
        FLOE_GITHUB_TOKEN_FILE: join(dir, 'secrets/repository-token'),
        ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
        ...options.serverEnv,
      },
      onLine: (line) => options.onLine?.('server', line),
    });
  }

  /** A builder in a data folder of its own. */
  newBuilder(name: string, env: NodeJS.ProcessEnv = {}): ServiceProcess {
    return new ServiceProcess({
      name,
      main: programFile('builder'),
      env: {
        ...this.#builderEnv(),
        FLOE_PUBLIC_URL: this.serverUrl,
        FLOE_DATA_DIR: join(this.dir, name),
        FLOE_CACHE_DIR: join(this.dir, 'builder/cache'),
        FLOE_REPOSITORY_URL: this.forge.cloneUrl,
        FLOE_REPOSITORY_BRANCH: 'main',
        ...(this.#options.databaseUrl === undefined ? {} : { DATABASE_URL: this.#options.databaseUrl }),
        ...this.#options.builderEnv,
        ...env,
      },
      onLine: (line) => this.#options.onLine?.(name, line),
    });
  }

  /** Makes the forge with the first commit; the server is not started yet. */
  static async create({ hasPostgres = false, ...others }: TestFleetOptions): Promise<TestFleet> {
    const postgres = hasPostgres ? await startPostgres() : undefined;
    const options = postgres === undefined ? others : { ...others, databaseUrl: postgres.url };
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'floe-fleet-')));
    const repositories = join(dir, 'forge');
    await mkdir(join(dir, 'secrets'), { recursive: true, mode: 0o700 });
    await mkdir(repositories, { recursive: true });
    await mkdir(join(dir, 'home'), { recursive: true });
    if (options.databaseUrl === undefined) await placeEmbeddedDatabase(join(dir, 'server/database'));
    await writeFile(join(dir, 'secrets/repository-token'), FORGE_TOKEN, { mode: 0o600 });
    await writeFile(join(dir, 'secrets/webhook-secret'), WEBHOOK_SECRET, { mode: 0o600 });
    const port = options.serverPort ?? (await freePort());
    const forge = new LocalForge({ projectRoot: repositories, repository: 'family/fleet', webhookSecret: WEBHOOK_SECRET, token: FORGE_TOKEN });
    await forge.listen();
    const fleet = new TestFleet(options, { dir, forge, serverPort: port, postgres });
    forge.webhookUrl = `${fleet.serverUrl}/webhooks/github`;
    await fleet.git('init', '-q', '--bare', '-b', 'main', forge.bareDir);
    await fleet.git('-C', forge.bareDir, 'config', 'http.receivepack', 'true');
    await fleet.git('init', '-q', '-b', 'main', fleet.workTree);
    for (const [name, value] of [
      ['user.name', 'Ada'],
      ['user.email', 'ada@example.org'],
    ] as const)
      await fleet.git('-C', fleet.workTree, 'config', name, value);
    await fleet.git('-C', fleet.workTree, 'remote', 'add', 'origin', forge.pushUrl);
    await fleet.push('The first three machines', options.files);
    return fleet;
  }

  /** Runs git with nobody's configuration; returns its output. */
  async git(...args: string[]): Promise<string> {
    const identity = {
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.org',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.org',
    };
    const result = await execInTest('git', args, { env: { ...process.env, ...ISOLATED_GIT_ENV, ...identity, HOME: join(this.dir, 'home') } });
    if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')} failed: ${result.stderr}`);
    return result.stdout.trim();
  }

  /** Commits the files (null: removed) and pushes over HTTP; returns the commit. */
  async push(message: string, files: Readonly<Record<string, string | null>>, options: { readonly force?: boolean } = {}): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.workTree, path);
      if (content === null) await rm(file, { force: true });
      else {
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, content, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
      }
    }
    await this.git('-C', this.workTree, 'add', '-A');
    await this.git('-C', this.workTree, 'commit', '-q', '--allow-empty', '-m', message);
    const commit = await this.git('-C', this.workTree, 'rev-parse', 'HEAD');
    await this.git('-C', this.workTree, 'push', '-q', ...(options.force === true ? ['--force'] : []), 'origin', 'HEAD:main');
    return commit;
  }

  /** Starts the server, and its builder before, and waits until it is ready. */
  async startServer(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const { builder } = this;
    if (builder !== undefined && !builder.isRunning) {
      builder.start();
      const keys = join(this.dir, 'builder/public-keys.json');
      await eventually('the builder has written its keys', async () => await readFile(keys), { explain: () => builder.log() });
    }
    this.server.start(env);
    await this.serverReady();
  }

  async serverReady(): Promise<void> {
    await eventually(
      'the server is ready',
      async () => {
        if (!this.server.isRunning) throw new Error('the server ended');
        return (await fetch(`${this.serverUrl}/readyz`)).ok ? true : undefined;
      },
      { timeoutMs: 30_000, explain: () => this.server.log() },
    );
  }

  /** The administrator's token, as the first start wrote it. */
  async token(): Promise<string> {
    return (await readFile(join(this.dir, 'server/admin-token'), 'utf8')).trim();
  }

  /** A request to the server's API with the administrator's token. */
  async request(path: string, init: Omit<RequestInit, 'headers'> = {}): Promise<Response> {
    return await fetch(`${this.serverUrl}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${await this.token()}`, 'content-type': 'application/json' },
    });
  }

  async fleetView(): Promise<FleetView> {
    return v.parse(FleetView, await (await this.request('/api/fleet')).json());
  }

  async hostView(host: string): Promise<HostView> {
    const found = (await this.fleetView()).hosts.find((each) => each.host === host);
    if (found === undefined) throw new Error(`the server knows no host ${host}`);
    return found;
  }

  async revision(sha: string): Promise<RevisionView | undefined> {
    const response = await this.request(`/api/revisions/${sha}`);
    return response.status === 404 ? undefined : v.parse(RevisionView, await response.json());
  }

  /** Waits until the revision, and the rollout of what it published, are done. */
  async settled(sha: string, timeoutMs = 120_000): Promise<RevisionView> {
    return await eventually(
      `revision ${sha.slice(0, 7)} is settled`,
      async () => {
        const revision = await this.revision(sha);
        if (revision === undefined) return undefined;
        if (['REJECTED', 'EVAL_FAILED', 'BUILD_FAILED', 'SUPERSEDED'].includes(revision.state)) return revision;
        const { counts, state } = revision.rollout ?? {};
        // Hosts may be told it while others are still built.
        if (revision.state !== 'PUBLISHED' || counts == null || counts['under-way'] > 0) return undefined;
        // Between two rings nobody is under way for a moment.
        return counts.queued === 0 || state === 'PAUSED' || state === 'ABORTED' ? revision : undefined;
      },
      { timeoutMs, explain: async () => `${JSON.stringify(await this.fleetView(), null, 1)}\n${this.server.log()}` },
    );
  }

  /** A one-time token for the host, and what the host has to pin. */
  async enrolmentToken(host: string): Promise<EnrolmentTokenResponse> {
    const response = await this.request(`/api/hosts/${host}/enrolment-tokens`, { method: 'POST' });
    return v.parse(EnrolmentTokenResponse, await response.json());
  }

  /** Makes a machine folder, enrols it under `host` and starts its agent. */
  async addMachine(host: string, env: NodeJS.ProcessEnv = {}): Promise<TestMachine> {
    const enrolment = await this.enrolmentToken(host);
    const root = join(this.dir, 'machines', host);
    await mkdir(root, { recursive: true });
    const tokenFile = join(this.dir, 'secrets', `enrol-${host.slice(0, 200)}`);
    await writeFile(tokenFile, enrolment.token, { mode: 0o600 });
    const agent = new ServiceProcess({
      name: host,
      main: this.#options.agentMain ?? programFile('agent'),
      args: ['run'],
      env: {
        ...this.#baseEnv(),
        FLOE_SERVER_URL: enrolment.serverUrl,
        FLOE_HOST: host,
        FLOE_ROOT: root,
        FLOE_ENROLMENT_TOKEN_FILE: tokenFile,
        FLOE_TRUSTED_RELEASE_KEYS: enrolment.releaseKeys.join(' '),
        FLOE_TRUSTED_SERVER_KEYS: enrolment.serverKeys.join(' '),
        FLOE_SUBSTITUTERS: enrolment.substituter,
        FLOE_TRUSTED_PUBLIC_KEYS: enrolment.cachePublicKeys.join(' '),
        ...env,
      },
      onLine: (line) => this.#options.onLine?.(host, line),
    });
    agent.start();
    const machine: TestMachine = { host: v.parse(HostName, host), root, agent, observe: async () => await observeFolder(root) };
    this.machines.set(host, machine);
    return machine;
  }

  /** Puts another archive in the place of the path's one in the server's cache; returns what puts the true one back. */
  async tamperWithCache(path: string): Promise<() => Promise<void>> {
    const cache = join(this.dir, 'server/cache');
    const narinfo = await readFile(join(cache, `${path.slice('/nix/store/'.length).split('-')[0]}.narinfo`), 'utf8');
    const archive = join(cache, /^URL: (.*)$/m.exec(narinfo)?.[1] ?? '');
    const names = await readdir(join(cache, 'nar'));
    const other = names.map((name) => join(cache, 'nar', name)).find((name) => name !== archive);
    if (other === undefined) throw new Error('the cache holds no second archive');
    const original = await readFile(archive);
    await chmod(archive, 0o644);
    await writeFile(archive, await readFile(other));
    return async () => await writeFile(archive, original);
  }

  machine(host: string): TestMachine {
    const found = this.machines.get(host);
    if (found === undefined) throw new Error(`there is no machine ${host}`);
    return found;
  }

  /** What a builder is told, in the server or beside it. */
  #builderEnv(): NodeJS.ProcessEnv {
    return {
      ...this.#baseEnv(),
      FLOE_REPOSITORY_TOKEN_FILE: join(this.dir, 'secrets/repository-token'),
      FLOE_POLL_SECONDS: String(this.#options.pollSeconds ?? 180),
      // A test machine need have no daemon of Nix.
      FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE: 'yes',
    };
  }

  #baseEnv(): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      HOME: join(this.dir, 'home'),
      NIX_CONFIG: this.#options.nixConfig,
      FLOE_LOG_LEVEL: 'debug',
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.machines.values()].map(async ({ agent }) => await agent[Symbol.asyncDispose]()));
    await this.server[Symbol.asyncDispose]();
    await this.builder?.[Symbol.asyncDispose]();
    await this.forge[Symbol.asyncDispose]();
    await this.#postgres?.[Symbol.asyncDispose]();
    if (!this.#isTemporary) return;
    // Store paths are read-only folders.
    await execInTest('chmod', ['-R', 'u+w', this.dir]);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 20 });
  }
}

/** Reads a machine folder's own links; `undefined` where there is none. */
export async function observeFolder(root: string): Promise<FolderObservation> {
  const read = async (path: string): Promise<string | undefined> => await readlink(path).catch(() => undefined);
  const profiles = join(root, 'nix/var/nix/profiles');
  const generation = await read(join(profiles, 'system'));
  const profile = generation === undefined ? undefined : await read(join(profiles, generation.split('/').at(-1) ?? generation));
  return { current: await read(join(root, 'run/current-system')), profile };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (typeof address !== 'object' || address === null) throw new Error('no port is free');
  return address.port;
}
