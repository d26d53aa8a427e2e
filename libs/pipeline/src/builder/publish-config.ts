import { environmentProblem, netrcProblem, parsePublishTarget, s3LoginProblem, type PublishMethod } from '@floe/nix';
import { withoutTrailingSlashes, type SecretSource } from '@floe/runtime';
import * as v from 'valibot';
import { HttpUrl } from './http-url.ts';
import type { SettingsReader } from './settings-reader.ts';
import { Command } from './sign-config.ts';

/** Where closures are published to, and where hosts download them. */
export interface PublishConfig {
  /** Undefined: to the cache's folder alone. */
  readonly method: PublishMethod | undefined;
  /** The setting of where hosts download from. */
  readonly cacheUrl: string | undefined;
  /** Where they are read back, the first that has a path: where hosts download. Empty: from the folder. */
  readonly urls: readonly string[];
  /** Keys that sign there besides the cache's own, as `name:base64`. */
  readonly publicKeys: readonly string[];
}

const File = v.pipe(v.string(), v.startsWith('/'), v.maxLength(1000));
/** As NIX_SSHOPTS takes it, which is split at spaces. */
const PlainFile = v.pipe(File, v.regex(/^[^\s%"'\\]+$/));
const list = (text: string): string[] => text.split(/[\s,]+/).filter((each) => each !== '');
const Urls = v.pipe(v.string(), v.maxLength(4096), v.transform(list), v.array(HttpUrl), v.maxLength(8));
/** One less than a builder tells its server: the other is the cache's own. */
const Keys = v.pipe(
  v.string(),
  v.maxLength(4096),
  v.transform(list),
  v.array(v.pipe(v.string(), v.regex(/^[\w.-]{1,100}:[A-Za-z0-9+/]{43}=$/))),
  v.maxLength(7),
);

/** Every problem goes to `read.problem`. */
export function parsePublish(read: SettingsReader): PublishConfig {
  const cacheUrl = read.checked<string | undefined>('FLOE_CACHE_URL', HttpUrl, undefined, 'the URL of the Nix cache that agents download from');
  const upstreams = read.checked('FLOE_CACHE_UPSTREAM_URLS', Urls, [], 'URLs of caches with commas between, e.g. https://cache.nixos.org');
  const publicKeys = read.checked('FLOE_CACHE_PUBLIC_KEYS', Keys, [], 'public keys as name:base64, with spaces between');
  const method = parseMethod(read);
  if (method !== undefined && cacheUrl === undefined)
    read.problem('FLOE_CACHE_URL is missing: set it to where hosts download what is published; it is read back there before anything is released');
  if (method === undefined && (upstreams.length > 0 || publicKeys.length > 0))
    read.problem(
      'FLOE_CACHE_UPSTREAM_URLS and FLOE_CACHE_PUBLIC_KEYS are about another cache than the folder: set FLOE_PUBLISH_TO or FLOE_PUBLISH_COMMAND, too, or leave them out',
    );
  return {
    method,
    cacheUrl,
    urls: method === undefined || cacheUrl === undefined ? [] : [cacheUrl, ...upstreams].map(withoutTrailingSlashes),
    publicKeys,
  };
}

function parseMethod(read: SettingsReader): PublishMethod | undefined {
  const to = read.value('FLOE_PUBLISH_TO');
  const what =
    'the absolute path of a program, or a list of it and its arguments in JSON, such as ["/run/current-system/sw/bin/attic","push","--stdin","fleet"]';
  const command = read.checked<[string, ...string[]] | undefined>('FLOE_PUBLISH_COMMAND', Command, undefined, what);
  const timeoutMs = 1000 * read.count('FLOE_PUBLISH_TIMEOUT_SECONDS', 3600, 'seconds');
  const knownHostsFile = read.checked<string | undefined>(
    'FLOE_PUBLISH_KNOWN_HOSTS_FILE',
    PlainFile,
    undefined,
    'the absolute path of a file, without spaces',
  );
  if (to !== undefined && read.value('FLOE_PUBLISH_COMMAND') !== undefined) {
    read.problem('FLOE_PUBLISH_TO is set, and FLOE_PUBLISH_COMMAND: set one of them');
    return undefined;
  }
  if (command !== undefined) return { kind: 'command', command: { command, credentials: credentials(read, environmentProblem), timeoutMs } };
  const parsed = to === undefined ? undefined : parsePublishTarget(to);
  if (parsed === undefined) {
    for (const name of ['FLOE_PUBLISH_CREDENTIALS_FILE', 'FLOE_PUBLISH_KNOWN_HOSTS_FILE', 'FLOE_PUBLISH_TIMEOUT_SECONDS'])
      if (read.value(name) !== undefined && read.value('FLOE_PUBLISH_COMMAND') === undefined)
        read.problem(`${name} is set, and nothing is published but to the folder: set FLOE_PUBLISH_TO or FLOE_PUBLISH_COMMAND, too, or leave it out`);
    return undefined;
  }
  if (parsed.kind === 'problem') {
    read.problem(`FLOE_PUBLISH_TO ${parsed.problem}`);
    return undefined;
  }
  const { target } = parsed;
  const store = { kind: 'store', target, knownHostsFile, timeoutMs, keyFile: undefined, credentials: undefined } as const;
  switch (target.kind) {
    case 's3': {
      if (read.value('FLOE_PUBLISH_CREDENTIALS_FILE') === undefined)
        read.problem(
          'FLOE_PUBLISH_CREDENTIALS_FILE is missing: set it to a file as ~/.aws/credentials, with a login that may read and write in the bucket',
        );
      return { ...store, credentials: credentials(read, (text) => s3LoginProblem(text, target.profile)) };
    }
    case 'http':
      return { ...store, credentials: credentials(read, (text) => netrcProblem(text, target.host)) };
    case 'ssh': {
      if (knownHostsFile === undefined)
        read.problem('FLOE_PUBLISH_KNOWN_HOSTS_FILE is missing: set it to a file of known_hosts with the key of the machine in FLOE_PUBLISH_TO');
      const keyFile = read.checked<string | undefined>(
        'FLOE_PUBLISH_CREDENTIALS_FILE',
        PlainFile,
        undefined,
        'the absolute path of a private key, without spaces',
      );
      if (keyFile === undefined)
        read.problem('FLOE_PUBLISH_CREDENTIALS_FILE is missing: set it to a private key that the machine in FLOE_PUBLISH_TO admits');
      else read.readSecret('FLOE_PUBLISH_CREDENTIALS_FILE');
      return { ...store, keyFile };
    }
  }
}

function credentials(read: SettingsReader, problemOf: (text: string) => string | undefined): SecretSource | undefined {
  return read.secretSource('FLOE_PUBLISH_CREDENTIALS_FILE', undefined, problemOf);
}
