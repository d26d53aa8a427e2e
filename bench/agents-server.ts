import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { releaserOf } from '@floe/pipeline';
import { HostName as HostNameSchema, seal } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, systemClock, Troubles } from '@floe/runtime';
import { openStore, type Repository, type Store } from '@floe/store';
import * as v from 'valibot';
import { WebSocketServer, type WebSocket } from 'ws';
import { AGENT_SOCKET_OPTIONS, AgentHub } from '../apps/server/src/agents/hub.ts';
import { ReportWriter } from '../apps/server/src/agents/report-writer.ts';
import { Announcer } from '../apps/server/src/announcer.ts';
import { FleetFeed } from '../apps/server/src/feed.ts';
import { FleetReader } from '../apps/server/src/fleet-reader.ts';
import { Notices } from '../apps/server/src/notices.ts';
import { ServerClock } from '../apps/server/src/server-clock.ts';
import { RolloutEngine } from '../apps/server/src/rollouts/engine.ts';
import { Steering } from '../apps/server/src/steering.ts';
import { DIRECTIVE_BYTES, hostName, MACHINE_ID, type ServerAnswer, type ServerRequest } from './agents-wire.ts';

// The server's side: all parts of Floe's server for agents, or bare `ws`.

const TOPLEVEL = `/nix/store/${'a'.repeat(32)}-nixos-system` as StorePath;
const COMMIT = 'c'.repeat(40) as CommitSha;
const SEND_BEFORE_YIELD = 100;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const [request] = (await once(process, 'message')) as [ServerRequest];
const sockets = new WebSocketServer(AGENT_SOCKET_OPTIONS);
const server = createServer();

function answer(message: ServerAnswer): void {
  process.send?.(message);
}

/** Live memory in JavaScript's heap and in buffers, in bytes. The resident size would include freed memory. */
function usedBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function listen(onSocket: (socket: WebSocket, raw: Duplex) => void): Promise<number> {
  server.on('upgrade', (upgrade, raw, head) => sockets.handleUpgrade(upgrade, raw, head, (socket) => onSocket(socket, raw)));
  server.listen(0, '127.0.0.1', 16_384);
  await once(server, 'listening');
  const before = usedBytes();
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  answer({ type: 'listening', port: address.port });
  return before;
}

/** Runs `work` and measures its cost; `usedBefore`: see {@link usedBytes}, before the first connection. */
async function measure(usedBefore: number, work: () => Promise<void>): Promise<void> {
  await delay(2_000); // without work that is left from connecting
  const kilobytesPerConnection = (usedBytes() - usedBefore) / 1024 / request.count;
  const [cpu, startedAt] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  answer({ type: 'measured', cpuMs: (user + system) / 1_000, wallMs: performance.now() - startedAt, kilobytesPerConnection });
}

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) await delay(5);
}

async function bare(): Promise<void> {
  const open: WebSocket[] = [];
  let replies = 0;
  const before = await listen((socket) => {
    open.push(socket);
    socket.on('message', () => {
      replies += 1;
      socket.send('{"type":"ack","seq":1}');
    });
  });
  await until(() => open.length === request.count);
  await measure(before, async () => {
    const directive = 'd'.repeat(DIRECTIVE_BYTES);
    for (const [index, socket] of open.entries()) {
      socket.send(directive);
      if (index % SEND_BEFORE_YIELD === 0) await nextTurn();
    }
    await until(() => replies === request.count);
  });
}

async function floe(): Promise<void> {
  const [clock, logger] = [new ServerClock(systemClock), silentLogger];
  const deps = { clock, logger, migrationsDir: join(import.meta.dirname, '../migrations') };
  const store = await openStore({ kind: 'postgres', url: request.databaseUrl }, deps);
  const repository = await store.repositories.ensure({ url: 'https://example.org/fleet.git', branch: 'main', now: clock.now() });
  const hosts = Array.from({ length: request.count }, (_, index) => v.parse(HostNameSchema, hostName(index)));
  await enrolAll(store, repository, hosts);

  const feed = new FleetFeed(() => clock.now());
  const troubles = new Troubles({ clock, logger });
  const reader = new FleetReader({ store, clock, feed, notices: new Notices(), fetches: { shown: null }, repositoryId: repository.id, troubles });
  const announcer = new Announcer({
    store,
    reader,
    feed,
    clock,
    logger,
    troubles,
    repositoryId: repository.id,
    publicUrl: 'https://example.org',
    hasForge: true,
  });
  const stored = new Set<HostName>();
  const reports = new ReportWriter({
    store,
    clock,
    logger,
    onStored: (some) => {
      for (const { host } of some) stored.add(host);
      announcer.mark(new Set(some.map(({ host }) => host)));
    },
  });
  const hub = new AgentHub({
    store,
    clock,
    logger,
    reports,
    troubles,
    onHostChanged: () => undefined,
    mayActivate: async () => await Promise.resolve(true),
    onProgress: () => undefined,
    onStaged: () => undefined,
  });
  const serverSigner = signerFromPem('server-1', generateKeyPem());
  const rollouts = new RolloutEngine({ store, forge: 'github', clock, logger });
  const steering: Steering = new Steering(
    { store, hub, clock, logger, serverSigner, releaser: releaserOf(serverSigner), troubles, repositoryId: repository.id, rollouts },
    (names) => announcer.mark(names),
  );
  const before = await listen((socket, raw) => hub.accept(socket, { address: '127.0.0.1', raw }));
  await until(() => hub.hosts().length === request.count);
  await publish(store, repository, hosts);
  await store.hints.listen((hints) => {
    for (const hint of hints) {
      if (hint.topic === 'host' && hint.host !== '*') steering.mark(hint.host);
      else if (hint.topic !== 'outbox') steering.markAll();
    }
  });
  await measure(before, async () => {
    const { signal } = new AbortController();
    void steering.run(signal);
    void announcer.run(signal, () => undefined);
    await until(() => stored.size === request.count);
  });
}

async function enrolAll(store: Store, repository: Repository, hosts: readonly HostName[]): Promise<void> {
  const { publicKey } = signerFromPem('host', request.agentKey);
  await store.hosts.ensure(repository.id, hosts);
  const queue = [...hosts];
  const worker = async (): Promise<void> => {
    for (let host = queue.pop(); host !== undefined; host = queue.pop()) {
      await store.hosts.enrol({ host, repositoryId: repository.id, machineId: MACHINE_ID, publicKey, at: 1 });
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

/** Creates a revision with a release for every host, like the pipeline. */
async function publish(store: Store, repository: Repository, hosts: readonly HostName[]): Promise<void> {
  const now = systemClock.now();
  const commit = {
    sha: COMMIT,
    subject: 'bench',
    authorName: 'bench',
    authorEmail: 'bench@example.org',
    committedAt: now,
    receivedAt: now,
    fetchedAt: now,
  };
  const revision = await store.revisions.receive(repository.id, commit);
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, now);
  await store.revisions.saveEvaluations(
    revision.id,
    hosts.map((host) => ({ host, outcome: 'NEW' as const, drvPath: `${TOPLEVEL}.drv`, toplevel: TOPLEVEL, system: 'x86_64-linux' })),
  );
  const signer = signerFromPem('release-1', generateKeyPem());
  const releases = hosts.map((host) => {
    const statement = {
      version: 1,
      repository: repository.url,
      ref: repository.ref,
      commit: COMMIT,
      sequence: revision.sequence,
      host,
      toplevel: TOPLEVEL,
      narHash: `sha256:${'0'.repeat(52)}`,
      closureSizeBytes: 5_000_000_000,
      system: 'x86_64-linux',
      issuedAt: now,
      expiresAt: now + 1e10,
    };
    const envelope = JSON.stringify(seal(signer, 'floe/release', statement));
    return { host, sequence: revision.sequence, toplevel: TOPLEVEL, commit: COMMIT, issuedAt: now, envelope };
  });
  await store.releases.publish(revision.id, releases, now);
}

await (request.kind === 'floe' ? floe() : bare());
