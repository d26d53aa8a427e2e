import { open, ReleaseStatement, EnrolmentStatement, RevocationStatement, type TrustedKey } from '@floe/protocol';
import { verifySignature, type Logger } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { StatementLog } from './statement-log.ts';

/**
 * Brings a database that lost rows (restored from yesterday, or empty) up to the statement log: the newest release of
 * every host, the sequence and the accepted commit, who is enrolled and who was revoked. Does nothing where the
 * database has it all. Run at every start, before any evaluation, so that the next revision continues above all that
 * was ever signed and no machine is moved back.
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
): Promise<{ readonly releases: number; readonly enrolments: number }> {
  const { store, statements, logger } = deps;
  const logged = await statements.read();
  let enrolments = 0;
  let releases = 0;

  for (const entry of logged.access) {
    if (entry.kind === 'enrolment') {
      const opened = open(entry.envelope, 'floe/enrolment', EnrolmentStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') {
        logger.warn('an enrolment in the statement log is not trusted', { host: entry.statement.host, why: opened.message });
        continue;
      }
      const { host, machineId, publicKey, enrolledAt } = opened.statement;
      const known = await store.hosts.get(host);
      if (known?.enrolledAt !== undefined && known.enrolledAt >= enrolledAt) continue;
      await store.hosts.enrol({ host, repositoryId: repository.id, machineId, publicKey, at: enrolledAt });
      enrolments += 1;
    } else {
      const opened = open(entry.envelope, 'floe/revocation', RevocationStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') continue;
      const known = await store.hosts.get(opened.statement.host);
      if (known?.publicKey === opened.statement.publicKey && known.revokedAt === undefined) {
        await store.hosts.revoke(opened.statement.host, opened.statement.revokedAt);
      }
    }
  }

  let highest: { sequence: number; commit: ReleaseStatement['commit'] } | undefined;
  const known = new Map((await store.releases.latest(repository.id)).map((release) => [release.host, release.sequence]));
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
    await store.hosts.ensure(repository.id, [statement.host]);
    const isImported = await store.releases.importStatement({
      repositoryId: repository.id,
      host: statement.host,
      sequence: statement.sequence,
      toplevel: statement.toplevel,
      commit: statement.commit,
      issuedAt: statement.issuedAt,
      envelope: JSON.stringify(envelope),
    });
    if (isImported) releases += 1;
  }
  await store.repositories.raiseSequence(repository.id, logged.sequence);
  if (highest !== undefined) {
    const row = await store.repositories.get(repository.id);
    await store.repositories.raiseSequence(repository.id, highest.sequence);
    if (row.acceptedCommit === undefined || row.sequence < highest.sequence) await store.repositories.accept(repository.id, highest.commit);
  }
  if (releases + enrolments > 0) logger.info('the database was rebuilt from the statement log', { releases, enrolments });
  return { releases, enrolments };
}
