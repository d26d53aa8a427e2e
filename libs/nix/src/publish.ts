import type { StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { NixCommand } from './command.ts';
import { parseAnswer } from './evaluate.ts';
import { commandFailed } from './failure.ts';

export interface PublishOptions {
  /** A Nix store URL: `file:///var/cache`, `s3://bucket?endpoint=…`. */
  readonly cacheUrl: string;
  readonly secretKeyFile: string;
  readonly signal: AbortSignal;
}

export interface PublishedPath {
  /** `sha256:…` in Nix's base 32, or SRI, as the running version of Nix prints it. */
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

/** Copies the closures of `paths` to the cache, signed. What is there already is left. Throws retryable errors. */
export async function publish(command: NixCommand, paths: readonly StorePath[], { cacheUrl, secretKeyFile, signal }: PublishOptions): Promise<void> {
  const query = new URLSearchParams({ compression: 'zstd', 'secret-key': secretKeyFile }).toString().replaceAll('%2F', '/');
  const target = `${cacheUrl}${cacheUrl.includes('?') ? '&' : '?'}${query}`;
  const { result, log, isOk } = await command.run('nix', ['copy', '--to', target, ...paths], { signal });
  if (!isOk) throw commandFailed('publishing to the cache', log, result);
}

const PathInfo = v.object({ narHash: v.string(), closureSize: v.number() });
/** An array of infos with `path` up to Nix 2.18, an object by path since. */
const PathInfos = v.union([v.pipe(v.array(v.nullable(PathInfo)), v.minLength(1)), v.record(v.string(), v.nullable(PathInfo))]);

/**
 * Reads a published path back: what the cache says of it, and that every path of its closure carries a good signature
 * by `publicKey`. Throws CACHE_PATH_UNSIGNED, retryable NIX_FAILED.
 */
export async function readBack(command: NixCommand, cacheUrl: string, path: StorePath, publicKey: string): Promise<PublishedPath> {
  const about = await command.runBare('nix', ['path-info', '--json', '--closure-size', '--store', cacheUrl, path]);
  if (!about.isOk) throw commandFailed(`reading ${path} back from the cache`, about.log, about.result);
  const [info] = Object.values(parseAnswer(PathInfos, about.result.stdout));
  if (info === null || info === undefined) throw commandFailed(`reading ${path} back from the cache: it is not there`, about.log, about.result);

  const verified = await command.runBare('nix', [
    'store',
    'verify',
    '--recursive',
    '--no-contents',
    '--sigs-needed',
    '1',
    '--option',
    'trusted-public-keys',
    publicKey,
    '--store',
    cacheUrl,
    path,
  ]);
  if (!verified.isOk) {
    const [keyName] = publicKey.split(':');
    throw new FloeError(
      'CACHE_PATH_UNSIGNED',
      `the cache holds paths of ${path} that the key ${keyName} did not sign; remove them from the cache, and they are published anew`,
    );
  }
  return { narHash: info.narHash, closureSizeBytes: info.closureSize };
}
