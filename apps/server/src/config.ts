import { closeSync, openSync, readSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { FORGES, STATUS_FORGES, type Forge, type GithubAuth, type StatusForge } from '@floe/forge';
import type { PolicyFloor } from '@floe/model';
import type { InputAccess } from '@floe/nix';
import type { AllowedSigners } from '@floe/pipeline';
import { parsePolicyFloor, PublicKey } from '@floe/protocol';
import {
  FloeError,
  LOG_LEVELS,
  MAX_TIMER_MS,
  Secret,
  secretFile,
  withoutTrailingSlashes,
  createSettingsReader,
  shortened,
  type LogLevel,
  type SecretSource,
  type Env,
} from '@floe/runtime';
import * as v from 'valibot';
import { parseRepositoryConfig, type RepositoryConfig, type SecretSettingsReader } from './repository-config.ts';
import { parseInputs } from './inputs-config.ts';
import { parseNotifyTargets, type NotifyTarget } from './notifications/notify-config.ts';
import { parseProbes, type ConfiguredProbe } from './probes/probes-config.ts';
import { nameSettings } from './setting-names.ts';
import type { CacheLimits } from './cache-keeper.ts';

export interface GithubConfig {
  readonly kind: 'github';
  /** `owner/name` */
  readonly repository: string;
  readonly apiUrl: string;
  readonly auth: GithubAuth;
}

/** The forge that is told the statuses of commits. */
export type StatusesConfig = GithubConfig;

/** Limits of one host's evaluation and build. */
export interface Limits {
  readonly evaluationTimeoutMs: number;
  readonly evaluationMemoryBytes: number;
  readonly buildTimeoutMs: number;
}

/** The configuration of floe-server. Docs: docs/configuration.md. */
export interface Config {
  readonly listenHost: string;
  readonly listenPort: number;
  /** Where users and agents reach the server, without a trailing slash. */
  readonly publicUrl: string;
  readonly dataDir: string;
  /** Undefined: embedded PGlite in the data folder. */
  readonly databaseUrl: Secret | undefined;
  /** Addresses, or networks with a prefix, of proxies whose X-Forwarded-For is trusted. */
  readonly trustedProxies: readonly string[];
  /** The release key of the server whose database this one takes over. */
  readonly takeOverFrom: string | undefined;
  readonly repository: RepositoryConfig;
  readonly webhookSecrets: readonly SecretSource[];
  /** Where the repository is: webhooks of this forge are taken, and logins are those of its accounts. */
  readonly forge: Forge;
  /** Undefined: no forge is told. */
  readonly statuses: StatusesConfig | undefined;
  /** Who is told what happens to the fleet. */
  readonly notify: readonly NotifyTarget[];
  /** What every policy of the fleet must have at least; undefined: nothing. */
  readonly policyFloor: PolicyFloor | undefined;
  /** Who may sign commits; undefined: nobody has to. */
  readonly signers: AllowedSigners | undefined;
  /** What rings may be asked about outside, by the names that policies use. */
  readonly probes: readonly ConfiguredProbe[];
  /** How private inputs of the flake are fetched. */
  readonly inputAccess: readonly InputAccess[];
  /** What is removed from the server's own cache by itself. */
  readonly cacheLimits: CacheLimits;
  /** The substituter for agents. */
  readonly substituter: string;
  readonly pollMs: number;
  /** How long past commits, releases, reports and the like are kept. */
  readonly historyMs: number;
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

const Port = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.maxValue(65_535));
const Proxies = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.transform((text) => text.split(',').map((part) => part.trim())),
  v.array(v.custom<string>((part) => typeof part === 'string' && isAddressOrNetwork(part))),
);
const Url = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.url(),
  v.regex(/^https?:\/\//i),
  v.check((text) => !/\s/.test(text)),
);
/** A path short enough for sockets and locks below it. */
const Folder = v.pipe(v.string(), v.startsWith('/'), v.maxLength(1000));
const MAX_PROBLEM_CHARACTERS = 600;
/** Larger than any key or URL, and than the keys of hundreds of people. */
const MAX_FILE_BYTES = 1024 ** 2;
// The maximum of a timer in seconds; in MiB more than any machine has.
const Count = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.minValue(1), v.maxValue(Math.floor(MAX_TIMER_MS / 1000)));
const MIB = 1024 ** 2;

/**
 * The configuration from environment variables. Secrets come from files that the variables name.
 * Throws `FloeError('CONFIG_INVALID')` whose message lists every problem, with what to do.
 */
export function parseConfig(env: Env, readFile: (path: string) => string = readSmallFile): Config {
  const configuredBy = env['FLOE_CONFIGURED_BY'];
  const found: string[] = [];
  const problem = (text: string): void => void found.push(oneLine(nameSettings(text, configuredBy)));
  const { value, checked, required } = createSettingsReader(env, problem);
  const secretFiles: string[] = [];

  function readText(name: string, path: string): string | undefined {
    try {
      const text = readFile(path).trim();
      if (text !== '') return text;
      problem(`${name}: the file ${shortened(path)} is empty`);
    } catch (error) {
      problem(`${name}: the file ${shortened(path)} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
    }
    return undefined;
  }
  function readSecret(name: string, path = value(name)): Secret | undefined {
    if (path === undefined) return undefined;
    secretFiles.push(path);
    const text = readText(name, path);
    return text === undefined ? undefined : new Secret(text);
  }
  /** Read now, so that a mistake is reported at the start, and read again for each use. */
  function secretSource(name: string, path = value(name), problemOf?: (text: string) => string | undefined): SecretSource | undefined {
    const secret = path === undefined ? undefined : readSecret(name, path);
    if (path === undefined || secret === undefined) return undefined;
    const wrong = problemOf?.(secret.reveal());
    if (wrong !== undefined) problem(`${name}: the file ${shortened(path)} ${wrong}`);
    return secretFile(path, nameSettings(name, configuredBy));
  }
  function count(name: string, fallback: number, unit: string): number {
    return checked(name, Count, fallback, `a whole number of ${unit}, from 1 to 2147483`);
  }

  function optional(name: string, factor: number, unit: string): number | undefined {
    return value(name) === undefined ? undefined : factor * count(name, 1, unit);
  }

  const [listenHost, listenPort] = parseListen(value('FLOE_LISTEN') ?? '127.0.0.1:8420', problem);
  const publicUrl = withoutTrailingSlashes(
    checked(
      'FLOE_PUBLIC_URL',
      Url,
      `http://${listenHost.includes(':') ? `[${listenHost}]` : listenHost}:${listenPort}`,
      'the URL at which agents and people reach this server',
    ),
  );
  const dataDir = checked('FLOE_DATA_DIR', Folder, '/var/lib/floe', 'the absolute path of a folder');
  const databaseFile = readSecret('FLOE_DATABASE_URL_FILE');
  const databaseUrl = databaseFile ?? (value('DATABASE_URL') === undefined ? undefined : new Secret(value('DATABASE_URL') ?? ''));
  if (databaseUrl !== undefined && !isDatabaseUrl(databaseUrl.reveal())) {
    problem(
      'DATABASE_URL is not a postgres:// URL: set it to e.g. postgres://floe@localhost/floe?host=/run/postgresql, or leave it out for the embedded database',
    );
  }
  const read = { value, required, checked, count, secretSource, problem };
  const forge = checked('FLOE_FORGE', v.picklist(FORGES), 'github', `one of ${FORGES.join(', ')}`);
  const statuses = parseStatuses(read, forge);
  const webhookSecret = secretSource('FLOE_WEBHOOK_SECRET_FILE');
  const notifyFile = value('FLOE_NOTIFY_FILE');
  const notifyText = notifyFile === undefined ? undefined : readText('FLOE_NOTIFY_FILE', notifyFile);
  // Read by the programs that check signatures; here, so that a mistake is reported at the start.
  const [sshFile, openPgpFile] = ['FLOE_SSH_SIGNERS_FILE', 'FLOE_OPENPGP_SIGNERS_FILE'].map((name) => {
    const path = checked<string | undefined>(name, Folder, undefined, 'the absolute path of a file');
    if (path !== undefined) readText(name, path);
    return path;
  });
  const probesFile = value('FLOE_PROBES_FILE');
  const probesText = probesFile === undefined ? undefined : readText('FLOE_PROBES_FILE', probesFile);
  const inputsFile = value('FLOE_INPUTS_FILE');
  const inputsText = inputsFile === undefined ? undefined : readText('FLOE_INPUTS_FILE', inputsFile);
  const previousSecret = secretSource('FLOE_WEBHOOK_PREVIOUS_SECRET_FILE');
  const config: Config = {
    listenHost,
    listenPort,
    publicUrl,
    dataDir,
    databaseUrl,
    trustedProxies: checked('FLOE_TRUSTED_PROXIES', Proxies, [], 'addresses or networks of proxies with commas between, e.g. 127.0.0.1,10.1.0.0/24'),
    takeOverFrom: checked<string | undefined>('FLOE_TAKE_OVER_FROM', PublicKey, undefined, 'the release key that the refusal named'),
    repository: parseRepositoryConfig(read),
    webhookSecrets: [webhookSecret, previousSecret].filter((secret) => secret !== undefined),
    forge,
    statuses,
    notify: notifyText === undefined ? [] : parseNotifyTargets('FLOE_NOTIFY_FILE', notifyText, read),
    policyFloor: parseFloor(read),
    signers: sshFile === undefined && openPgpFile === undefined ? undefined : { sshFile, openPgpFile, path: env['PATH'] },
    probes: probesText === undefined ? [] : parseProbes('FLOE_PROBES_FILE', probesText, read),
    inputAccess: inputsText === undefined ? [] : parseInputs('FLOE_INPUTS_FILE', inputsText, read),
    substituter: checked('FLOE_CACHE_URL', Url, `${publicUrl}/cache`, 'the URL of the Nix cache that agents download from'),
    cacheLimits: {
      unusedForMs: optional('FLOE_CACHE_KEEP_DAYS', 24 * 3600 * 1000, 'days'),
      maxBytes: optional('FLOE_CACHE_MAX_GIB', 1024 ** 3, 'GiB'),
    },
    pollMs: 1000 * count('FLOE_POLL_SECONDS', 180, 'seconds'),
    historyMs: 24 * 3600 * 1000 * count('FLOE_HISTORY_DAYS', 90, 'days'),
    limits: {
      evaluationTimeoutMs: 1000 * count('FLOE_EVALUATION_TIMEOUT_SECONDS', 600, 'seconds'),
      evaluationMemoryBytes: MIB * count('FLOE_EVALUATION_MEMORY_MIB', 8192, 'MiB'),
      buildTimeoutMs: 1000 * count('FLOE_BUILD_TIMEOUT_SECONDS', 7200, 'seconds'),
    },
    buildMemoryBytes: optional('FLOE_BUILD_MEMORY_MIB', MIB, 'MiB'),
    isRepositoryCodeUnconfined:
      checked('FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS', v.picklist(['yes', 'no']), 'no', 'yes or no') === 'yes',
    mayBuildsChangeStore: checked('FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE', v.picklist(['yes', 'no']), 'no', 'yes or no') === 'yes',
    secretFiles,
    nameSettings: (message) => nameSettings(message, configuredBy),
    logLevel: checked('FLOE_LOG_LEVEL', v.picklist(LOG_LEVELS), 'info', `one of ${LOG_LEVELS.join(', ')}`),
  };
  if (found.length > 0) {
    throw new FloeError('CONFIG_INVALID', `floe-server cannot start with this configuration:\n${found.map((each) => `  - ${each}`).join('\n')}`);
  }
  return Object.freeze(config);
}

function parseFloor(read: Pick<SecretSettingsReader, 'value' | 'problem'>): PolicyFloor | undefined {
  const text = read.value('FLOE_POLICY_FLOOR');
  if (text === undefined) return undefined;
  const parsed = parsePolicyFloor(text);
  if (parsed.kind === 'floor') return parsed.floor;
  for (const problem of parsed.problems) read.problem(`FLOE_POLICY_FLOOR: ${problem}`);
  return undefined;
}

function isAddressOrNetwork(text: string): boolean {
  const match = /^(?<address>[^/%]+)(\/(?<prefix>\d{1,3}))?$/.exec(text);
  const family = isIP(match?.groups?.['address'] ?? '');
  // A network of all addresses would let every client forge the header.
  const prefix = Number(match?.groups?.['prefix'] ?? 1);
  return family !== 0 && prefix >= 1 && prefix <= (family === 4 ? 32 : 128);
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

/** A device, such as a disk, is not read to its end. */
function readSmallFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) read = readSync(file, bytes, length, bytes.length - length, null);
    if (length > MAX_FILE_BYTES) throw Object.assign(new Error('too large'), { code: `more than ${MAX_FILE_BYTES} bytes` });
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

/** A problem is one line, whatever it quotes. */
function oneLine(problem: string): string {
  const visible = problem.replaceAll(/\p{C}/gu, '\uFFFD');
  return visible.length <= MAX_PROBLEM_CHARACTERS ? visible : `${visible.slice(0, MAX_PROBLEM_CHARACTERS)}…`;
}

function parseListen(text: string, problem: (text: string) => void): [host: string, port: number] {
  const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<four>[A-Za-z0-9_.-]{1,253})):(?<port>\d+)$/.exec(text);
  const port = v.safeParse(Port, match?.groups?.['port'] ?? '');
  const [six, four] = [match?.groups?.['six'], match?.groups?.['four']];
  const host = six ?? four;
  if (host !== undefined && port.success && URL.canParse(`http://${six === undefined ? host : `[${six}]`}:${port.output}`))
    return [host, port.output];
  problem(`FLOE_LISTEN is "${shortened(text)}": set it to address:port, e.g. 127.0.0.1:8420 or [::]:8420`);
  return ['127.0.0.1', 8420];
}

/** Each forge that is told statuses has settings of its own. */
const STATUS_PARSERS: Readonly<Record<StatusForge, (read: SecretSettingsReader) => StatusesConfig | undefined>> = { github: parseGithub };

function parseStatuses(read: SecretSettingsReader, forge: Forge): StatusesConfig | undefined {
  const set = STATUS_FORGES.flatMap((kind) => STATUS_PARSERS[kind](read) ?? []);
  for (const { kind } of set)
    if (kind !== forge) read.problem(`FLOE_FORGE is ${forge}, and the settings of ${kind} are set: a repository is at one forge, so unset the other`);
  return set.find(({ kind }) => kind === forge);
}

function parseGithub(read: SecretSettingsReader): GithubConfig | undefined {
  const repository = read.value('FLOE_GITHUB_REPOSITORY');
  if (repository === undefined) return undefined;
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) read.problem(`FLOE_GITHUB_REPOSITORY is "${shortened(repository)}": set it to owner/name`);
  const apiUrl = withoutTrailingSlashes(read.checked('FLOE_GITHUB_API_URL', Url, 'https://api.github.com', 'the URL of the API'));
  const token = read.secretSource('FLOE_GITHUB_TOKEN_FILE');
  if (token !== undefined) return { kind: 'github', repository, apiUrl, auth: { kind: 'token', token } };
  const appId = read.value('FLOE_GITHUB_APP_ID');
  const privateKey = read.secretSource('FLOE_GITHUB_APP_KEY_FILE');
  const installationId = Number(read.value('FLOE_GITHUB_INSTALLATION_ID') ?? Number.NaN);
  if (appId !== undefined && privateKey !== undefined && Number.isSafeInteger(installationId) && installationId > 0) {
    return { kind: 'github', repository, apiUrl, auth: { kind: 'app', appId, privateKey, installationId } };
  }
  read.problem(
    'FLOE_GITHUB_REPOSITORY is set, but not how to sign in: set FLOE_GITHUB_TOKEN_FILE, or FLOE_GITHUB_APP_ID, FLOE_GITHUB_APP_KEY_FILE and FLOE_GITHUB_INSTALLATION_ID',
  );
  return undefined;
}

/** Paths in the data folder. */
export function dataPaths(dataDir: string) {
  return {
    database: join(dataDir, 'database'),
    mirror: join(dataDir, 'mirror.git'),
    testingMirror: join(dataDir, 'mirror-testing.git'),
    cache: join(dataDir, 'cache'),
    statements: join(dataDir, 'statements'),
    roots: join(dataDir, 'roots'),
    keys: join(dataDir, 'keys'),
    releaseKey: join(dataDir, 'keys', 'release.pem'),
    serverKey: join(dataDir, 'keys', 'server.pem'),
    cacheKey: join(dataDir, 'keys', 'cache.secret'),
    adminToken: join(dataDir, 'admin-token'),
    home: join(dataDir, 'home'),
    sandbox: join(dataDir, 'sandbox'),
    lock: join(dataDir, 'lock'),
    instanceId: join(dataDir, 'instance-id'),
  };
}
