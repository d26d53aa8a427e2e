import type { HostName } from '@floe/model';
import { open, ReleaseStatement, EnrolmentStatement, RevocationStatement, type TrustedKey } from '@floe/protocol';
import { describeError, isFloeError, verifySignature, type Logger } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { LoggedStatements, StatementLog } from './statement-log.ts';

/**
 * Completes a database that lost rows (restored from a backup, or empty) from the statement log: the newest release of every
 * host, the sequence and the accepted commit, and who is enrolled or revoked. Does nothing when the database is complete. Runs at
 * every start, before any evaluation, so that the next revision continues above every signed sequence and no machine is moved
 * back. A statement that the database rejects is skipped.
 */
export async function rebuildFromStatements(
  deps: {
    readonly store: Store;
    readonly statements: StatementLog;
    readonly releaseKeys: readonly TrustedKey[];
    readonly serverKeys: readonly TrustedKey[];
    readonly logger: Logger;
  },
  repository: { readonly id: string; readonly url: string; readonly ref: string },
): Promise<{ readonly releases: number; readonly enrolments: number; readonly unusable: readonly string[] }> {
  const { store, statements, logger } = deps;
  const logged = await statements.read();
  let enrolments = 0;
  let releases = 0;

  /** An error about one statement skips it; a database that does not answer stops the rebuild. */
  async function apart(host: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (isFloeError(error) && error.retryable) throw error;
      logger.error('a statement of the log could not be restored', { host, error: describeError(error) });
    }
  }

  async function bringBackAccess(entry: LoggedStatements['access'][number]): Promise<void> {
    if (entry.kind === 'enrolment') {
      const opened = open(entry.envelope, 'floe/enrolment', EnrolmentStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') {
        logger.warn('an enrolment in the statement log is not trusted', { host: entry.statement.host, why: opened.message });
        return;
      }
      const { host, machineId, publicKey, enrolledAt } = opened.statement;
      const known = await store.hosts.get(host);
      if (known?.enrolledAt !== undefined && known.enrolledAt >= enrolledAt) return;
      await store.hosts.enrol({ host, repositoryId: repository.id, machineId, publicKey, at: enrolledAt });
      enrolments += 1;
    } else {
      const opened = open(entry.envelope, 'floe/revocation', RevocationStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') return;
      const known = await store.hosts.get(opened.statement.host);
      if (known?.publicKey === opened.statement.publicKey && known.revokedAt === undefined) {
        await store.hosts.revoke(opened.statement.host, opened.statement.revokedAt);
      }
    }
  }

  let highest: { sequence: number; commit: ReleaseStatement['commit'] } | undefined;
  const known = new Map((await store.releases.latest(repository.id)).map((release) => [release.host, release.sequence]));
  // A host whose last statement is a revocation, and that a database with history does not know, was forgotten on purpose.
  const lastWord = new Map(logged.access.map((entry) => [entry.statement.host, entry.kind]));
  const isForgotten = async (host: HostName): Promise<boolean> =>
    known.size > 0 && lastWord.get(host) === 'revocation' && (await store.hosts.get(host)) === undefined;
  for (const entry of logged.access) {
    const { host } = entry.statement;
    await apart(host, async () => ((await isForgotten(host)) ? undefined : await bringBackAccess(entry)));
  }
  for (const { envelope } of logged.releases) {
    const opened = open(envelope, 'floe/release', ReleaseStatement, deps.releaseKeys, verifySignature);
    if (opened.kind !== 'opened') {
      logger.warn('a release in the statement log is not trusted', { why: opened.message });
      continue;
    }
    const statement = opened.statement;
    if (statement.repository !== repository.url || statement.ref !== repository.ref) continue;
    if (highest === undefined || statement.sequence > highest.sequence) highest = statement;
    if (statement.sequence <= (known.get(statement.host) ?? -1)) continue;
    await apart(statement.host, async () => {
      await store.hosts.ensure(repository.id, [statement.host]);
      const { host, sequence, toplevel, commit, issuedAt } = statement;
      const release = { repositoryId: repository.id, host, sequence, toplevel, commit, issuedAt, envelope: JSON.stringify(envelope) };
      if (await store.releases.importStatement(release)) releases += 1;
    });
  }
  await store.repositories.raiseSequence(repository.id, logged.sequence);
  if (highest !== undefined) {
    const row = await store.repositories.get(repository.id);
    await store.repositories.raiseSequence(repository.id, highest.sequence);
    if (row.acceptedCommit === undefined || row.sequence < highest.sequence) await store.repositories.accept(repository.id, highest.commit);
  }
  if (releases + enrolments > 0) logger.info('the database was rebuilt from the statement log', { releases, enrolments });
  return { releases, enrolments, unusable: logged.unusable };
}
