import { readFile } from 'node:fs/promises';
import { request as requestBare } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import type { InputRemote } from './input-remote.ts';

/** A login, in the form of HTTP. */
export interface Login {
  readonly user: string;
  readonly token: string;
}

/**
 * Asks the server of an input whether it answers, and admits nobody, or has no such thing: true. False when that is not known: then it
 * may be away, or overloaded. Decided by its status alone, because what it writes is foreign text.
 */
export type AskRemote = (remote: InputRemote, login: Login | undefined, signal: AbortSignal) => Promise<boolean>;

const TIMEOUT_MS = 15_000;
/** Nobody is admitted, or nothing is there. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404, 410]);
const PROXIES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'];
const CERTIFICATES = ['NIX_SSL_CERT_FILE', 'SSL_CERT_FILE', 'GIT_SSL_CAINFO'];

/** `env` is that of Nix, with its proxies and certificates. */
export function createAskRemote(env: NodeJS.ProcessEnv): AskRemote {
  const hasProxy = PROXIES.some((name) => (env[name] ?? '') !== '');
  const certificates = CERTIFICATES.map((name) => env[name] ?? '').find((path) => path !== '');
  return async (remote, login, signal) => {
    const until = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    if (remote.askUrl === undefined) return await isSshServer(remote, until);
    if (hasProxy) return false;
    const ca = certificates === undefined ? undefined : await readFile(certificates, 'utf8').catch(() => undefined);
    const status = await statusOf(remote.askUrl, login, ca, until).catch(() => undefined);
    return status !== undefined && REFUSALS.has(status);
  };
}

async function statusOf(url: string, login: Login | undefined, ca: string | undefined, signal: AbortSignal): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    const auth = login === undefined ? {} : { auth: `${login.user}:${login.token}` };
    const request = url.startsWith('https:') ? requestTls : requestBare;
    // Redirects are not followed: they may lead anywhere.
    const asked = request(url, { ...auth, ...(ca === undefined ? {} : { ca }), signal, headers: { 'user-agent': 'git/floe' } }, (answer) => {
      resolve(answer.statusCode);
      asked.destroy();
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** Whether a server for SSH is there: it speaks first. */
async function isSshServer({ hostname, port }: InputRemote, signal: AbortSignal): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: hostname, port, signal });
    socket.once('data', (banner) => {
      resolve(banner.toString('latin1').startsWith('SSH-'));
      socket.destroy();
    });
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
  });
}
