import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { FloeError, type Logger } from '@floe/runtime';
import { createAdaptorServer } from '@hono/node-server';
import { WebSocketServer } from 'ws';
import { AGENT_SOCKET_OPTIONS } from './agents/hub.ts';
import type { Config } from './config.ts';
import type { ServerContext } from './context.ts';
import { guardErrors } from './guard.ts';
import { watchConnections } from './http/connections.ts';
import { boundPipelining } from './http/pipelining.ts';

export interface RequestTimeouts {
  /** Time limit for the headers of a request. */
  readonly headersMs: number;
  /** Time limit for a whole request with its body: GitHub's largest delivery (25 MiB) over 4 Mbit/s. */
  readonly requestMs: number;
  /** How often Node looks for requests that are late. */
  readonly checkMs: number;
}

/** A request: GitHub's largest delivery (25 MiB) over 4 Mbit/s. */
const TIMEOUTS: RequestTimeouts = { headersMs: 10_000, requestMs: 60_000, checkMs: 2_000 };

/** A whole fleet connects at once after a restart; the kernel's own limit (net.core.somaxconn) is usually this. */
const BACKLOG = 4_096;

/**
 * Opens the port: HTTP to the app, WebSockets at `/agent` to the hub. Throws `FloeError('PORT_UNAVAILABLE')`.
 * Disposing stops taking connections and ends what is open.
 */
export async function listen(
  context: Pick<ServerContext, 'app' | 'hub' | 'addresses'>,
  config: Pick<Config, 'listenHost' | 'listenPort' | 'publicUrl'>,
  logger: Logger,
  timeouts: RequestTimeouts = TIMEOUTS,
): Promise<AsyncDisposable & { readonly port: number }> {
  const noteError = (error: unknown): void => logger.debug('a connection failed', { error });
  const sockets = new WebSocketServer(AGENT_SOCKET_OPTIONS);
  const server = createAdaptorServer({
    fetch: context.app.fetch,
    // For HTTP/1.0, which requires no Host.
    hostname: new URL(config.publicUrl).host,
    createServer: ((options: ServerOptions, listener: RequestListener) => createServer(options, boundPipelining(listener))) as typeof createServer,
    serverOptions: {
      shouldUpgradeCallback: isForAgents,
      headersTimeout: timeouts.headersMs,
      requestTimeout: timeouts.requestMs,
      connectionsCheckingInterval: timeouts.checkMs,
    },
    // The adaptor is asked for HTTP/1, so this is node:http's server.
  }) as Server;
  server.on('connection', (socket) => guardErrors(socket, noteError));
  server.prependListener('request', (request, response) => {
    guardErrors(request, noteError);
    guardErrors(response, noteError);
  });
  const connections = watchConnections(server);
  server.on('upgrade', (request: IncomingMessage, raw: Duplex, head: Buffer) => {
    guardErrors(request, noteError);
    sockets.handleUpgrade(request, raw, head, (webSocket) => {
      guardErrors(webSocket, noteError);
      // A duplicate header is a list here.
      const forwarded = String(request.headers['x-forwarded-for'] ?? '') || undefined;
      context.hub.accept(webSocket, { address: context.addresses.of(request.socket.remoteAddress, forwarded), raw });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = `${config.listenHost}:${config.listenPort}`;
      reject(new FloeError('PORT_UNAVAILABLE', `cannot listen on ${where}: choose another FLOE_LISTEN, or stop what uses it`, { cause }));
    });
    server.listen({ port: config.listenPort, host: config.listenHost, backlog: BACKLOG }, resolve);
  });
  // E.g. no file descriptor for another connection: the open ones continue.
  guardErrors(server, (error) => logger.error('the port cannot take a connection', { error }));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : config.listenPort;
  logger.info('listening', { address: config.listenHost, port, url: config.publicUrl });
  return {
    port,
    async [Symbol.asyncDispose]() {
      connections[Symbol.dispose]();
      server.close();
      server.closeAllConnections();
      sockets.close();
      await Promise.resolve();
    },
  };
}

/** Any other upgrade that a client offers (`curl --http2` does) is declined, as HTTP allows: the request is answered. */
function isForAgents(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket' && request.url?.split('?')[0] === '/agent';
}
