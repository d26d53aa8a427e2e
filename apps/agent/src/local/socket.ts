import type { IncomingMessage, Server } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { chmod, chown, lstat, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FloeError, isFloeError, type Logger } from '@floe/runtime';
import { groupId, readEtcGroup, type ReadGroups } from './group.ts';
import { rootSocketPath } from './protocol.ts';
import type { UserRequests } from './requests.ts';
import { createRoutes, type Routes } from './routes.ts';

/** More than one machine's users need. */
const MAX_CONNECTIONS = 64;
/** How many connections may be without a complete request; above that the oldest is closed. */
const MAX_IDLE = 16;
/** A request is a few bytes: a client that takes longer is stuck. */
const REQUEST_TIMEOUT_MS = 10_000;
const PROBE_MS = 1_000;

export interface UserSocketOptions {
  readonly path: string;
  /** The group that may use it beside root; undefined: none. */
  readonly group: string | undefined;
  readonly handlers: UserRequests;
  readonly logger: Logger;
  /** Default: /etc/group. */
  readonly readGroups?: ReadGroups;
}

export interface UserSocket extends AsyncDisposable {
  /** How many desktops follow the notices and can show them. */
  followerCount(): number;
}

/**
 * Listens for users of the machine; with a group, also on a second socket for root alone. Replaces the socket file of an agent
 * that has ended. Throws SOCKET_IN_USE when another agent answers there, SOCKET_UNAVAILABLE when the socket cannot be made.
 */
export async function serveUserSocket(options: UserSocketOptions): Promise<UserSocket> {
  const routes = createRoutes(options.handlers, options.logger);
  await using stack = new AsyncDisposableStack();
  stack.use(await listen(routes, options));
  if (options.group !== undefined) stack.use(await listen(routes, { ...options, path: rootSocketPath(options.path), group: undefined }));
  stack.defer(() => routes.stop());
  const listening = stack.move();
  return { followerCount: () => routes.followerCount(), [Symbol.asyncDispose]: async () => await listening.disposeAsync() };
}

async function listen(routes: Routes, options: UserSocketOptions): Promise<AsyncDisposable> {
  const { path, logger } = options;
  await assertFree(path);
  const idle = new IdleConnections();
  // Not imported: see post-json.ts.
  const server = process.getBuiltinModule('node:http').createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS,
      maxHeaderSize: 8 * 1024,
    },
    (request, response) => {
      idle.asks(request);
      void routes.answer(request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (socket) => idle.add(socket));
  let inode: bigint;
  try {
    inode = await publish(server, options);
  } catch (cause) {
    await close(server);
    if (isFloeError(cause)) throw cause;
    throw new FloeError('SOCKET_UNAVAILABLE', `cannot open the local command socket ${path}`, { data: { path }, cause });
  }
  server.on('error', (error) => logger.error('the local command socket failed', { path, error }));
  return {
    async [Symbol.asyncDispose]() {
      await close(server);
      // Another agent may have put its own there meanwhile.
      const found = await lstat(path, { bigint: true }).catch(() => undefined);
      if (found?.ino === inode) await rm(path, { force: true });
    },
  };
}

/** Connections without a complete request. They must not block clients that make one. */
class IdleConnections {
  readonly #sockets = new Set<Socket>();

  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#sockets.size <= MAX_IDLE) return;
    const [oldest] = this.#sockets;
    oldest?.destroy();
  }

  asks(request: IncomingMessage): void {
    if (request.complete || request.method === 'GET') this.#sockets.delete(request.socket);
    else request.once('end', () => this.#sockets.delete(request.socket));
  }
}

/**
 * Binds in a private folder, sets the permissions, and then renames the socket into place: it is never open to others, and replaces
 * the file of an agent that has ended in one step. Returns the inode.
 */
async function publish(server: Server, { path, group, logger, readGroups = readEtcGroup }: UserSocketOptions): Promise<bigint> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const folder = await mkdtemp(join(dirname(path), '.new-'));
  try {
    const fresh = join(folder, 's');
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(fresh, () => {
        server.off('error', reject);
        resolve();
      });
    });
    await allowGroup(fresh, group, logger, readGroups);
    const { ino } = await lstat(fresh, { bigint: true });
    await rename(fresh, path);
    return ino;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Without the group, the socket is for root only; the agent itself does not need it. */
async function allowGroup(path: string, group: string | undefined, logger: Logger, readGroups: ReadGroups): Promise<void> {
  await chmod(path, 0o600);
  if (group === undefined) return;
  try {
    const gid = groupId(await readGroups(), group);
    if (gid === undefined) {
      logger.warn('the group does not exist: only root can use the socket', { group, path });
      return;
    }
    await chown(path, process.getuid?.() ?? 0, gid);
    await chmod(path, 0o660);
  } catch (error) {
    logger.warn('the group could not be given access: only the owner can use the socket', { group, path, error });
  }
}

/** Throws when another agent listens on `path`, or when `path` is not a socket. */
async function assertFree(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new FloeError('SOCKET_UNAVAILABLE', `${path} exists, but is not a socket: remove it`, { data: { path } });
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path);
    probe.setTimeout(PROBE_MS, () => probe.destroy());
    probe.once('connect', () => {
      resolve(true);
      probe.destroy();
    });
    probe.once('error', () => resolve(false));
    // A full connection queue belongs to a running process.
    probe.once('timeout', () => resolve(true));
  });
  if (isAlive) throw new FloeError('SOCKET_IN_USE', `another floe-agent answers on ${path}: stop it first`, { data: { path } });
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
