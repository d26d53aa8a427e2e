import { isIP } from 'node:net';
import { STATUS_FORGES, type Forge, type GithubAuth, type StatusForge } from '@floe/forge';
import {
  HttpUrl,
  openSettings,
  parseBuilderConfig,
  parsePublicKeys,
  PUBLIC_KEYS_FILE,
  type BuilderConfig,
  type PublicKeys,
  type SettingsReader,
} from '@floe/pipeline';
import { PublicKey } from '@floe/protocol';
import { FloeError, shortened, withoutTrailingSlashes, type Env, type SecretSource } from '@floe/runtime';
import * as v from 'valibot';
import { parseNotifyTargets, type NotifyTarget } from './notifications/notify-config.ts';
import { parseProbes, type ConfiguredProbe } from './probes/probes-config.ts';

export interface GithubConfig {
  readonly kind: 'github';
  /** `owner/name` */
  readonly repository: string;
  readonly apiUrl: string;
  readonly auth: GithubAuth;
}

/** The forge that is told the statuses of commits. */
export type StatusesConfig = GithubConfig;

/** The configuration of floe-server. Docs: docs/configuration.md. */
export interface Config extends BuilderConfig {
  /** The public keys of a builder that is a process of its own; undefined: it is inside the server, which holds its keys. */
  readonly builder: PublicKeys | undefined;
  /** The folder that is served as a cache; undefined: agents download from elsewhere only. */
  readonly servedCache: string | undefined;
  readonly listenHost: string;
  readonly listenPort: number;
  /** Addresses, or networks with a prefix, of proxies whose X-Forwarded-For is trusted. */
  readonly trustedProxies: readonly string[];
  /** The release key of the server whose database this one takes over. */
  readonly takeOverFrom: string | undefined;
  readonly webhookSecrets: readonly SecretSource[];
  /** Undefined: no forge is told. */
  readonly statuses: StatusesConfig | undefined;
  /** Who is told what happens to the fleet. */
  readonly notify: readonly NotifyTarget[];
  /** What rings may be asked about outside, by the names that policies use. */
  readonly probes: readonly ConfiguredProbe[];
  /** The substituter for agents. */
  readonly substituter: string;
  /** How long past commits, releases, reports and the like are kept. */
  readonly historyMs: number;
}

const Port = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.maxValue(65_535));
const Proxies = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.transform((text) => text.split(',').map((part) => part.trim())),
  v.array(v.custom<string>((part) => typeof part === 'string' && isAddressOrNetwork(part))),
);
/**
 * The configuration from environment variables. Secrets come from files that the variables name.
 * Throws `FloeError('CONFIG_INVALID')` whose message lists every problem, with what to do.
 */
export function parseConfig(env: Env, readFile?: (path: string) => string): Config {
  const read = openSettings(env, 'floe-server', readFile);
  const { value, checked, count, secretSource, problem } = read;
  const [listenHost, listenPort] = parseListen(value('FLOE_LISTEN') ?? '127.0.0.1:8420', problem);
  const builder = parseBuilderConfig(read, env['PATH'], {
    dataDir: '/var/lib/floe',
    fetches: value('FLOE_BUILDER_KEYS_FILE') === undefined,
    publicUrl: `http://${listenHost.includes(':') ? `[${listenHost}]` : listenHost}:${listenPort}`,
  });
  const { publicUrl, forge } = builder;
  const separate = parseSeparate(read, builder);
  const notifyFile = value('FLOE_NOTIFY_FILE');
  const notifyText = notifyFile === undefined ? undefined : read.readText('FLOE_NOTIFY_FILE', notifyFile);
  const probesFile = value('FLOE_PROBES_FILE');
  const probesText = probesFile === undefined ? undefined : read.readText('FLOE_PROBES_FILE', probesFile);
  const config: Config = {
    ...builder,
    builder: separate,
    servedCache: separate === undefined || value('FLOE_CACHE_DIR') !== undefined ? builder.cacheDir : undefined,
    listenHost,
    listenPort,
    trustedProxies: checked('FLOE_TRUSTED_PROXIES', Proxies, [], 'addresses or networks of proxies with commas between, e.g. 127.0.0.1,10.1.0.0/24'),
    takeOverFrom: checked<string | undefined>('FLOE_TAKE_OVER_FROM', PublicKey, undefined, 'the release key that the refusal named'),
    webhookSecrets: [secretSource('FLOE_WEBHOOK_SECRET_FILE'), secretSource('FLOE_WEBHOOK_PREVIOUS_SECRET_FILE')].filter(
      (secret) => secret !== undefined,
    ),
    statuses: parseStatuses(read, forge),
    notify: notifyText === undefined ? [] : parseNotifyTargets('FLOE_NOTIFY_FILE', notifyText, read),
    probes: probesText === undefined ? [] : parseProbes('FLOE_PROBES_FILE', probesText, read),
    substituter: builder.publish.cacheUrl ?? `${publicUrl}/cache`,
    historyMs: 24 * 3600 * 1000 * count('FLOE_HISTORY_DAYS', 90, 'days'),
  };
  if (read.problems.length > 0) {
    throw new FloeError(
      'CONFIG_INVALID',
      `floe-server cannot start with this configuration:\n${read.problems.map((each) => `  - ${each}`).join('\n')}`,
    );
  }
  return Object.freeze(config);
}

/** What decides which commits are built, and how: here it would be without effect, and whoever set it would not know. */
const BUILDERS_ALONE = [
  'FLOE_REPOSITORY_TOKEN_FILE',
  'FLOE_REPOSITORY_SSH_KEY_FILE',
  'FLOE_REPOSITORY_KNOWN_HOSTS_FILE',
  'FLOE_REPOSITORY_DIRECTORY',
  'FLOE_REPOSITORY_SUBMODULES',
  'FLOE_INPUTS_FILE',
  'FLOE_EVALUATE_IGNORE',
  'FLOE_EVALUATE_SKIP',
  'FLOE_EVALUATE_ATTRIBUTE',
  'FLOE_EVALUATE_HOSTS_FILE',
  'FLOE_POLICY_FLOOR',
  'FLOE_SSH_SIGNERS_FILE',
  'FLOE_OPENPGP_SIGNERS_FILE',
  'FLOE_SIGN_COMMAND',
  'FLOE_SIGN_PUBLIC_KEY',
  'FLOE_PUBLISH_TO',
  'FLOE_PUBLISH_COMMAND',
  'FLOE_PUBLISH_CREDENTIALS_FILE',
  'FLOE_PUBLISH_KNOWN_HOSTS_FILE',
  'FLOE_PUBLISH_TIMEOUT_SECONDS',
  'FLOE_CACHE_UPSTREAM_URLS',
  'FLOE_CACHE_PUBLIC_KEYS',
];

/** A server beside a builder of its own process: what the builder holds is not the server's, and both use one database. */
function parseSeparate(read: SettingsReader, { databaseUrl, repository }: BuilderConfig): PublicKeys | undefined {
  const path = read.value('FLOE_BUILDER_KEYS_FILE');
  if (path === undefined) return undefined;
  const text = read.readText('FLOE_BUILDER_KEYS_FILE', path);
  const keys = text === undefined ? undefined : parsePublicKeys(text);
  if (text !== undefined && keys === undefined)
    read.problem(`FLOE_BUILDER_KEYS_FILE: ${shortened(path)} is not what a builder writes: set it to the ${PUBLIC_KEYS_FILE} of its data folder`);
  for (const name of BUILDERS_ALONE)
    if (read.value(name) !== undefined)
      read.problem(`${name} is the builder's, because FLOE_BUILDER_KEYS_FILE is set: set it there, and leave it out here`);
  if (repository.source.kind === 'tree')
    read.problem("FLOE_EVALUATE_SOURCE is the builder's, because FLOE_BUILDER_KEYS_FILE is set: set it there, and leave it out here");
  if (databaseUrl === undefined)
    read.problem('DATABASE_URL is missing: with FLOE_BUILDER_KEYS_FILE the server and the builder share a database of Postgres');
  if (read.value('FLOE_CACHE_URL') === undefined && read.value('FLOE_CACHE_DIR') === undefined)
    read.problem(
      "FLOE_CACHE_DIR is missing: set it to the folder of the builder's cache, which this server may read, or FLOE_CACHE_URL to where agents download from",
    );
  return keys;
}

function isAddressOrNetwork(text: string): boolean {
  const match = /^(?<address>[^/%]+)(\/(?<prefix>\d{1,3}))?$/.exec(text);
  const family = isIP(match?.groups?.['address'] ?? '');
  // A network of all addresses would let every client forge the header.
  const prefix = Number(match?.groups?.['prefix'] ?? 1);
  return family !== 0 && prefix >= 1 && prefix <= (family === 4 ? 32 : 128);
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
const STATUS_PARSERS: Readonly<Record<StatusForge, (read: SettingsReader) => StatusesConfig | undefined>> = { github: parseGithub };

function parseStatuses(read: SettingsReader, forge: Forge): StatusesConfig | undefined {
  const set = STATUS_FORGES.flatMap((kind) => STATUS_PARSERS[kind](read) ?? []);
  for (const { kind } of set)
    if (kind !== forge) read.problem(`FLOE_FORGE is ${forge}, and the settings of ${kind} are set: a repository is at one forge, so unset the other`);
  return set.find(({ kind }) => kind === forge);
}

function parseGithub(read: SettingsReader): GithubConfig | undefined {
  const repository = read.value('FLOE_GITHUB_REPOSITORY');
  if (repository === undefined) return undefined;
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) read.problem(`FLOE_GITHUB_REPOSITORY is "${shortened(repository)}": set it to owner/name`);
  const apiUrl = withoutTrailingSlashes(read.checked('FLOE_GITHUB_API_URL', HttpUrl, 'https://api.github.com', 'the URL of the API'));
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
