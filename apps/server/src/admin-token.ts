import { randomBytes } from 'node:crypto';
import { writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import type { Store } from '@floe/store';

/**
 * At the first start, makes the administrator's API token. It is shown once, in `path` (mode 0600): the database keeps
 * only its hash. Delete the file after `floe login`.
 */
export async function ensureAdminToken(deps: { readonly store: Store; readonly clock: Clock; readonly logger: Logger }, path: string): Promise<void> {
  if (await deps.store.tokens.hasApiTokens()) return;
  const token = `floe_${randomBytes(24).toString('base64url')}`;
  // The file first: a crash in between makes another token at the next start, and nobody is left without one.
  await writeFileDurably(path, `${token}\n`, 0o600);
  await deps.store.tokens.createApiToken('admin', token, deps.clock.now());
  deps.logger.info('first start: the administrator\'s API token is in a file; sign in with "floe login" and delete it', { file: path });
}
