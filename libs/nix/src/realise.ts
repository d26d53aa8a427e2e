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

/** The collector may be at work. */
const REMOVE_TIMEOUT_MS = 5 * 60_000;
const REMOVE_ATTEMPTS = 5;
const REMOVE_PAUSE_MS = 1_000;

export interface RealiseOptions {
  /** Path of the GC root that keeps the closure from the first downloaded path on. */
  readonly root: string;
  /** Nix store URLs, tried in their order. */
  readonly substituters: readonly string[];
  /** `name:base64`. */
  readonly trustedPublicKeys: readonly string[];
  /** A connection on which nothing came for so long is given up. Default 30. */
  readonly stalledAfterSeconds?: number | undefined;
  /** What the closure has in bytes: more than that is not written. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/**
 * Downloads the closure of `path`; resumable, signatures required. What comes of a failed one is removed. A cache that sends
 * more than was signed is left; where no other has the path: STORE_PATH_TOO_LARGE, which only people can mend. All other
 * errors are retryable: STORE_PATH_NOT_AVAILABLE, STORE_PATH_UNTRUSTED, DISK_FULL, NIX_STOPPED.
 */
export async function realise(command: NixCommand, path: StorePath, options: RealiseOptions): Promise<void> {
  await mkdir(dirname(options.root), { recursive: true });
  let substituters = options.substituters;
  for (;;) {
    const excess = await tryRealise(command, path, { ...options, substituters });
    if (excess === undefined) return;
    const { source, limitBytes } = excess;
    const others = substituters.filter((each) => !isSameCache(each, source));
    // One that Nix names in another way than it was named here could be any of them.
    if (others.length === 0 || others.length === substituters.length) {
      throw new FloeError(
        'STORE_PATH_TOO_LARGE',
        `the cache ${source} sends more for ${excess.path} than the ${limitBytes} bytes that were signed: it was stopped, and what it had sent is removed. Look after that cache, then say "floe retry HOST"`,
        { data: { source, path: excess.path, limitBytes } },
      );
    }
    command.logger.warn('a cache sends more than was signed and is left out', { source, path: excess.path, limitBytes });
    substituters = others;
  }
}

/** Downloads, or says that a cache sent too much. */
async function tryRealise(command: NixCommand, path: StorePath, options: RealiseOptions): Promise<Excess | undefined> {
  const meter = createProgressMeter(options.onProgress);
  const tooMuch = new AbortController();
  let excess: Excess | undefined;
  const watch = new CopyWatch(options.maxBytes, (found) => {
    excess ??= found;
    tooMuch.abort();
  });
  const settings = {
    // A line that was cut, or a machine that slept, leaves connections that never end: Nix would wait for 300 s.
    'stalled-download-timeout': String(options.stalledAfterSeconds ?? 30),
    'connect-timeout': '15',
    substituters: options.substituters.join(' '),
    'trusted-public-keys': options.trustedPublicKeys.join(' '),
    'require-sigs': 'true',
    // A failed answer must not be remembered: the path may be published a second later.
    'narinfo-cache-negative-ttl': '0',
    'narinfo-cache-positive-ttl': '0',
    'max-jobs': '0',
    builders: '',
    fallback: 'false',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['--option', name, value]);
  const { result, log, isOk } = await command.run('nix-store', ['--realise', path, '--add-root', options.root, '--indirect', ...args], {
    signal: options.signal === undefined ? tooMuch.signal : AbortSignal.any([options.signal, tooMuch.signal]),
    onEvent(event) {
      watch.take(event);
      meter(event);
    },
  });
  // Success means that Nix has the path in its register: files that merely lie there, e.g. after a hash mismatch, do not do.
  if (isOk && excess === undefined) return undefined;
  if (excess !== undefined && options.signal?.aborted !== true) {
    await discard(command, options.root, watch.begun);
    return excess;
  }
  // Before there is room again.
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

/** Removes what was downloaded: a fast cache has sent a path whole before Nix is stopped. What others use stays. */
async function discard(command: NixCommand, root: string, paths: readonly string[]): Promise<void> {
  await rm(root, { force: true });
  await removeUnfinished(command, paths);
  for (const path of paths.toReversed()) await command.run('nix-store', ['--delete', path], { timeoutMs: REMOVE_TIMEOUT_MS });
}

/**
 * Removes what lies in the store and is no path of it: Nix leaves it there until its collector comes. A path that another
 * Nix is at work on is kept by Nix itself; one that a daemon was at work on for us is free once it has noticed that we left.
 */
async function removeUnfinished(command: NixCommand, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    for (let attempt = 1; await isUnfinished(command, path); attempt += 1) {
      const { isOk, result } = await command.run('nix-store', ['--delete', path], { timeoutMs: REMOVE_TIMEOUT_MS });
      if (isOk) break;
      if (attempt === REMOVE_ATTEMPTS) {
        command.logger.warn('what is left of a download cannot be removed', { path, why: result.stderr.slice(-500) });
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

/** Nix leaves out parameters and slashes at the end. */
function isSameCache(url: string, source: string): boolean {
  const bare = (text: string): string => withoutTrailingSlashes(text.replace(/[?].*$/, ''));
  return bare(url) === bare(source);
}

/** Whether the store has the path, by its register and not by what lies on disk. */
export async function isValid(command: NixCommand, path: StorePath): Promise<boolean> {
  return (await command.run('nix-store', ['--check-validity', path])).isOk;
}
