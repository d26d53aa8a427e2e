import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type Hello, type ServerMessage } from '@floe/protocol';
import { exec, createLogger, generateKeyPem, loadOrCreateSigner, signerFromPem, systemClock, type Clock, type Signer } from '@floe/runtime';
import type { Repository, Store } from '@floe/store';
import { createHostIdentity, helloOf, placeEmbeddedDatabase, startPostgres, type HostIdentity } from '@floe/testkit';
import { WebSocket } from 'ws';
import { dataPaths } from '@floe/pipeline';
import { parseConfig } from '../config.ts';
import { createServerContext, type ServerContext, type ServerOverrides } from '../context.ts';
import { listen } from '../listen.ts';

const ROOT = join(import.meta.dirname, '../../../..');

export type TestHost = HostIdentity;

/** The server itself, in this process: hub, API and store, at a port; without a repository. */
export interface TestServer extends AsyncDisposable {
  readonly context: ServerContext;
  readonly port: number;
  readonly url: string;
  readonly token: string;
  readonly repository: Repository;
  /** Signs what its builder would have signed. */
  readonly releaseSigner: Signer;
  /** What it logged, as JSON lines. */
  readonly lines: readonly string[];
  /** Enrols a host; it has a release when `toplevel` is given. */
  enrol(name: string, toplevel?: string): Promise<TestHost>;
  request(path: string, init?: RequestInit): Promise<Response>;
  /** An administrator asks the API: `POST`, `hosts/ada/pin`. */
  ask(method: string, path: string, body?: object): Promise<{ readonly status: number; readonly text: string }>;
}

export async function startTestServer(
  options: ServerOverrides & {
    readonly clock?: Clock;
    readonly env?: Readonly<Record<string, string>>;
    readonly dataDir?: string;
    /** What files of settings hold; others hold one secret. */
    readonly files?: Readonly<Record<string, string>>;
  } = {},
): Promise<TestServer> {
  await using stack = new AsyncDisposableStack();
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'floe-server-')));
  if (options.dataDir === undefined) stack.defer(async () => await rm(dataDir, { recursive: true, force: true }));
  const env = { ...options.env };
  // Postgres, which takes less processor time; a folder of the test's own may have an embedded database in it.
  if (options.dataDir === undefined) env['DATABASE_URL'] ??= stack.use(await startPostgres()).url;
  if (env['DATABASE_URL'] === undefined) await placeEmbeddedDatabase(dataPaths(dataDir).database);
  const stopping = new AbortController();
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  const url = 'http://127.0.0.1:1/fleet.git';
  const config = parseConfig(
    {
      FLOE_LISTEN: '127.0.0.1:0',
      FLOE_DATA_DIR: dataDir,
      FLOE_REPOSITORY_URL: url,
      FLOE_REPOSITORY_BRANCH: 'main',
      FLOE_POLL_SECONDS: '3600',
      FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE: 'yes',
      ...env,
    },
    (path) => options.files?.[path] ?? 'test-secret',
  );
  const system = {
    clock: options.clock ?? systemClock,
    random: Math.random,
    exec,
    env: { ...process.env, HOME: dataDir },
    rootDir: ROOT,
  };
  const context = stack.use(await createServerContext(config, logger, system, stopping.signal, options));
  const listening = stack.use(await listen(context, config, logger));
  const running = context.run(stopping.signal);
  stack.defer(async () => {
    stopping.abort();
    await running;
  });
  const token = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
  const branch = options.env?.['FLOE_REPOSITORY_BRANCH'] ?? 'main';
  const repository = await context.store.repositories.ensure({ url, branch: branch === '' ? 'main' : branch, now: Date.now() });
  const owned = stack.move();
  const request = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${token}`);
    return await fetch(`http://127.0.0.1:${listening.port}${path}`, { ...init, headers });
  };
  return {
    context,
    port: listening.port,
    url: `http://127.0.0.1:${listening.port}`,
    token,
    repository,
    releaseSigner: await loadOrCreateSigner(dataPaths(dataDir).releaseKey, 'release-1'),
    lines,
    enrol: async (name, toplevel) => await enrolHost(context.store, repository, name, toplevel),
    request,
    async ask(method, path, body) {
      const headers = { 'content-type': 'application/json' };
      const response = await request(`/api/${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      return { status: response.status, text: await response.text() };
    },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** Enrols a host; it has a release when `toplevel` is given. */
export async function enrolHost(store: Store, repository: Repository, name: string, toplevel?: string): Promise<TestHost> {
  const identity = createHostIdentity(name);
  const { host, machineId } = identity;
  await store.hosts.enrol({ host, repositoryId: repository.id, machineId, publicKey: identity.signer.publicKey, at: Date.now() });
  if (toplevel === undefined) return identity;
  await publishRelease(store, repository, host, toplevel);
  return identity;
}

/** A commit comes, and is published with a release for one host. */
export async function publishRelease(store: Store, repository: Repository, host: HostName, toplevel: string): Promise<void> {
  const publish = await toPublish(store, repository, host, toplevel);
  await publish();
}

/** A commit comes, is evaluated and built, and published by the function that is returned. */
export async function toPublish(store: Store, repository: Repository, host: HostName, toplevel: string): Promise<() => Promise<unknown>> {
  const sha = createHash('sha1').update(`${host} ${toplevel}`).digest('hex') as CommitSha;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const revision = await store.revisions.receive(repository.id, { sha, ...about, receivedAt: 1, fetchedAt: 1 });
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
  const built = { host, outcome: 'CHANGED', toplevel: toplevel as StorePath, system: 'x86_64-linux' } as const;
  await store.revisions.saveEvaluations(revision.id, [built]);
  const signer = signerFromPem('release-test', generateKeyPem());
  const envelope = JSON.stringify(seal(signer, 'floe/release', { host, toplevel }));
  const release = { host, sequence: revision.sequence, toplevel: toplevel as StorePath, commit: sha, issuedAt: 1, envelope };
  return async () => await store.releases.publish(revision.id, [release], 1);
}

/** One connection of an agent that speaks the protocol, or bends it. */
export class TestAgent implements AsyncDisposable {
  readonly messages: ServerMessage[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly socket: WebSocket;
  readonly #opened: Promise<void>;
  readonly #watchers = new Set<() => void>();

  /** `from` is an address of this machine. */
  constructor(url: string, from = '127.0.0.1') {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/agent`, { localAddress: from });
    this.socket.on('error', () => undefined);
    this.#opened = new Promise((resolve) => this.socket.once('open', () => resolve()));
    this.closed = new Promise((resolve) => this.socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    this.socket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString('utf8')) as ServerMessage);
      for (const watch of this.#watchers) watch();
    });
  }

  /** The first message of that type that comes, or has come; rejects when the connection ends before. */
  async next<Type extends ServerMessage['type']>(
    type: Type,
    isIt: (message: Extract<ServerMessage, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    return await new Promise((resolve, reject) => {
      const watch = (): void => {
        const found = this.messages.find((each): each is Extract<ServerMessage, { type: Type }> => each.type === type && isIt(each as never));
        if (found === undefined) return;
        this.#watchers.delete(watch);
        resolve(found);
      };
      this.#watchers.add(watch);
      this.closed.then(({ code, reason }) => reject(new Error(`closed with ${code} ${reason} before a ${type}`)), reject);
      watch();
    });
  }

  async hello(identity: TestHost, changes: Partial<Hello> = {}): Promise<void> {
    await this.#opened;
    const { nonce } = await this.next('challenge');
    this.send(helloOf(identity, nonce, changes));
  }

  /** Connects and is admitted. */
  static async welcome(url: string, identity: TestHost, changes: Partial<Hello> = {}): Promise<TestAgent> {
    const agent = new TestAgent(url);
    await agent.hello(identity, changes);
    await agent.next('welcome');
    return agent;
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }
}

/** In the place of a server's builder: does nothing until the server stops. */
export async function noBuilder(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

export const TOPLEVEL = `/nix/store/${'a'.repeat(32)}-system`;
