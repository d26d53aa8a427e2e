import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import type { Collected } from '@floe/nix';
import {
  accessOnly,
  dataPaths,
  ensureRepository,
  lockDataFolder,
  noticeCode,
  openBuilder,
  openRepositorySandbox,
  openStatementLog,
  openStoreWhenReady,
  OTHER_DEFAULT,
  type CollectWhat,
  SANDBOX_BROKEN,
  watchSandbox,
} from '@floe/pipeline';
import type { TrustedKey } from '@floe/protocol';
import { createWake, loadOrCreateSigner, runLoops, Troubles, type Clock, type Exec, type Logger } from '@floe/runtime';
import type { BuildersNotices, Store } from '@floe/store';
import type { Hono } from 'hono';
import { ensureAdminToken } from './admin-token.ts';
import { AgentHub } from './agents/hub.ts';
import { ReportWriter, type ReportOfHost } from './agents/report-writer.ts';
import { SignedReportWriter } from './agents/signed-reports.ts';
import { Announcer } from './announcer.ts';
import { createApp } from './app.ts';
import type { Config } from './config.ts';
import { exportLines, type ExportDeps } from './export/export-lines.ts';
import { FleetFeed } from './feed.ts';
import { FleetReader } from './fleet-reader.ts';
import { trustProxies, type ClientAddresses } from './http/client-address.ts';
import { KEEP_AUDIT_MS, keepHouse } from './housekeeping.ts';
import { FetchWatch } from './fetch-watch.ts';
import { Notices, tellNotice, tellOfBuilders } from './notices.ts';
import { Notifications } from './notifications/notifications.ts';
import { AuditHeads } from './audit-heads.ts';
import { claimDatabase, refuseForeignDatabase } from './server-identity.ts';
import { ListeningClock } from './listening-clock.ts';
import { watchPresence } from './presence-watch.ts';
import { ServerClock } from './server-clock.ts';
import { watchServer } from './server-watch.ts';
import { atMostEvery } from './at-most-every.ts';
import { postStatuses } from './post-statuses.ts';
import { refuseReleaseKey, separateBuilder } from './separate-builder.ts';
import { Probes } from './probes/probes.ts';
import { Admission } from './rollouts/admission.ts';
import { RolloutEngine } from './rollouts/engine.ts';
import { operatorsOf } from './routes/way-back.ts';
import { movesRollout, Steering } from './steering.ts';

function describeUnusable(first: string, count: number): string {
  const others = count === 1 ? '' : ` and ${count - 1} more`;
  return `${first}${others} in the statement log can be used no more: what no statement is lies in the folder "aside" beside it. Put the file back from a backup, or leave it: it matters only when the database is lost too`;
}

/** Of a server that had the release key before. */
const RELEASES_OF_BUILDER =
  "releases in this server's statement log are not read, because they are the builder's: move statements/releases, statements/stable and statements/sequence into its data folder";

/** Anybody may ask whether the server is ready, and each answer takes a write. */
const PROBE_EVERY_MS = 1_000;

/** So long a person waits for publications to end, before anything is removed from the cache. */
const CACHE_PATIENCE_MS = 15_000;

/** What only the process itself can give. */
export interface System {
  readonly clock: Clock;
  readonly random: () => number;
  /** Starts all programs. */
  readonly exec: Exec;
  /** What Nix is run with. */
  readonly env: NodeJS.ProcessEnv;
  /** Holds migrations/ and the built dashboard. */
  readonly rootDir: string;
}

export interface ServerContext extends AsyncDisposable {
  readonly app: Hono;
  readonly hub: AgentHub;
  /** Who is at the other end of a connection. */
  readonly addresses: ClientAddresses;
  readonly store: Store;
  /** Runs the server's loops until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** What a caller puts in the place of what the configuration gives. */
export interface ServerOverrides {
  /** Stands between the server and its store. */
  readonly wrapStore?: ((store: Store) => Store) | undefined;
  /** Works in the place of the pipeline, until `signal` aborts. */
  readonly runPipeline?: ((signal: AbortSignal) => Promise<void>) | undefined;
}

/** Builds everything from the configuration. */
export async function createServerContext(
  config: Config,
  logger: Logger,
  system: System,
  signal: AbortSignal,
  overrides: ServerOverrides = {},
): Promise<ServerContext> {
  const { random, rootDir } = system;
  const clock = new ServerClock(system.clock);
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.keys, { recursive: true, mode: 0o700 });
  const { builder: separate, servedCache } = config;
  if (separate === undefined) await mkdir(config.cacheDir, { recursive: true });
  else await refuseReleaseKey(paths.releaseKey);

  await using stack = new AsyncDisposableStack();
  stack.use(await lockDataFolder(config.dataDir, paths.lock, config.program));
  // A builder of its own process has one of its own.
  const role =
    separate === undefined
      ? { keys: undefined, sandbox: await openRepositorySandbox(config, { ...system, clock, logger }) }
      : { keys: separate, sandbox: undefined };
  const { sandbox } = role;
  const { wrapStore = (real: Store) => real } = overrides;
  const store = wrapStore(stack.use(await openStoreWhenReady(config, { clock, logger, migrationsDir: join(rootDir, 'migrations') }, signal)));
  await refuseForeignDatabase(
    store,
    { ...paths, ...(separate === undefined && config.signCommand === undefined ? {} : { releaseKey: undefined }) },
    config.takeOverFrom,
  );
  const serverSigner = await loadOrCreateSigner(paths.serverKey, 'server-1');
  const log = openStatementLog(paths.statements, logger);
  const statements = separate === undefined ? log : accessOnly(log);
  if (separate !== undefined && (await log.listReleases()).length > 0) logger.warn(RELEASES_OF_BUILDER, { folder: paths.statements });
  const parts = { config, store, statements, clock, logger };
  const builder =
    role.keys === undefined
      ? await openBuilder({ ...system, ...parts, sandbox: role.sandbox })
      : separateBuilder({ ...parts, keys: role.keys, cacheDir: servedCache });
  const { releaser } = builder;
  const claim = await claimDatabase({ store, clock, logger, releaseKeys: releaser.keys, serverSigner }, config, signal);
  stack.defer(
    async () => await store.server.leave(claim.process).catch((error: unknown) => logger.debug('the database was not given back', { error })),
  );
  clock.remember(claim.clockHigh);
  const listening = new ListeningClock(clock, claim.clockHigh);
  const repository = await ensureRepository({ store, statements, releaseKeys: releaser.keys, logger }, config.repository, clock.now());
  await ensureAdminToken({ store, clock, logger }, paths.adminToken);

  const rebuilt = await builder.rebuild(repository, [serverSigner]);
  await store.hosts.disconnectAll(undefined, clock.now());

  const feed: FleetFeed = new FleetFeed(
    () => clock.now(),
    () => announcer.mark(new Set()),
  );
  const notices = new Notices();
  const [firstUnusable] = rebuilt.unusable;
  if (firstUnusable !== undefined) notices.set('STATEMENTS_UNUSABLE', describeUnusable(firstUnusable, rebuilt.unusable.length), clock.now());
  const troubles: Troubles = new Troubles({
    clock,
    logger,
    onChange: (subject) => {
      // Other subjects are the server's own: they are shown as its notices.
      const isOwn = subject.startsWith('server: ') || subject.startsWith('table ');
      if (isOwn) notices.set(noticeCode(subject), troubles.of(subject)?.message, clock.now());
      announcer.mark(new Set(isOwn || subject.startsWith('revision ') ? [] : [subject as HostName]));
    },
  });
  const fetches: FetchWatch = new FetchWatch(clock, () => announcer.mark(new Set()));
  const reader = new FleetReader({ store, clock, listening, feed, notices, fetches, repositoryId: repository.id, troubles });
  const telling = { notices, clock, logger, onNews: () => announcer.mark(new Set()) };
  const notifications = new Notifications({
    targets: config.notify,
    store: store.notifications,
    clock,
    random,
    logger,
    publicUrl: config.publicUrl,
    troubles,
    notices: () => notices.list(),
    onProblem: (code, problem) => tellNotice(telling, code, problem),
  });
  const announcer: Announcer = new Announcer({
    store,
    reader,
    feed,
    clock,
    logger,
    troubles,
    repositoryId: repository.id,
    publicUrl: config.publicUrl,
    hasForge: config.statuses !== undefined,
    onSeen: async (snapshot, seen, hasHosts) => await notifications.look(snapshot, seen, { hasHosts, judgedUntil: reader.judgedUntil() }),
    onRead: (leftOut) => notices.tell('ROWS_UNREADABLE', leftOut.length === 0 ? undefined : leftOut.join('; '), clock.now()),
  });
  const outboxWake = createWake();

  /** A report that cannot move the rollout goes to the announcer alone. */
  function tellReports(stored: readonly ReportOfHost[]): void {
    for (const { host, report } of stored) if (movesRollout(report.state)) steering.markRollout(host);
    const others = stored.filter(({ report }) => !movesRollout(report.state));
    if (others.length > 0) announcer.mark(new Set(others.map(({ host }) => host)));
  }

  const reports = stack.use(new ReportWriter({ store, clock, logger, onStored: tellReports }));
  const signedReports = stack.use(new SignedReportWriter({ store, clock, logger }));
  const admission = new Admission({ store, clock, logger, repositoryId: repository.id });
  const hub = stack.use(
    new AgentHub({
      store,
      clock,
      logger,
      reports,
      signedReports,
      troubles,
      onHostChanged: (host) => steering.markRollout(host),
      mayActivate: async (host, epoch) => await admission.mayActivate(host, epoch),
      onProgress: (host, progress) => {
        reader.noteProgress(host, progress);
        announcer.mark(new Set([host]));
      },
      onStaged: (host, toplevel) => {
        reader.noteStaged(host, toplevel);
        announcer.mark(new Set([host]));
      },
    }),
  );
  const probes = new Probes({ probes: config.probes, store, clock, random, logger });
  const rollouts = new RolloutEngine({ store, forge: config.forge, clock, logger, probes });
  const steering: Steering = new Steering(
    { store, hub, clock, logger, serverSigner, releaser, troubles, repositoryId: repository.id, rollouts },
    (hosts) => announcer.mark(hosts),
  );

  const auditHeads = new AuditHeads({
    store,
    dir: join(paths.statements, 'audit'),
    signer: serverSigner,
    formerKeys: releaser.keys,
    clock,
    logger,
    keepMs: KEEP_AUDIT_MS,
  });
  const exporting: ExportDeps = {
    store,
    repository,
    statementsDir: paths.statements,
    releasesFrom: separate === undefined ? 'log' : 'database',
    auditHeads,
    serverSigner,
    releaseKeys: releaser.keys,
    keepAuditMs: KEEP_AUDIT_MS,
    clock,
  };
  const collect = async (what: CollectWhat): Promise<Collected> => await builder.collectCache(repository.id, what);
  const pinned = (keys: readonly TrustedKey[]): string[] => keys.map(({ keyId, publicKey }) => `${keyId}:${publicKey}`);
  const addresses = trustProxies(config.trustedProxies);
  const app = createApp({
    store,
    repository,
    reader,
    feed,
    clock,
    logger,
    statements,
    auditHeads,
    exportLines: () => exportLines(exporting),
    hub,
    serverSigner,
    releaser,
    trust: {
      serverUrl: config.publicUrl,
      releaseKeys: pinned(releaser.keys),
      serverKeys: pinned([serverSigner]),
      substituter: config.substituter,
      cachePublicKeys: [...builder.cachePublicKeys],
    },
    onHostChanged: (host) => steering.markRollout(host),
    publicUrl: config.publicUrl,
    addresses,
    webhooks: {
      store,
      repository,
      secrets: config.webhookSecrets,
      clock,
      logger,
      forge: config.forge,
      nameAtForge: config.statuses?.repository,
      nameSettings: config.nameSettings,
      followsTesting: config.repository.testingBranches > 0,
    },
    notifications,
    probes,
    cacheDir: servedCache,
    operators: operatorsOf(config, { clock, exec: system.exec }),
    // Whoever works in the place of the pipeline does not publish to the folder.
    keepInCache: async (toplevel) => overrides.runPipeline !== undefined || (await builder.keepInCache(toplevel)),
    collectCache: async (what) => await collect({ ...what, patience: AbortSignal.timeout(CACHE_PATIENCE_MS), signal: new AbortController().signal }),
    cacheElsewhere: config.substituter === `${config.publicUrl}/cache` ? undefined : config.substituter,
    dashboardDir: join(rootDir, 'apps/dashboard/dist'),
    notReady: atMostEvery(
      clock,
      PROBE_EVERY_MS,
      async () =>
        await store.ping().then(
          () => notices.list().flatMap(({ code, message }) => (code === SANDBOX_BROKEN ? [message] : [])),
          () => ['the database does not take a write'],
        ),
    ),
    notices: () => notices.list(),
    serverClock: clock,
    // Not only with the next beat: who asks right after this is told the truth.
    onClockAccepted({ was, now }) {
      if (notices.set(`CLOCK_${was}`, undefined, now)) announcer.mark(new Set());
    },
  });

  const tellDefault = (notice: string | undefined): void => {
    if (notices.list().some(({ code, message }) => code === OTHER_DEFAULT && message !== notice)) tellNotice(telling, OTHER_DEFAULT, undefined);
    tellNotice(telling, OTHER_DEFAULT, notice);
  };
  const watching = {
    notifyTargets: config.notify.map(({ name }) => name),
    probes: config.probes.map(({ name }) => name),
    fetches,
    onOtherDefault: tellDefault,
    cacheKeeping: {
      limits: config.cacheLimits,
      troubles,
      onTooLarge: (message: string | undefined): void => tellNotice(telling, 'CACHE_TOO_LARGE', message && config.nameSettings(message)),
    },
    onSilence: (message: string | undefined) => tellNotice(telling, 'BUILDER_SILENT', message),
    onBuilderNotices: (told: readonly BuildersNotices[]) => tellOfBuilders(telling, told),
  };
  const owned = stack.move();
  return {
    app,
    hub,
    addresses,
    store,
    async run(stopping) {
      await using _listener = await store.hints.listen((hints) => {
        for (const hint of hints) {
          if (hint.topic === 'outbox') outboxWake.wake();
          else if (hint.topic === 'repository') steering.markNews([]);
          // A revision's progress changes what is shown of every host, but not what any should run; host hints announce that.
          else if (hint.topic === 'revision') steering.markNews('all');
          else if (hint.host === '*') steering.markAll();
          else steering.markRollout(hint.host);
        }
      });
      const { runPipeline = async (until: AbortSignal) => await builder.run(watching, repository.id, until) } = overrides;
      const watched = { ...telling, store, process: claim.process };
      await runLoops(
        (running) => [
          watchServer(watched, running),
          hub.run(running),
          steering.run(running),
          announcer.run(running, () => outboxWake.wake()),
          notifications.run(running),
          probes.run(running),
          watchPresence({ clock, reader, announcer }, running),
          runPipeline(running),
          auditHeads.run(running),
          keepHouse({ store, clock, logger, troubles, historyMs: config.historyMs }, running),
          ...(sandbox === undefined
            ? []
            : [watchSandbox({ sandbox, clock, onProblem: (message) => tellNotice(telling, SANDBOX_BROKEN, message) }, running)]),
          ...(config.statuses === undefined
            ? []
            : [postStatuses(store, repository.id, config.statuses, { clock, random, logger }, outboxWake, running)]),
        ],
        stopping,
      );
    },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}
