import { PublicKey, HostName, type TrustedKey } from '@floe/protocol';
import { FloeError, LOG_LEVELS, withoutTrailingSlashes, createSettingsReader, shortened, type LogLevel, type Env } from '@floe/runtime';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { parseTarget, type AgentAccount, type TargetConfig } from './machines/targets/config.ts';
import type { JobSettings } from './jobs/job.ts';
import { proxyFor } from './server/tunnel.ts';
import { DEFAULT_SWITCH_LIMIT_MS } from './machines/switch-outcome.ts';

/** All settings of floe-agent. */
export interface Config extends JobSettings {
  readonly host: HostName;
  /** A folder that stands for the machine, for tests and the demo; undefined: the machine itself. */
  readonly root: string | undefined;
  readonly stateDir: string;
  /** What the agent keeps up to date on this machine. */
  readonly target: TargetConfig;
  readonly enrolmentTokenFile: string | undefined;
  /** The file of this machine's key, which is kept when its state is lost; undefined: a key in the state folder. */
  readonly keyFile: string | undefined;
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  /** Of releases: those with a lower sequence are refused. 0: none. */
  readonly rejectBefore: number;
  /** Only releases of this repository are accepted; undefined: of any that a release key signed. */
  readonly repository: string | undefined;
  /** Only releases of this branch are accepted, as `refs/heads/…`, beside trials; undefined: of any. */
  readonly ref: string | undefined;
  /** The group whose members may use the local socket, beside root; undefined: none. */
  readonly socketGroup: string | undefined;
  /** Mount point of the boot partition. */
  readonly bootMountPoint: string;
  /** Through which the server is reached; undefined: directly. */
  readonly proxy: URL | undefined;
  /** Shortest wait after the server refused this agent, in ms. */
  readonly slowRetryMs: number;
  /** Says which commit runs, for programs of the machine; undefined: there is none. */
  readonly runningFile: string | undefined;
  /** The same as metrics, for a collector of text files; undefined: there is none. */
  readonly metricsFile: string | undefined;
  readonly logLevel: LogLevel;
}

const ROOT_ACCOUNT = { platform: 'linux', user: 'root', home: '/root' } as const;

const Sequence = v.pipe(v.string(), v.regex(/^\d{1,15}$/), v.transform(Number));
const Seconds = v.pipe(v.string(), v.regex(/^\d{1,5}$/), v.transform(Number));
/** No limit of 0: a switch that is ended half way does more harm than a slow one. */
const SwitchSeconds = v.pipe(Seconds, v.minValue(1));
const BranchRef = v.pipe(v.string(), v.regex(/^refs\/heads\/[^\s]{1,900}$/));
const AbsolutePath = v.pipe(v.string(), v.startsWith('/'));
/** Collectors read only such files. */
const MetricsPath = v.pipe(AbsolutePath, v.endsWith('.prom'));
const GroupName = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/));
const Megabytes = v.pipe(v.string(), v.regex(/^\d{1,7}$/), v.transform(Number));
const Rate = v.pipe(v.string(), v.regex(/^\d{1,9}[kMG]?$/));
const RATE_UNITS: Readonly<Record<string, number>> = { k: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const CachePublicKey = v.pipe(v.string(), v.regex(/^[^\s:]+:[A-Za-z0-9+/=]+$/));

/** The agent's state folder. */
export function stateDirOf(env: Env, root: string | undefined): string {
  return env['FLOE_STATE_DIR']?.trim() || join(root ?? '/', 'var/lib/floe-agent');
}

/** The folder that stands for the machine: `--root DIR` or FLOE_ROOT. */
export function rootOf(env: Env, option: string | undefined): string | undefined {
  const root = option ?? env['FLOE_ROOT']?.trim();
  return root === undefined || root === '' ? undefined : resolve(root);
}

/**
 * The configuration from environment variables. Throws `FloeError('CONFIG_INVALID')` whose message lists every
 * problem, with what to do.
 */
export function parseConfig(env: Env, options: { readonly root?: string | undefined; readonly account?: Omit<AgentAccount, 'root'> } = {}): Config {
  const problems: string[] = [];

  const { value, checked, required } = createSettingsReader(env, (problem) => problems.push(problem));
  function words(name: string, what: string): string[] {
    const list = value(name)?.split(/\s+/) ?? [];
    if (list.length === 0) problems.push(`${name} is missing: set it to ${what}`);
    return list;
  }
  function keys(name: string, what: string): TrustedKey[] {
    return words(name, what).flatMap((word) => {
      const key = parseTrustedKey(word);
      if (key === undefined) problems.push(`${name} has "${shortened(word)}": each key is KEYID:BASE64 as "floe enrol HOST" shows it`);
      return key ?? [];
    });
  }

  const { target, problems: targetProblems } = parseTarget(env, { ...(options.account ?? ROOT_ACCOUNT), root: rootOf(env, options.root) });
  problems.push(...targetProblems);
  const enrolment = '"floe enrol HOST" shows it';
  const root = rootOf(env, options.root);
  const isFolder = root !== undefined;
  const serverUrl = required('FLOE_SERVER_URL', v.pipe(v.string(), v.regex(/^https?:\/\/[^\s/]+/)), 'the https:// URL of the server');
  const host = required('FLOE_HOST', HostName, "this machine's name in nixosConfigurations");
  const formerHost = checked<HostName | undefined>(
    'FLOE_FORMER_HOST',
    HostName,
    undefined,
    "this machine's name in nixosConfigurations before it was renamed",
  );
  const releaseKeys = keys('FLOE_TRUSTED_RELEASE_KEYS', `the keys that sign releases (${enrolment})`);
  const serverKeys = keys('FLOE_TRUSTED_SERVER_KEYS', `the keys of the server (${enrolment})`);
  const substituters = words('FLOE_SUBSTITUTERS', `the URLs of the Nix caches to download from (${enrolment})`);
  const cachePublicKeys = words('FLOE_TRUSTED_PUBLIC_KEYS', `the public keys of the Nix caches (${enrolment})`);
  for (const key of cachePublicKeys) {
    if (!v.safeParse(CachePublicKey, key).success)
      problems.push(`FLOE_TRUSTED_PUBLIC_KEYS has "${shortened(key)}": each key is NAME:BASE64, as Nix writes it`);
  }
  const config = {
    root,
    formerHost,
    stateDir: stateDirOf(env, root),
    target,
    enrolmentTokenFile: value('FLOE_ENROLMENT_TOKEN_FILE'),
    keyFile: checked<string | undefined>('FLOE_IDENTITY_KEY_FILE', AbsolutePath, undefined, 'an absolute path'),
    releaseKeys,
    serverKeys,
    rejectBefore: checked('FLOE_REJECT_BEFORE', Sequence, 0, 'the number of a revision, as "floe revisions COMMIT" shows it'),
    repository: value('FLOE_REPOSITORY'),
    ref: checked<string | undefined>('FLOE_REF', BranchRef, undefined, 'refs/heads/ and the branch'),
    substituters,
    cachePublicKeys,
    // A folder has no services that need time to start.
    healthGraceMs: 1000 * checked('FLOE_HEALTH_GRACE_SECONDS', Seconds, isFolder ? 0 : 30, 'a whole number of seconds'),
    settleMs: 1000 * checked('FLOE_SETTLE_SECONDS', Seconds, isFolder ? 0 : 3, 'a whole number of seconds'),
    contactTimeoutMs: 1000 * checked('FLOE_CONTACT_TIMEOUT_SECONDS', Seconds, 60, 'a whole number of seconds'),
    serverLimitMs: 1000 * checked('FLOE_SERVER_LIMIT_SECONDS', Seconds, 1800, 'a whole number of seconds'),
    switchLimitMs:
      1000 * checked('FLOE_SWITCH_TIMEOUT_SECONDS', SwitchSeconds, DEFAULT_SWITCH_LIMIT_MS / 1000, 'a whole number of seconds, 1 or more'),
    bootLimitMs: 1000 * checked('FLOE_BOOT_TIMEOUT_SECONDS', Seconds, 300, 'a whole number of seconds'),
    socketGroup: checked<string | undefined>('FLOE_SOCKET_GROUP', GroupName, undefined, 'the name of a group'),
    bootMountPoint: checked('FLOE_BOOT_MOUNT_POINT', AbsolutePath, '/boot', 'an absolute path'),
    maxBytesPerSecond: rateOf(checked('FLOE_DOWNLOAD_MAX_RATE', Rate, '0', 'bytes per second such as 500k or 2M, or 0 for no limit')),
    minFreeBytes: 1024 * 1024 * checked('FLOE_MIN_FREE_MB', Megabytes, 64, 'a whole number of megabytes'),
    slowRetryMs: 1000 * checked('FLOE_SLOW_RETRY_SECONDS', Seconds, 60, 'a whole number of seconds'),
    runningFile: checked<string | undefined>(
      'FLOE_RUNNING_FILE',
      AbsolutePath,
      // Several agents of other targets can run on one machine.
      target.kind === 'nixos' ? join(root ?? '/', 'run/floe-agent/running.json') : undefined,
      'an absolute path',
    ),
    metricsFile: checked<string | undefined>('FLOE_METRICS_FILE', MetricsPath, undefined, 'an absolute path that ends in .prom'),
    logLevel: checked('FLOE_LOG_LEVEL', v.picklist(LOG_LEVELS), 'info', `one of ${LOG_LEVELS.join(', ')}`),
  };
  if (serverUrl === undefined || host === undefined || problems.length > 0) {
    throw new FloeError('CONFIG_INVALID', `floe-agent cannot start with these settings:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
  }
  return Object.freeze({ ...config, host, serverUrl: withoutTrailingSlashes(serverUrl), proxy: proxyFor(serverUrl, env) });
}

/** `500k` or `2M`, in bytes per second; undefined: no limit. */
function rateOf(text: string): number | undefined {
  const bytes = Number.parseInt(text, 10) * (RATE_UNITS[text.at(-1) ?? ''] ?? 1);
  return bytes === 0 ? undefined : bytes;
}

/** `keyId:base64`; the key id may contain colons. */
function parseTrustedKey(text: string): TrustedKey | undefined {
  const colon = text.lastIndexOf(':');
  const publicKey = text.slice(colon + 1);
  return colon > 0 && v.is(PublicKey, publicKey) ? { keyId: text.slice(0, colon), publicKey } : undefined;
}
