import { lstat, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { StorePath } from '@floe/model';
import { FloeError, withoutTrailingSlashes } from '@floe/runtime';
import type { NixCommand } from './command.ts';
import { CopyWatch, type Excess } from './copy-watch.ts';
import { explain, failureOnDisks, stopped } from './failure.ts';
import { liesOfCache } from './cache-lies.ts';
import { invalidPaths } from './missing.ts';
import { createProgressMeter, type DownloadProgress } from './progress.ts';

/** The garbage collector may be running. */
const REMOVE_TIMEOUT_MS = 5 * 60_000;
const REMOVE_ATTEMPTS = 5;
const REMOVE_PAUSE_MS = 1_000;

export interface RealiseOptions {
  /** Path of the GC root that protects the closure from its first downloaded path on. */
  readonly root: string;
  /** Nix store URLs, in the order in which they are tried. */
  readonly substituters: readonly string[];
  /** `name:base64`. */
  readonly trustedPublicKeys: readonly string[];
  /** A connection without data for this long is given up. Default: 30. */
  readonly stalledAfterSeconds?: number | undefined;
  /** Undefined: no limit. Nix 2.26 keeps to it, alone and as a client of its daemon; 2.8 ignores it. */
  readonly maxBytesPerSecond?: number | undefined;
  /** Size of the closure in bytes: no more than that is written. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/**
 * Downloads the closure of `path`: resumable, with required signatures. Removes the rest of a failed download. A cache that sends
 * more than was signed is skipped; when no other has the path, throws STORE_PATH_TOO_LARGE, which only an administrator can fix.
 * All other errors are retryable: STORE_PATH_NOT_AVAILABLE, STORE_PATH_UNTRUSTED, DISK_FULL, NIX_STOPPED.
 */
export async function realise(command: NixCommand, path: StorePath, options: RealiseOptions): Promise<void> {
  await mkdir(dirname(options.root), { recursive: true });
  let substituters = options.substituters;
  for (;;) {
    const excess = await tryRealise(command, path, { ...options, substituters });
    if (excess === undefined) return;
    const { source, limitBytes } = excess;
    const others = substituters.filter((each) => !isSameCache(each, source));
    // If Nix's name for it matches none of the configured names, it could be any of them.
    if (others.length === 0 || others.length === substituters.length) {
      throw new FloeError(
        'STORE_PATH_TOO_LARGE',
        `the cache ${source} sends more for ${excess.path} than the ${limitBytes} bytes that were signed: the download was stopped and removed. Check that cache, then run "floe retry HOST"`,
        { data: { source, path: excess.path, limitBytes } },
      );
    }
    command.logger.warn('a cache sends more than was signed; it is skipped', { source, path: excess.path, limitBytes });
    substituters = others;
  }
}

/** Downloads, or returns that a cache sent too much. */
async function tryRealise(command: NixCommand, path: StorePath, options: RealiseOptions): Promise<Excess | undefined> {
  const meter = createProgressMeter(options.onProgress);
  const tooMuch = new AbortController();
  let excess: Excess | undefined;
  const watch = new CopyWatch(options.maxBytes, (found) => {
    excess ??= found;
    tooMuch.abort();
  });
  const settings = {
    // A lost connection, or a machine that slept, leaves connections open forever: Nix would wait for 300 s.
    'stalled-download-timeout': String(options.stalledAfterSeconds ?? 30),
    'connect-timeout': '15',
    substituters: options.substituters.join(' '),
    'trusted-public-keys': options.trustedPublicKeys.join(' '),
    'require-sigs': 'true',
    // A negative answer must not be cached: the path may be published a second later.
    'narinfo-cache-negative-ttl': '0',
    'narinfo-cache-positive-ttl': '0',
    'max-jobs': '0',
    builders: '',
    fallback: 'false',
    ...speedLimit(options.maxBytesPerSecond),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['--option', name, value]);
  const { result, log, isOk } = await command.run('nix-store', ['--realise', path, '--add-root', options.root, '--indirect', ...args], {
    signal: options.signal === undefined ? tooMuch.signal : AbortSignal.any([options.signal, tooMuch.signal]),
    onEvent(event) {
      watch.take(event);
      meter(event);
    },
  });
  // Success means that the path is registered in the store. Its files alone prove nothing: they may be there after a hash
  // mismatch.
  if (isOk && excess === undefined) return undefined;
  if (excess !== undefined && options.signal?.aborted !== true) {
    await discard(command, options.root, watch.begun);
    return excess;
  }
  // Called before there is space again.
  const failure = await failureOnDisks(command.writtenFolders, 'downloading', log, result);
  const unfinished = watch.begun.length === 0 ? [] : await invalidPaths(command, watch.begun, options.signal);
  await removeUnfinished(command, watch.begun);
  if (failure.code !== 'NIX_FAILED') throw failure;
  const reason = explain(log, result);
  if (await liesOfCache(command, path, unfinished, options)) {
    throw new FloeError('STORE_PATH_UNTRUSTED', `the cache's copy of ${path} is not what a trusted key signed: ${reason}`, { retryable: true });
  }
  if (options.signal?.aborted === true) throw stopped('downloading');
  throw new FloeError('STORE_PATH_NOT_AVAILABLE', `${path} cannot be downloaded: ${reason}`, { retryable: true });
}

/** Nix limits each transfer, not their sum: so there is one at a time. */
function speedLimit(bytesPerSecond: number | undefined): Readonly<Record<string, string>> {
  if (bytesPerSecond === undefined) return {};
  return { 'download-speed': String(Math.max(1, Math.round(bytesPerSecond / 1024))), 'max-substitution-jobs': '1' };
}

/** Removes the downloaded paths: a fast cache may have sent a path completely before Nix was stopped. Paths that are in use stay. */
async function discard(command: NixCommand, root: string, paths: readonly string[]): Promise<void> {
  await rm(root, { force: true });
  await removeUnfinished(command, paths);
  for (const path of paths.toReversed()) await command.run('nix-store', ['--delete', path], { timeoutMs: REMOVE_TIMEOUT_MS });
}

/**
 * Removes files in the store that are not a registered path: otherwise they stay until the garbage collector runs. Nix itself
 * protects a path on which another Nix works; one on which a daemon worked for this process is free once the daemon has noticed
 * the disconnect.
 */
async function removeUnfinished(command: NixCommand, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    for (let attempt = 1; await isUnfinished(command, path); attempt += 1) {
      const { isOk, result } = await command.run('nix-store', ['--delete', path], { timeoutMs: REMOVE_TIMEOUT_MS });
      if (isOk) break;
      if (attempt === REMOVE_ATTEMPTS) {
        command.logger.warn('the rest of a download could not be removed', { path, why: result.stderr.slice(-500) });
        break;
      }
      await setTimeout(REMOVE_PAUSE_MS);
    }
  }
}

async function isUnfinished(command: NixCommand, path: string): Promise<boolean> {
  const isThere = await lstat(command.filePath(path)).then(
    () => true,
    () => false,
  );
  return isThere && !(await isValid(command, path as StorePath));
}

/** Nix drops parameters and trailing slashes. */
function isSameCache(url: string, source: string): boolean {
  const bare = (text: string): string => withoutTrailingSlashes(text.replace(/[?].*$/, ''));
  return bare(url) === bare(source);
}

/** Whether the path is registered in the store; its files on the disk do not count. */
export async function isValid(command: NixCommand, path: StorePath): Promise<boolean> {
  return (await command.run('nix-store', ['--check-validity', path])).isOk;
}
