import type { TrustedKey } from '@floe/protocol';
import type { Logger } from '@floe/runtime';
import type { Repository, StorePart } from '@floe/store';
import { newestLogged } from '../statements/newest-releases.ts';
import type { StatementLog } from '../statements/statement-log.ts';

const HEADS = 'refs/heads/';

export interface EnsureDeps {
  readonly store: StorePart<{ repositories: 'ensure' | 'ensureDefault' | 'moveAddress' | 'nameBranch' }>;
  readonly statements: StatementLog;
  readonly releaseKeys: readonly TrustedKey[];
  readonly logger: Logger;
}

/**
 * The row of the repository and branch of the settings: the one that it was before, when they name another address or branch. Where they name no branch, it is the one that was followed before: by the
 * database, or by the statement log, when the database is lost.
 */
export async function ensureRepository(
  deps: EnsureDeps,
  { url, branch }: { readonly url: string; readonly branch: string | undefined },
  now: number,
): Promise<Repository> {
  const { repositories } = deps.store;
  const formerUrl = await repositories.moveAddress(url);
  if (formerUrl !== undefined) deps.logger.info('another repository address is followed than before, by the same hosts', { url, formerUrl });
  if (branch !== undefined) {
    const { formerBranch, ...followed } = await repositories.ensure({ url, branch, now });
    if (formerBranch !== undefined) deps.logger.info('another branch is followed than before, by the same hosts', { url, branch, formerBranch });
    return followed;
  }
  const known = await repositories.ensureDefault({ url, now });
  if (known.branch !== '') return known;
  const ref = (await newestLogged(deps))?.ref;
  if (ref?.startsWith(HEADS) !== true) return known;
  await repositories.nameBranch(known.id, ref.slice(HEADS.length));
  return await repositories.ensureDefault({ url, now });
}
