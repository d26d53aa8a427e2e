import { join } from 'node:path';
import { FloeError, readFileIfPresent, writeFileDurably, type Env } from '@floe/runtime';
import * as v from 'valibot';

/** `floe/config.json`: the servers that someone logged in to. Holds tokens, so mode 0600. */
export const ServersFile = v.strictObject({
  version: v.literal(1),
  /** URL of the server that commands use by default. */
  current: v.string(),
  servers: v.array(v.strictObject({ url: v.string(), token: v.string() })),
});
export type ServersFile = v.InferOutput<typeof ServersFile>;

/** `$XDG_CONFIG_HOME/floe/config.json`, by default under `~/.config`. */
export function serversFilePath(env: Env): string {
  const xdg = env['XDG_CONFIG_HOME'];
  // The XDG base directory specification: a relative path is invalid and ignored.
  if (xdg?.startsWith('/')) return join(xdg, 'floe', 'config.json');
  const home = env['HOME'];
  if (home === undefined || home === '')
    throw new FloeError('USAGE', 'neither XDG_CONFIG_HOME nor HOME is set: set one, or give --server and --token-file');
  return join(home, '.config', 'floe', 'config.json');
}

/** Undefined when nobody logged in yet. Throws `FloeError('CONFIG_MALFORMED')`. */
export async function readServersFile(path: string): Promise<ServersFile | undefined> {
  const text = await readFileIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return v.parse(ServersFile, JSON.parse(text));
  } catch (cause) {
    throw new FloeError('CONFIG_MALFORMED', `${path} is not as floe wrote it: remove it and log in again`, { data: { path }, cause });
  }
}

/** Adds or replaces a login and makes it the current one. */
export async function saveLogin(path: string, url: string, token: string): Promise<void> {
  const before = await readServersFile(path);
  const others = before?.servers.filter((server) => server.url !== url) ?? [];
  const content: ServersFile = { version: 1, current: url, servers: [...others, { url, token }] };
  await writeFileDurably(path, `${JSON.stringify(content, undefined, 2)}\n`, 0o600);
}
