import { fileURLToPath } from 'node:url';
import type { StorePath } from '@floe/model';
import type { NixCommand } from './command.ts';
import { commandFailed, failureOnDisks } from './failure.ts';

export interface PublishOptions {
  /** A folder, as `file:///var/cache`. */
  readonly cacheUrl: string;
  readonly secretKeyFile: string;
  readonly signal: AbortSignal;
}

export interface MirrorOptions {
  /** Nix store URLs. */
  readonly from: string;
  readonly to: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
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

/** Copies closures with their signatures from one store to another. Throws retryable errors. */
export async function mirror(command: NixCommand, paths: readonly StorePath[], { from, to, signal, timeoutMs }: MirrorOptions): Promise<void> {
  const { result, log, isOk } = await command.runBare('nix', ['copy', '--from', from, '--to', to, ...paths], { signal, timeoutMs });
  if (!isOk)
    throw commandFailed(
      result.end === 'timed-out'
        ? `publishing to the cache took more than ${timeoutMs / 1000} s (FLOE_PUBLISH_TIMEOUT_SECONDS)`
        : 'publishing to the cache',
      log,
      result,
    );
}
