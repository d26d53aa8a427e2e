import { readFile } from 'node:fs/promises';
import { FloeError, Secret, withoutTrailingSlashes } from '@floe/runtime';
import { createApiClient, type ApiClient } from './api-client.ts';
import type { CliDeps, GlobalOptions } from './cli.ts';
import { readServersFile, serversFilePath } from './servers-file.ts';

/** The server's base URL in one form: no slash at the end, no query. Throws `FloeError('USAGE')`. */
export function parseServerUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new FloeError('USAGE', `"${text}" is not a URL: write e.g. https://floe.example.org`);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new FloeError('USAGE', `"${text}" is neither https:// nor http://`);
  if (url.username !== '' || url.password !== '')
    throw new FloeError('USAGE', 'the URL holds a user name or password: leave them out; floe logs in with a token');
  return withoutTrailingSlashes(`${url.origin}${url.pathname}`);
}

/** The token in a file, without the newline at its end. Throws `FloeError('USAGE')`. */
export async function readTokenFile(path: string): Promise<Secret> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new FloeError('USAGE', `the token file ${path} cannot be read (${codeOf(cause)})`, { cause });
  }
  return checkToken(text, `the token file ${path}`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** A token as typed or read. It goes into an HTTP header, so anything but printable ASCII is a mistake. */
export function checkToken(text: string, where: string): Secret {
  const token = text.trim();
  if (token === '') throw new FloeError('USAGE', `${where} is empty`);
  if (!/^[\u0021-\u007e]+$/.test(token))
    throw new FloeError('USAGE', `${where} holds more than one token: it must be one line of printable characters`);
  return new Secret(token);
}

/**
 * A client for the server that is meant: by option, else by environment, else the current login. A stored token is only
 * ever sent to the server it was stored for.
 */
export async function connect(deps: CliDeps, options: GlobalOptions): Promise<ApiClient> {
  const { env } = deps;
  const named = options.server ?? nonEmpty(env['FLOE_SERVER_URL']);
  const tokenFile = options.tokenFile ?? nonEmpty(env['FLOE_TOKEN_FILE']);
  if (named !== undefined && tokenFile !== undefined) {
    return createApiClient({ ...deps, serverUrl: parseServerUrl(named), token: await readTokenFile(tokenFile) });
  }
  const stored = await readServersFile(serversFilePath(env));
  const serverUrl = named === undefined ? stored?.current : parseServerUrl(named);
  if (serverUrl === undefined) throw new FloeError('NOT_LOGGED_IN', 'not logged in to a server yet: run: floe login URL');
  if (tokenFile !== undefined) return createApiClient({ ...deps, serverUrl, token: await readTokenFile(tokenFile) });
  const login = stored?.servers.find((server) => server.url === serverUrl);
  if (login === undefined) throw new FloeError('NOT_LOGGED_IN', `not logged in to ${serverUrl}: run: floe login ${serverUrl}, or give --token-file`);
  return createApiClient({ ...deps, serverUrl, token: new Secret(login.token) });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
