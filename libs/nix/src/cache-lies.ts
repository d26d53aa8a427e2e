import type { StorePath } from '@floe/model';
import type { CacheSettings } from './cache-trust.ts';
import type { NixCommand } from './command.ts';

/** `nix store verify`, "Exit status": the sum of the findings. It also exits with 1 when it could not start. */
const CORRUPTED = 1;
const UNTRUSTED = 2;
const TIMEOUT_MS = 30_000;
/** Each of them is downloaded again for the check. */
const MAX_PATHS = 3;
const ONE_TRY = ['--option', 'download-attempts', '1', '--option', 'connect-timeout', '10', '--option', 'stalled-download-timeout', '10'];
const ASK_ANEW = ['--option', 'narinfo-cache-positive-ttl', '0', '--option', 'narinfo-cache-negative-ttl', '0'];

/**
 * Whether one of the caches serves something else than a trusted key signed: a path of the closure without a good signature, or
 * one of `unfinished` whose content does not match its signed hash. Used after a failed download, because the cache's operator
 * controls what Nix reports.
 */
export async function liesOfCache(
  command: NixCommand,
  path: StorePath,
  unfinished: readonly string[],
  { substituters, trustedPublicKeys, signal }: CacheSettings,
): Promise<boolean> {
  const keys = ['--sigs-needed', '1', '--option', 'trusted-public-keys', trustedPublicKeys.join(' ')];
  const suspects = unfinished.slice(0, MAX_PATHS);
  for (const store of substituters) {
    /** Undefined when it did not exit by itself. */
    const verify = async (...args: readonly string[]): Promise<number | undefined> => {
      const all = ['store', 'verify', ...ONE_TRY, ...ASK_ANEW, ...keys, '--store', store, ...args];
      const { result } = await command.runBare('nix', all, { signal, timeoutMs: TIMEOUT_MS });
      return result.end === 'exited' ? result.exitCode : undefined;
    };
    const signatures = await verify('--recursive', '--no-contents', path);
    if (signatures !== undefined && (signatures & UNTRUSTED) !== 0) return true;
    // Checks that the cache answers for all of them, so that exit status 1 is a finding.
    if (suspects.length === 0 || (await verify('--no-contents', ...suspects)) !== 0) continue;
    const contents = await verify(...suspects);
    if (contents !== undefined && (contents & CORRUPTED) !== 0) return true;
  }
  return false;
}
