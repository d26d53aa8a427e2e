import { hostname } from 'node:os';
import { loadCacheKey, loadOrCreateCacheKey } from '@floe/nix';
import { commandSigner, loadOrCreateSigner, loadSigner, type AsyncSigner, type Exec, type SignCommand } from '@floe/runtime';
import { dataPaths } from './data-paths.ts';

/** Files of keys that somebody made. Undefined: the key is in the data folder, and is made at the first start. */
export interface KeyFiles {
  readonly release?: string | undefined;
  readonly cache?: string | undefined;
}

/** Hosts pin it with the key. */
const KEY_ID = 'release-1';

/** What of this process's environment a command that signs does not get: settings of Floe, with the database's login among them. */
const OUR_SETTINGS = /^(FLOE_|DATABASE_URL$|NOTIFY_SOCKET$)/;

/** What signs by command: not in the sandbox of repositories, and with the environment that the service has for it, such as a login to a KMS. */
export interface Signing {
  readonly command: SignCommand | undefined;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

/** The keys of a builder. */
export async function loadBuilderKeys(dataDir: string, { release, cache }: KeyFiles, signing: Signing) {
  const paths = dataPaths(dataDir);
  return {
    releaseSigner: await releaseSignerOf(paths.releaseKey, release, signing),
    cacheKey: cache === undefined ? await loadOrCreateCacheKey(paths.cacheKey, `${hostname()}-floe-1`) : await loadCacheKey(cache),
  };
}

async function releaseSignerOf(made: string, given: string | undefined, { command, exec, env }: Signing): Promise<AsyncSigner> {
  if (command !== undefined) {
    const kept = Object.entries(env).filter(([name]) => !OUR_SETTINGS.test(name));
    return commandSigner(KEY_ID, command, { exec, env: Object.fromEntries(kept) });
  }
  return given === undefined ? await loadOrCreateSigner(made, KEY_ID) : await loadSigner(given, KEY_ID);
}
