import { randomBytes } from 'node:crypto';
import { writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import type { PlainStore, StorePart } from '@floe/store';

/** The form of {@link newApiToken}'s. */
export const API_TOKEN = /^floe_[\w-]{32}$/;

export function newApiToken(): string {
  return `floe_${randomBytes(24).toString('base64url')}`;
}

/**
 * Creates an administrator's API token at the first start, and when no administrator is left. It is only in `path` (mode 0600):
 * the database stores its hash. Delete the file after `floe login`.
 */
export async function ensureAdminToken(
  deps: { readonly store: StorePart<{ tokens: 'administrators' }> & Pick<PlainStore, 'decide'>; readonly clock: Clock; readonly logger: Logger },
  path: string,
): Promise<void> {
  const { store } = deps;
  const now = deps.clock.now();
  if ((await store.tokens.administrators(now)).length > 0) return;
  const token = newApiToken();
  const create = async (name: string): Promise<boolean> =>
    await store.decide(async ({ tokens }) => {
      const isCreated = (await tokens.createApiToken({ name, role: 'administrator', token, at: now })) === 'created';
      const detail = 'administrator: there was none';
      return { result: isCreated, entries: isCreated ? [{ at: now, actor: 'floe-server', action: 'create-token', subject: name, detail }] : [] };
    });
  // The file first: after a crash in between, the next start creates another token.
  await writeFileDurably(path, `${token}\n`, 0o600);
  // The name may belong to a token that expired, or has another role.
  for (let n = 1; !(await create(n === 1 ? 'admin' : `admin-${n}`)); n += 1);
  deps.logger.info('there was no administrator yet: the API token of one is in a file; sign in with "floe login" and delete it', { file: path });
}
