import { randomBytes } from 'node:crypto';
import { writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import type { Store } from '@floe/store';

/**
 * Creates the administrator's API token at the first start. It is only in `path` (mode 0600): the database stores its hash.
 * Delete the file after `floe login`.
 */
export async function ensureAdminToken(deps: { readonly store: Store; readonly clock: Clock; readonly logger: Logger }, path: string): Promise<void> {
  if (await deps.store.tokens.hasApiTokens()) return;
  const token = `floe_${randomBytes(24).toString('base64url')}`;
  // The file first: after a crash in between, the next start creates another token.
  await writeFileDurably(path, `${token}\n`, 0o600);
  await deps.store.tokens.createApiToken('admin', token, deps.clock.now());
  deps.logger.info('first start: the administrator\'s API token is in a file; sign in with "floe login" and delete it', { file: path });
}
