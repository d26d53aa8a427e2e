import type { StorePath } from '@floe/model';
import type { NixCommand } from './command.ts';

export interface CacheSettings {
  /** Nix store URLs. */
  readonly substituters: readonly string[];
  /** `name:base64`. */
  readonly trustedPublicKeys: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** 'absent': no cache that answers has the path. */
export type CacheTrust = 'trusted' | 'untrusted' | 'absent';

const TIMEOUT_MS = 60_000;

/** Whether one of the caches has `path` with a trusted signature, as a download with these settings would need. Downloads nothing. */
export async function cacheTrust(
  command: NixCommand,
  path: StorePath,
  { substituters, trustedPublicKeys, signal }: CacheSettings,
): Promise<CacheTrust> {
  const once = ['--option', 'download-attempts', '1', '--option', 'connect-timeout', '10'];
  const keys = ['--option', 'trusted-public-keys', trustedPublicKeys.join(' ')];
  let found: CacheTrust = 'absent';
  for (const store of substituters) {
    const verify = ['store', 'verify', '--no-contents', '--sigs-needed', '1', ...once, ...keys, '--store', store, path];
    if ((await command.runBare('nix', verify, { signal, timeoutMs: TIMEOUT_MS })).isOk) return 'trusted';
    if ((await command.runBare('nix', ['path-info', ...once, '--store', store, path], { signal, timeoutMs: TIMEOUT_MS })).isOk) found = 'untrusted';
  }
  return found;
}
