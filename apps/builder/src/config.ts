import { openSettings, parseBuilderConfig, parseSignCommand, type SettingsReader, type BuilderConfig, type KeyFiles } from '@floe/pipeline';
import { FloeError, type Env, type Secret } from '@floe/runtime';
import * as v from 'valibot';

/** The configuration of floe-builder. Docs: docs/configuration.md. */
export type Config = BuilderConfig & {
  /** The database of the server. */
  readonly databaseUrl: Secret;
  readonly keyFiles: KeyFiles;
  /** What a server says was submitted is not signed. */
  readonly refusesSubmissions: boolean;
};

/** The folder of a builder's data, where nothing is set. */
const DEFAULT_DATA_DIR = '/var/lib/floe-builder';

/**
 * The configuration from environment variables: those of the server that a builder needs. Throws `FloeError('CONFIG_INVALID')` whose message
 * lists every problem.
 */
export function parseConfig(env: Env, readFile?: (path: string) => string): Config {
  const read = openSettings(env, 'floe-builder', readFile);
  const config = parseBuilderConfig(read, env['PATH'], { dataDir: DEFAULT_DATA_DIR, publicUrl: undefined, fetches: true });
  const { databaseUrl } = config;
  if (databaseUrl === undefined)
    read.problem('DATABASE_URL is missing: set it to the postgres:// URL of the database that the server uses, or FLOE_DATABASE_URL_FILE');
  // Whoever owns the database could name another.
  if (config.repository.branch === undefined) read.problem('FLOE_REPOSITORY_BRANCH is missing: set it to the branch that the server follows');
  const refusesSubmissions = read.checked('FLOE_TRUST_SERVER_WITH_SUBMISSIONS', v.picklist(['yes', 'no']), 'no', 'yes or no') === 'no';
  const keyFiles = { release: keyFile(read, 'FLOE_RELEASE_KEY_FILE'), cache: keyFile(read, 'FLOE_CACHE_KEY_FILE') };
  askForOneSigner(read);
  if (databaseUrl === undefined || read.problems.length > 0)
    throw new FloeError(
      'CONFIG_INVALID',
      `floe-builder cannot start with this configuration:\n${read.problems.map((each) => `  - ${each}`).join('\n')}`,
    );
  return Object.freeze({ ...config, databaseUrl, keyFiles, refusesSubmissions });
}

/** What `floe-builder keys` goes by. */
export function parseKeySettings(env: Env): Pick<Config, 'signCommand' | 'keyFiles' | 'dataDir'> {
  const read = openSettings(env, 'floe-builder');
  const keyFiles = { release: read.value('FLOE_RELEASE_KEY_FILE'), cache: read.value('FLOE_CACHE_KEY_FILE') };
  const signCommand = parseSignCommand(read);
  askForOneSigner(read);
  if (read.problems.length > 0) throw new FloeError('CONFIG_INVALID', read.problems.join('\n'));
  return { signCommand, keyFiles, dataDir: read.value('FLOE_DATA_DIR') ?? DEFAULT_DATA_DIR };
}

function askForOneSigner(read: SettingsReader): void {
  if (read.value('FLOE_SIGN_COMMAND') !== undefined && read.value('FLOE_RELEASE_KEY_FILE') !== undefined)
    read.problem('FLOE_RELEASE_KEY_FILE is set, and FLOE_SIGN_COMMAND: set one of them');
}

/** Read here, too, so that a mistake is reported at the start, and the sandbox is seen to keep it away. */
function keyFile(read: SettingsReader, name: string): string | undefined {
  return read.readSecret(name) === undefined ? undefined : read.value(name);
}
