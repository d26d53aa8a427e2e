import type { PipelineDeps } from './deps.ts';
import { newestLogged } from './statements/newest-releases.ts';
import { OwnEvaluations } from './evaluation/own-evaluations.ts';

/** Of a builder that shares its database with a server: what it goes by instead of what stands there. */
export function believingNothing(
  { statements, releaseSigner, logger }: Pick<PipelineDeps, 'statements' | 'releaseSigner' | 'logger'>,
  { refusesSubmissions }: { readonly refusesSubmissions: boolean },
): Pick<PipelineDeps, 'ownEvaluations' | 'newestReleased' | 'refusesSubmissions'> {
  return {
    ownEvaluations: new OwnEvaluations(),
    newestReleased: async () => await newestLogged({ statements, releaseKeys: [releaseSigner], logger }),
    refusesSubmissions,
  };
}
