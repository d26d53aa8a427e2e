import type { Env } from '@floe/runtime';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { getProxyForUrl } from 'proxy-from-env';

/**
 * The proxy for the server's socket, by the variables that Node itself uses for other requests when NODE_USE_ENV_PROXY is 1
 * (HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case). Undefined: none.
 */
export function proxyFor(serverUrl: string, env: Env): URL | undefined {
  if (env['NODE_USE_ENV_PROXY'] !== '1') return undefined;
  const proxy = URL.parse(getProxyForUrl(serverUrl));
  return proxy !== null && /^https?:$/.test(proxy.protocol) ? proxy : undefined;
}

/** The proxy answered, and does not connect. */
export class ProxyRefused extends Error {
  constructor(proxy: URL, target: string, status: number | undefined) {
    super(`the proxy ${proxy.host} does not connect to ${target}: it answers with status ${status ?? 0}`);
  }
}

/**
 * Connects to the server through the proxy (by CONNECT, also without TLS: RFC 6455, 4.1), and returns the socket for the WebSocket,
 * with TLS for an https:// server. Throws when the proxy refuses, or `signal` aborts.
 */
export async function openTunnel(proxy: URL, serverUrl: URL, signal: AbortSignal): Promise<Socket> {
  const isEncrypted = serverUrl.protocol === 'https:';
  const target = `${serverUrl.hostname}:${serverUrl.port || (isEncrypted ? 443 : 80)}`;
  const { request: send } = proxy.protocol === 'https:' ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http');
  const login = [proxy.username, proxy.password].map(decodeURIComponent).join(':');
  const headers = {
    host: target,
    ...(login === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(login).toString('base64')}` }),
  };
  const socket = await new Promise<Socket>((resolve, reject) => {
    const request = send({
      // Without the brackets of an IPv6 address.
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: target,
      headers,
      signal,
      agent: false,
    });
    request.once('connect', (response: IncomingMessage, connected: Socket, early: Buffer) => {
      if (response.statusCode === 200 && early.length === 0) return resolve(connected);
      connected.destroy();
      reject(new ProxyRefused(proxy, target, response.statusCode));
    });
    request.once('response', (response: IncomingMessage) => {
      request.destroy(new ProxyRefused(proxy, target, response.statusCode));
    });
    request.once('error', reject);
    request.end();
  });
  if (!isEncrypted) return socket;
  const { hostname } = serverUrl;
  const isAddress = process.getBuiltinModule('node:net').isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
  return process
    .getBuiltinModule('node:tls')
    .connect({ socket, ...(isAddress ? {} : { servername: hostname }), host: hostname, ALPNProtocols: ['http/1.1'] });
}
