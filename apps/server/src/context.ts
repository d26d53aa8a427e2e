import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { cpus, freemem, hostname } from 'node:os';
import { join } from 'node:path';
import { createGithubStatuses, runStatusOutbox } from '@floe/forge';
import { openMirror } from '@floe/git';
import { createNix, estimateConcurrency, loadOrCreateCacheKey } from '@floe/nix';
import { openStatementLog, rebuildFromStatements, runPipeline, type PipelineDeps } from '@floe/pipeline';
import {
  createWake, exec, FloeError, isFloeError, loadOrCreateSigner, readFileIfPresent, systemClock, takeProcessLock, writeFileDurably,
  type Clock, type Logger, type Wake,
} from '@floe/runtime';
import { openStore, type Store } from '@floe/store';
import type { Hono } from 'hono';
import { ensureAdminToken } from './admin-token.ts';
import { AgentHub } from './agents/hub.ts';
import { ReportWriter } from './agents/report-writer.ts';
import { Announcer } from './announcer.ts';
import { createApp } from './app.ts';
import { dataPaths, type Config } from './config.ts';
import { mayActivate } from './directives.ts';
import { FleetFeed } from './feed.ts';
import { FleetReader } from './fleet-reader.ts';
import { keepHouse } from './housekeeping.ts';
import { statusOutbox } from './status-outbox.ts';
import { Steering } from './steering.ts';

/** What a NixOS host's evaluation takes, roughly, in bytes. */
const MEMORY_PER_EVALUATION = 0.8 * 1024 ** 3;
const STORE_RETRY_MS = 1_000;

/** What tests and other compositions may replace. */
export interface Overrides {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly rootDir?: string;
}

export interface ServerContext extends AsyncDisposable {
  readonly app: Hono;
  readonly hub: AgentHub;
  /** Runs the server's loops until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Waits for the database instead of failing: at boot it often starts after us. */
async function openStoreWhenReady(config: Config, deps: { clock: Clock; logger: Logger; migrationsDir: string }, signal: AbortSignal): Promise<Store> {
  const target =
    config.databaseUrl === undefined
      ? ({ kind: 'pglite', dataDir: dataPaths(config.dataDir).database } as const)
      : ({ kind: 'postgres', url: config.databaseUrl.reveal() } as const);
  for (;;) {
    try {
      return await openStore(target, deps);
    } catch (error) {
      if (!isFloeError(error) || !error.retryable || signal.aborted) throw error;
      deps.logger.warn('the database is away; waiting for it', { error });
      await deps.clock.sleep(STORE_RETRY_MS, signal);
    }
  }
}

/** Two servers in one data folder would write one mirror and take each other's leases. */
async function lockDataFolder(dataDir: string, path: string): Promise<AsyncDisposable> {
  const taken = await takeProcessLock(path);
  if (taken.kind === 'taken') return taken.lock;
  throw new FloeError('DATA_FOLDER_IN_USE', `another floe-server (process ${taken.pid}) uses ${dataDir}: stop it, or set another FLOE_DATA_DIR`);
}

/** The same at each start, so that a server that was killed takes its own lease up again at once. */
async function loadOrCreateInstanceId(path: string): Promise<string> {
  const existing = (await readFileIfPresent(path))?.trim();
  if (existing !== undefined && existing !== '') return existing;
  const id = randomUUID();
  await writeFileDurably(path, id);
  return id;
}

/** Builds everything from the configuration. */
export async function createServerContext(config: Config, logger: Logger, signal: AbortSignal, overrides: Overrides = {}): Promise<ServerContext> {
  const clock = overrides.clock ?? systemClock;
  const random = overrides.random ?? Math.random;
  const rootDir = overrides.rootDir ?? join(import.meta.dirname, '../../..');
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.keys, { recursive: true, mode: 0o700 });
  await mkdir(paths.cache, { recursive: true });
  await mkdir(paths.home, { recursive: true });

  await using stack = new AsyncDisposableStack();
  stack.use(await lockDataFolder(config.dataDir, paths.lock));
  const store = stack.use(await openStoreWhenReady(config, { clock, logger, migrationsDir: join(rootDir, 'migrations') }, signal));
  const repository = await store.repositories.ensure({ url: config.repository.url, branch: config.repository.branch, now: clock.now() });
  await ensureAdminToken({ store, clock, logger }, paths.adminToken);

  const serverSigner = await loadOrCreateSigner(paths.serverKey, 'server-1');
  const releaseSigner = await loadOrCreateSigner(paths.releaseKey, 'release-1');
  const cacheKey = await loadOrCreateCacheKey(paths.cacheKey, `${hostname()}-floe-1`);
  const statements = openStatementLog(paths.statements, logger);
  await rebuildFromStatements({ store, statements, releaseKeys: [releaseSigner], serverKeys: [serverSigner], logger }, repository);
  await store.hosts.disconnectAll(undefined, clock.now());

  const feed = new FleetFeed(() => clock.now());
  const reader = new FleetReader({ store, clock, feed, repositoryId: repository.id });
  const announcer = new Announcer({ store, reader, feed, clock, repositoryId: repository.id, publicUrl: config.publicUrl, hasForge: config.github !== undefined });
  const outboxWake = createWake();

  const reports = stack.use(new ReportWriter({ store, clock, logger, onStored: (hosts) => hosts.forEach((host) => steering.mark(host)) }));
  const hub = stack.use(
    new AgentHub({
      store,
      clock,
      logger,
      reports,
      onHostChanged: (host) => steering.mark(host),
      mayActivate: async (host, epoch) => await mayActivate(store, host, epoch),
      onProgress: (host, progress) => {
        reader.noteProgress(host, progress);
        steering.mark(host);
      },
    }),
  );
  const steering: Steering = new Steering({ store, hub, clock, logger, serverSigner, repositoryId: repository.id }, async (hosts) => {
    await announcer.announce(hosts);
    outboxWake.wake();
  });

  const pinned = (signer: { keyId: string; publicKey: string }): string[] => [`${signer.keyId}:${signer.publicKey}`];
  const app = createApp({
    store,
    repository,
    reader,
    feed,
    clock,
    logger,
    statements,
    hub,
    serverSigner,
    trust: {
      serverUrl: config.publicUrl,
      releaseKeys: pinned(releaseSigner),
      serverKeys: pinned(serverSigner),
      substituter: config.substituter,
      cachePublicKeys: [cacheKey.publicKey],
    },
    onHostChanged: (host) => steering.mark(host),
    isHttps: config.publicUrl.startsWith('https:'),
    webhooks: { store, repository, secrets: config.webhookSecrets, clock, logger, githubRepository: config.github?.repository },
    cacheDir: paths.cache,
    dashboardDir: join(rootDir, 'apps/dashboard/dist'),
    notReady: async () => await store.ping().then(() => [], () => ['the database does not answer']),
  });

  async function pipelineDeps(): Promise<PipelineDeps & AsyncDisposable> {
    const { url, branch, token } = config.repository;
    const mirror = await openMirror({ dir: paths.mirror, url, branch, ...(token === undefined ? {} : { token }), logger });
    const cores = cpus().length;
    return {
      store,
      mirror,
      nix: createNix({ exec, logger, env: { ...process.env, HOME: paths.home, XDG_CACHE_HOME: join(paths.home, 'cache') } }),
      cache: { url: `file://${paths.cache}`, secretKeyFile: cacheKey.secretKeyFile, publicKey: cacheKey.publicKey },
      statements,
      releaseSigner,
      clock,
      logger,
      random,
      limits: {
        evaluations: estimateConcurrency(cores, freemem(), MEMORY_PER_EVALUATION),
        builds: cores,
        ...config.limits,
      },
      rootsDir: paths.roots,
      pollMs: config.pollMs,
      owner: await loadOrCreateInstanceId(paths.instanceId),
      [Symbol.asyncDispose]: async () => await mirror[Symbol.asyncDispose](),
    };
  }

  const owned = stack.move();
  return {
    app,
    hub,
    async run(runSignal) {
      // A loop that fails takes the others with it: the service manager starts the whole anew.
      const failed = new AbortController();
      const signal = AbortSignal.any([runSignal, failed.signal]);
      await using _listener = await store.hints.listen((hint) => {
        if (hint.topic === 'host' && hint.host !== '*') steering.mark(hint.host);
        else if (hint.topic === 'outbox') outboxWake.wake();
        else steering.markAll();
      });
      async function runPipelineHere(): Promise<void> {
        await using deps = await pipelineDeps();
        await runPipeline(deps, repository.id, signal);
      }
      const loops = [steering.run(signal), runPipelineHere(), keepHouse({ store, clock, logger }, signal)];
      if (config.github !== undefined) loops.push(postStatuses(store, config, { clock, random, logger }, outboxWake, signal));
      for (const loop of loops) loop.catch(() => failed.abort());
      const ended = await Promise.allSettled(loops);
      const failure = ended.find((each) => each.status === 'rejected');
      if (failure !== undefined) throw failure.reason;
    },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

async function postStatuses(
  store: Store,
  config: Config,
  deps: { readonly clock: Clock; readonly random: () => number; readonly logger: Logger },
  wake: Wake,
  signal: AbortSignal,
): Promise<void> {
  if (config.github === undefined) return;
  const { repository, apiUrl, auth } = config.github;
  const statuses = createGithubStatuses({ apiUrl, repository, auth, userAgent: 'floe' });
  await runStatusOutbox(
    {
      outbox: statusOutbox(store.outbox),
      statuses,
      ...deps,
      wake: async (waitSignal) => {
        const dueAt = await store.outbox.nextDueAt();
        const waitMs = dueAt === undefined ? 30_000 : Math.min(30_000, Math.max(0, dueAt - deps.clock.now()));
        await wake.wait(waitMs, waitSignal);
      },
    },
    signal,
  );
}
