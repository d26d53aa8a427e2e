import type { StatementLog } from './statement-log.ts';

/**
 * The log of a server whose builder is a process of its own: who was enrolled, renamed and revoked. Releases that lie there are from before, when this
 * server signed them itself. They are not read, so that it does not tell hosts old ones, as if they were the newest, after the loss of a database.
 */
export function accessOnly(statements: StatementLog): StatementLog {
  return {
    ...statements,
    listReleases: async () => await Promise.resolve([]),
    read: async () => await statements.read([]),
    readRelease: async () => await Promise.resolve(undefined),
    readCheckpoint: async () => await Promise.resolve(undefined),
    highestStable: async () => await Promise.resolve(0),
    readStable: async () => await Promise.resolve({ statements: [], unusable: [] }),
  };
}
