import type { HostName } from '@floe/model';
import { describeError } from '@floe/runtime';
import { HostKeys } from '../permits/host-keys.ts';
import { guardedReleaser } from '../permits/permit-guard.ts';
import { RecordedStable } from '../permits/recorded-stable.ts';
import { UsedWords } from '../permits/used-words.ts';
import type { KeyReleaser, Releaser } from '../releaser.ts';
import { newestLogged, newestLoggedOf } from '../statements/newest-releases.ts';
import type { BuilderDeps } from './builder-deps.ts';
import { dataPaths } from './data-paths.ts';

/** Keys of new hosts are noted so often. */
const LEARN_MS = 3600_000;
const RETRY_MS = 10_000;

type PermittingDeps = Pick<BuilderDeps, 'store' | 'statements' | 'clock' | 'logger' | 'exec'> & {
  readonly config: Pick<BuilderDeps['config'], 'operatorKeys' | 'dataDir'>;
};

export interface Permitting {
  readonly releaser: Releaser;
  /** Notes the keys of hosts, until `signal` aborts. */
  readonly learnHosts: (signal: AbortSignal) => Promise<void>;
}

/** The releaser as the settings have it: with keys of operators, or, without that setting, as it is. */
export function permitting(
  { config, store, statements, clock, logger, exec }: PermittingDeps,
  own: KeyReleaser,
  repositoryId: () => string,
): Permitting {
  const { operatorKeys, dataDir } = config;
  if (operatorKeys === undefined) return { releaser: own, learnHosts: async () => await Promise.resolve() };
  const paths = dataPaths(dataDir);
  const hostKeys = new HostKeys(paths.hostKeys, store);
  const history = { statements, releaseKeys: own.keys, logger };
  const newestReleased = async () => await newestLogged(history);
  const recorded = new RecordedStable({ statements, releaseKeys: own.keys, newestReleased });
  const keyOf = async (host: HostName) => await hostKeys.of(repositoryId(), host);
  return {
    releaser: guardedReleaser(own, {
      operatorKeys: { ...operatorKeys, exec },
      recorded,
      keyOf,
      newestOf: async (names) => await newestLoggedOf(history, names),
      async isToBeLogged({ host, sequence, toplevel }) {
        const { hosts } = await store.stable.unlogged(repositoryId());
        return hosts.some((each) => each.host === host && each.sequence === sequence && each.toplevel === toplevel);
      },
      usedWords: new UsedWords(paths.usedWords),
      store,
      clock,
    }),
    async learnHosts(signal) {
      while (!signal.aborted) {
        let isDone = false;
        try {
          await hostKeys.learn(repositoryId());
          isDone = true;
        } catch (error) {
          if (signal.aborted) return;
          logger.warn('the keys of new hosts could not be noted; trying again', { error: describeError(error) });
        }
        await clock.sleep(isDone ? LEARN_MS : RETRY_MS, signal);
      }
    },
  };
}
