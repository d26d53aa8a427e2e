import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { FloeError, type Logger } from '@floe/runtime';
import { createAdaptorServer } from '@hono/node-server';
import { WebSocketServer } from 'ws';
import { AGENT_SOCKET_OPTIONS } from './agents/hub.ts';
import type { Config } from './config.ts';
import type { ServerContext } from './context.ts';

/**
 * Opens the port: HTTP to the app, WebSockets at `/agent` to the hub. Throws `FloeError('PORT_UNAVAILABLE')`.
 * Disposing stops taking connections and ends what is open.
 */
export async function listen(context: ServerContext, config: Config, logger: Logger): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new WebSocketServer(AGENT_SOCKET_OPTIONS);
  // The adaptor is asked for HTTP/1, so this is node:http's server.
  const server = createAdaptorServer({ fetch: context.app.fetch }) as Server;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url?.split('?')[0] !== '/agent') {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => context.hub.accept(webSocket, request.socket.remoteAddress ?? 'unknown'));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = `${config.listenHost}:${config.listenPort}`;
      reject(new FloeError('PORT_UNAVAILABLE', `cannot listen on ${where}: choose another FLOE_LISTEN, or stop what uses it`, { cause }));
    });
    server.listen(config.listenPort, config.listenHost, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : config.listenPort;
  logger.info('listening', { address: config.listenHost, port, url: config.publicUrl });
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      sockets.close();
      await Promise.resolve();
    },
  };
}
