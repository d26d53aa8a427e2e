import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import type { NixCommand } from './command.ts';
import { explain, failureOnDisks } from './failure.ts';
import { createProgressMeter, type DownloadProgress } from './progress.ts';

export interface RealiseOptions {
  /** Path of the GC root that keeps the closure from the first downloaded path on. */
  readonly root: string;
  /** Nix store URLs, tried in their order. */
  readonly substituters: readonly string[];
  /** `name:base64`. */
  readonly trustedPublicKeys: readonly string[];
  /** A connection on which nothing came for so long is given up. Default 30. */
  readonly stalledAfterSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Nix says these of a path without a good signature, or with other content than the signed hash. */
const UNTRUSTED = /lacks a (?:valid )?signature|not signed by|hash mismatch|does not have a valid signature/i;

/**
 * Downloads the closure of `path`; resumable, signatures required. All its errors are retryable:
 * STORE_PATH_NOT_AVAILABLE, STORE_PATH_UNTRUSTED, DISK_FULL, NIX_STOPPED.
 */
export async function realise(command: NixCommand, path: StorePath, options: RealiseOptions): Promise<void> {
  await mkdir(dirname(options.root), { recursive: true });
  const meter = createProgressMeter(options.onProgress);
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
    signal: options.signal,
    onEvent: meter,
  });
  // Success means that Nix has the path in its register: files that merely lie there, e.g. after a hash mismatch, do not do.
  if (isOk) return;
  const failure = await failureOnDisks(command.writtenFolders, 'downloading', log, result);
  if (failure.code !== 'NIX_FAILED') throw failure;
  const reason = explain(log, result);
  if ([reason, ...log.messages.map(({ text }) => text), ...log.plainLines].some((text) => UNTRUSTED.test(text))) {
    throw new FloeError('STORE_PATH_UNTRUSTED', `the cache's copy of ${path} is not what a trusted key signed: ${reason}`, { retryable: true });
  }
  throw new FloeError('STORE_PATH_NOT_AVAILABLE', `${path} cannot be downloaded: ${reason}`, { retryable: true });
}

/** Whether the store has the path, by its register and not by what lies on disk. */
export async function isValid(command: NixCommand, path: StorePath): Promise<boolean> {
  return (await command.run('nix-store', ['--check-validity', path])).isOk;
}
