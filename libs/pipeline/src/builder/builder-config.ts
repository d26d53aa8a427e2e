import { FORGES, type Forge } from '@floe/forge';
import type { PolicyFloor } from '@floe/model';
import type { InputAccess } from '@floe/nix';
import { parsePolicyFloor } from '@floe/protocol';
import { LOG_LEVELS, Secret, withoutTrailingSlashes, type LogLevel, type SignCommand } from '@floe/runtime';
import * as v from 'valibot';
import type { SignerFiles } from '../commit-signers/types.ts';
import type { OperatorKeyFile } from '../permits/operator-keys.ts';
import type { CacheLimits } from './cache-keeper.ts';
import { dataPaths } from './data-paths.ts';
import { HttpUrl } from './http-url.ts';
import { parseInputs } from './inputs-config.ts';
import { parsePublish, type PublishConfig } from './publish-config.ts';
import { parseRepositoryConfig, type RepositoryConfig } from './repository-config.ts';
import type { Program } from './setting-names.ts';
import type { SettingsReader } from './settings-reader.ts';
import { parseSignCommand } from './sign-config.ts';

/** Limits of one host's evaluation and build. */
export interface Limits {
  readonly evaluationTimeoutMs: number;
  readonly evaluationMemoryBytes: number;
  readonly buildTimeoutMs: number;
}

/** What a builder is told by settings: the same in the server and as a process of its own. Docs: docs/configuration.md. */
export interface BuilderConfig {
  /** Whose settings these are. */
  readonly program: Program;
  readonly dataDir: string;
  /** The folder of the cache. */
  readonly cacheDir: string;
  /** Where closures go from there. */
  readonly publish: PublishConfig;
  /** Undefined: embedded PGlite in the data folder. */
  readonly databaseUrl: Secret | undefined;
  /** Where people and agents reach the server, without a trailing slash; commits link there. */
  readonly publicUrl: string;
  readonly repository: RepositoryConfig;
  /** Where the repository is: webhooks of this forge are taken, and logins are those of its accounts. */
  readonly forge: Forge;
  /** What every policy of the fleet must have at least; undefined: nothing. */
  readonly policyFloor: PolicyFloor | undefined;
  /** Who may sign commits; undefined: nobody has to. */
  readonly signers: SignerFiles | undefined;
  /** Who may take hosts back to what is not stable; undefined: nobody has to sign that. */
  readonly operatorKeys: OperatorKeyFile | undefined;
  /** What signs releases; undefined: a key in a file. */
  readonly signCommand: SignCommand | undefined;
  /** How private inputs of the flake are fetched. */
  readonly inputAccess: readonly InputAccess[];
  /** What is removed from the cache's folder by itself. */
  readonly cacheLimits: CacheLimits;
  readonly pollMs: number;
  readonly limits: Limits;
  /** Memory limit of one build. Undefined: a share of this machine's memory. */
  readonly buildMemoryBytes: number | undefined;
  /** True: code from the repository runs without the sandbox. */
  readonly isRepositoryCodeUnconfined: boolean;
  /** True: a single-user Nix is acceptable, whose builders can change everything in the store. */
  readonly mayBuildsChangeStore: boolean;
  /** Files with secrets. */
  readonly secretFiles: readonly string[];
  /** Rewrites a message to use the setting names of this installation. */
  readonly nameSettings: (message: string) => string;
  readonly logLevel: LogLevel;
}

/** A path short enough for sockets and locks below it. */
const Folder = v.pipe(v.string(), v.startsWith('/'), v.maxLength(1000));
const MIB = 1024 ** 2;

/** Read when a word is checked, and here, so that a mistake is reported at the start. */
function parseOperatorsFile(read: SettingsReader): string | undefined {
  const file = read.checked<string | undefined>('FLOE_OPERATOR_KEYS_FILE', Folder, undefined, 'the absolute path of a file');
  if (file !== undefined) read.readText('FLOE_OPERATOR_KEYS_FILE', file);
  return file;
}

/** `defaults`: where the data folder is, and the URL of the server, where nothing is set; and whether this program fetches the repository. */
export function parseBuilderConfig(
  read: SettingsReader,
  path: string | undefined,
  defaults: { readonly dataDir: string; readonly publicUrl: string | undefined; readonly fetches: boolean },
): BuilderConfig {
  const { value, checked, count, optional, problem } = read;
  const isYes = (name: string): boolean => checked(name, v.picklist(['yes', 'no']), 'no', 'yes or no') === 'yes';
  const what = 'the URL at which agents and people reach the server';
  const publicUrl =
    defaults.publicUrl === undefined
      ? read.required('FLOE_PUBLIC_URL', HttpUrl, what)
      : checked('FLOE_PUBLIC_URL', HttpUrl, defaults.publicUrl, what);
  const dataDir = checked('FLOE_DATA_DIR', Folder, defaults.dataDir, 'the absolute path of a folder');
  const databaseUrl = parseDatabaseUrl(read);
  const forge = checked('FLOE_FORGE', v.picklist(FORGES), 'github', `one of ${FORGES.join(', ')}`);
  // Read by the programs that check signatures; here, so that a mistake is reported at the start.
  const [sshFile, openPgpFile] = ['FLOE_SSH_SIGNERS_FILE', 'FLOE_OPENPGP_SIGNERS_FILE'].map((name) => {
    const file = checked<string | undefined>(name, Folder, undefined, 'the absolute path of a file');
    if (file !== undefined) read.readText(name, file);
    return file;
  });
  const operatorsFile = parseOperatorsFile(read);
  const inputsFile = value('FLOE_INPUTS_FILE');
  const inputsText = inputsFile === undefined ? undefined : read.readText('FLOE_INPUTS_FILE', inputsFile);
  const floorText = value('FLOE_POLICY_FLOOR');
  const floor = floorText === undefined ? undefined : parsePolicyFloor(floorText);
  if (floor !== undefined && floor.kind !== 'floor') for (const each of floor.problems) problem(`FLOE_POLICY_FLOOR: ${each}`);
  return {
    program: read.program,
    dataDir,
    cacheDir: checked('FLOE_CACHE_DIR', Folder, dataPaths(dataDir).cache, 'the absolute path of a folder'),
    publish: parsePublish(read),
    databaseUrl,
    publicUrl: withoutTrailingSlashes(publicUrl ?? ''),
    repository: parseRepositoryConfig(read, { fetches: defaults.fetches, searchPath: path }),
    forge,
    policyFloor: floor?.kind === 'floor' ? floor.floor : undefined,
    signers: sshFile === undefined && openPgpFile === undefined ? undefined : { sshFile, openPgpFile, path },
    operatorKeys: operatorsFile === undefined ? undefined : { file: operatorsFile, path },
    signCommand: parseSignCommand(read),
    inputAccess: inputsText === undefined ? [] : parseInputs('FLOE_INPUTS_FILE', inputsText, read),
    cacheLimits: {
      unusedForMs: optional('FLOE_CACHE_KEEP_DAYS', 24 * 3600 * 1000, 'days'),
      maxBytes: optional('FLOE_CACHE_MAX_GIB', 1024 ** 3, 'GiB'),
    },
    pollMs: 1000 * count('FLOE_POLL_SECONDS', 180, 'seconds'),
    limits: {
      evaluationTimeoutMs: 1000 * count('FLOE_EVALUATION_TIMEOUT_SECONDS', 600, 'seconds'),
      evaluationMemoryBytes: MIB * count('FLOE_EVALUATION_MEMORY_MIB', 8192, 'MiB'),
      buildTimeoutMs: 1000 * count('FLOE_BUILD_TIMEOUT_SECONDS', 7200, 'seconds'),
    },
    buildMemoryBytes: optional('FLOE_BUILD_MEMORY_MIB', MIB, 'MiB'),
    isRepositoryCodeUnconfined: isYes('FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS'),
    mayBuildsChangeStore: isYes('FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE'),
    secretFiles: read.secretFiles,
    nameSettings: read.nameSettings,
    logLevel: checked('FLOE_LOG_LEVEL', v.picklist(LOG_LEVELS), 'info', `one of ${LOG_LEVELS.join(', ')}`),
  };
}

function parseDatabaseUrl(read: SettingsReader): Secret | undefined {
  const inFile = read.readSecret('FLOE_DATABASE_URL_FILE');
  const set = read.value('DATABASE_URL');
  const databaseUrl = inFile ?? (set === undefined ? undefined : new Secret(set));
  if (databaseUrl !== undefined && !isDatabaseUrl(databaseUrl.reveal()))
    read.problem(
      'DATABASE_URL is not a postgres:// URL: set it to e.g. postgres://floe@localhost/floe?host=/run/postgresql, or leave it out for the embedded database',
    );
  return databaseUrl;
}

/** The driver decodes each part. */
function isDatabaseUrl(text: string): boolean {
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) return false;
  const { username, password, pathname, hostname, searchParams } = new URL(text);
  try {
    return [username, password, pathname].every((part) => decodeURIComponent(part) !== undefined) && (hostname !== '' || searchParams.has('host'));
  } catch {
    return false;
  }
}
