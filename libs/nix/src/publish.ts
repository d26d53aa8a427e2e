import { fileURLToPath } from 'node:url';
import { MAX_BYTES, type StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { NixCommand } from './command.ts';
import { parseAnswer } from './answer.ts';
import { commandFailed, failureOnDisks } from './failure.ts';

export interface PublishOptions {
  /** A Nix store URL: `file:///var/cache`, `s3://bucket?endpoint=…`. */
  readonly cacheUrl: string;
  readonly secretKeyFile: string;
  readonly signal: AbortSignal;
}

export interface PublishedPath {
  /** `sha256:…` in Nix's base 32, or SRI, depending on the version of Nix. */
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

/** Copies the closures of `paths` to the cache, signed. Existing paths are skipped. Throws retryable errors. */
export async function publish(command: NixCommand, paths: readonly StorePath[], { cacheUrl, secretKeyFile, signal }: PublishOptions): Promise<void> {
  const query = new URLSearchParams({ compression: 'zstd', 'secret-key': secretKeyFile }).toString().replaceAll('%2F', '/');
  const target = `${cacheUrl}${cacheUrl.includes('?') ? '&' : '?'}${query}`;
  const { result, log, isOk } = await command.run('nix', ['copy', '--to', target, ...paths], { signal });
  if (isOk) return;
  const cache = cacheUrl.startsWith('file://') ? [fileURLToPath(cacheUrl.replace(/\?.*/, ''))] : [];
  throw await failureOnDisks([...cache, ...command.writtenFolders], 'publishing to the cache', log, result);
}

/** In the form of statements and of the database. */
const Sizes = {
  narHash: v.pipe(v.string(), v.maxLength(128), v.regex(/^[\x21-\x7E]+$/)),
  closureSize: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_BYTES)),
};
/** Up to Nix 2.18 an array of infos with their `path`; since then an object by path; null: missing. */
const PathInfos = v.union([
  v.pipe(
    v.array(v.nullable(v.object({ path: v.string(), ...Sizes }))),
    v.transform((infos) => new Map(infos.flatMap((info) => (info === null ? [] : [[info.path, info] as const])))),
  ),
  v.pipe(
    v.record(v.string(), v.nullable(v.object(Sizes))),
    v.transform((infos) => new Map(Object.entries(infos).flatMap(([path, info]) => (info === null ? [] : [[path, info] as const])))),
  ),
]);

/**
 * Reads published paths back: the cache's info about each, and a check that every path of their closures has a good signature by
 * `publicKey`. Throws CACHE_PATH_UNSIGNED, retryable NIX_FAILED.
 */
export async function readBack(
  command: NixCommand,
  cacheUrl: string,
  paths: readonly StorePath[],
  publicKey: string,
): Promise<ReadonlyMap<StorePath, PublishedPath>> {
  const signed = ['--recursive', '--no-contents', '--sigs-needed', '1', '--option', 'trusted-public-keys', publicKey];
  const [about, verified] = await Promise.all([
    command.runBare('nix', ['path-info', '--json', '--closure-size', '--store', cacheUrl, ...paths]),
    command.runBare('nix', ['store', 'verify', ...signed, '--store', cacheUrl, ...paths]),
  ]);
  if (!about.isOk) throw commandFailed('reading back from the cache', about.log, about.result);
  const infos = parseAnswer(PathInfos, about.result.stdout);
  if (!verified.isOk) {
    const [keyName] = publicKey.split(':');
    throw new FloeError(
      'CACHE_PATH_UNSIGNED',
      `the cache holds paths of ${paths.join(', ')} that the key ${keyName} did not sign; remove them from the cache, and they are published again`,
    );
  }
  return new Map(
    paths.map((path) => {
      const info = infos.get(path);
      if (info === undefined) throw commandFailed(`reading ${path} back from the cache: it is not there`, about.log, about.result);
      return [path, { narHash: info.narHash, closureSizeBytes: info.closureSize }];
    }),
  );
}
