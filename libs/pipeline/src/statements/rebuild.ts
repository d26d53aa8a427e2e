import { isCommit, isSequenceFarAhead, type HostName } from '@floe/model';
import { open, EnrolmentStatement, ReleaseStatement, RevocationStatement, type RenameStatement, type TrustedKey } from '@floe/protocol';
import { describeError, isFloeError, verifySignature, type AsyncSigner, type Clock, type Logger } from '@floe/runtime';
import type { DecisionStore, PlainStore, Repository } from '@floe/store';
import { readCovered, readHistory, writeCheckpoint, type LogHistory, type NewestRelease } from './newest-releases.ts';
import { LoggedRenames } from './logged-renames.ts';
import { restoreStable } from './stable-statements.ts';
import type { LoggedRelease, LoggedStatements, StatementLog } from './statement-log.ts';

/**
 * Completes a database that lost rows (restored from a backup, or empty) from the statement log: the newest release of every
 * host and its stable one, the sequence and the accepted commit, and who is enrolled, renamed or revoked. Does nothing when the database is complete. Runs at
 * every start, before any evaluation, so that the next revision continues above every signed sequence and no machine is moved
 * back. Branch and repository may have had other names when it was signed: there is one fleet, and sequences go on above it. A statement that the database rejects is skipped. What a checkpoint covers is not read again, unless the database lacks it.
 */
export async function rebuildFromStatements(
  deps: {
    readonly store: PlainStore;
    readonly clock: Clock;
    readonly statements: StatementLog;
    readonly releaseKeys: readonly TrustedKey[];
    readonly serverKeys: readonly TrustedKey[];
    readonly logger: Logger;
    /** Signs checkpoints of the log; without it none is written. */
    readonly checkpointSigner?: AsyncSigner;
  },
  repository: Pick<Repository, 'id'>,
): Promise<{ readonly releases: number; readonly enrolments: number; readonly unusable: readonly string[] }> {
  const { store, logger } = deps;
  let history = await readHistory(deps, { isWhole: false });
  const { access, sequence: notedSequence } = history.logged;
  const renames = LoggedRenames.read(access, deps.serverKeys, logger);
  let enrolments = 0;
  let releases = 0;

  /** What was decided before the database lost it, or before a crash between the statement and the database, is in its log again, too. */
  async function restored<Result>(
    action: 'enrol' | 'revoke' | 'rename',
    subject: string,
    act: (decisions: DecisionStore) => Promise<Result>,
    wordsOf: (result: Result) => string | undefined = () => 'from the statement log',
  ): Promise<Result> {
    return await store.decide(async (decisions) => {
      const result = await act(decisions);
      const detail = wordsOf(result);
      return { result, entries: detail === undefined ? [] : [{ at: deps.clock.now(), actor: 'floe', action, subject, detail }] };
    });
  }

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
    if (entry.kind === 'rename') {
      const trusted = renames.all.find((each) => each.host === entry.statement.host && each.renamedAt === entry.statement.renamedAt);
      if (trusted !== undefined) await bringBackName(trusted);
    } else if (entry.kind === 'enrolment') {
      const opened = open(entry.envelope, 'floe/enrolment', EnrolmentStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') {
        logger.warn('an enrolment in the statement log is not trusted', { host: entry.statement.host, why: opened.message });
        return;
      }
      const { host, machineId, publicKey, enrolledAt } = opened.statement;
      if (renames.isOver(host, enrolledAt)) return;
      const known = await store.hosts.get(host);
      if (known?.enrolledAt !== undefined && known.enrolledAt >= enrolledAt) return;
      const enrolment = { host, repositoryId: repository.id, machineId, publicKey, at: enrolledAt, isRestored: true };
      await restored('enrol', host, async ({ hosts }) => await hosts.enrol(enrolment));
      enrolments += 1;
    } else if (entry.kind === 'revocation') {
      const opened = open(entry.envelope, 'floe/revocation', RevocationStatement, deps.serverKeys, verifySignature);
      if (opened.kind !== 'opened') return;
      const known = await store.hosts.get(opened.statement.host);
      const { host, publicKey, revokedAt } = opened.statement;
      // A machine may be enrolled again with the key that it had: its earlier revocation is over.
      const isOver = known?.enrolledAt !== undefined && known.enrolledAt > revokedAt;
      if (known?.publicKey === publicKey && known.revokedAt === undefined && !isOver)
        await restored('revoke', host, async ({ hosts }) => await hosts.revoke(host, revokedAt));
    }
  }

  /** The machine is enrolled under its new name, with all that the database knows of the old one. */
  async function bringBackName(rename: RenameStatement): Promise<void> {
    const { formerHost, host, machineId, publicKey, renamedAt: at } = rename;
    const known = await store.hosts.get(host);
    const isKnown = known?.enrolledAt !== undefined && known.enrolledAt >= at;
    const renaming = { formerHost, host, publicKey, at, isRestored: true };
    const moved =
      isKnown || renames.isOver(host, at)
        ? undefined
        : await restored(
            'rename',
            formerHost,
            async ({ hosts }) => await hosts.rename(renaming),
            (came) => (came === 'renamed' ? `to ${host}: from the statement log` : undefined),
          );
    if (moved === 'not-enrolled')
      await restored(
        'enrol',
        host,
        async ({ hosts }) => await hosts.enrol({ host, repositoryId: repository.id, machineId, publicKey, at, isRestored: true }),
      );
    if (moved !== undefined) enrolments += 1;
  }

  const readKnown = async () => new Map((await store.releases.latest(repository.id)).map((release) => [release.host, release.sequence]));
  let known = await readKnown();
  // A host whose last statement is a revocation, and that a database with history does not know, was forgotten on purpose.
  const lastWord = new Map(access.map((entry) => [entry.statement.host, entry.kind]));
  const isForgotten = async (host: HostName): Promise<boolean> =>
    known.size > 0 && lastWord.get(host) === 'revocation' && (await store.hosts.get(host)) === undefined;
  for (const entry of access) {
    const { host } = entry.statement;
    await apart(host, async () => ((await isForgotten(host)) ? undefined : await bringBackAccess(entry)));
  }
  for (const [formerHost, { host, renamedAt }] of renames.aliases()) await store.hosts.noteRenamed(formerHost, host, renamedAt);
  if (renames.all.length > 0) known = await readKnown();
  async function restore({ envelope, statement }: LoggedRelease): Promise<boolean> {
    const { sequence, toplevel, commit, issuedAt, purpose } = statement;
    const host = renames.nameNow(statement.host, sequence);
    await store.hosts.ensure(repository.id, [host]);
    const signed = { envelope: JSON.stringify(envelope), isSubmitted: purpose === 'submitted' };
    const release = { repositoryId: repository.id, host, sequence, toplevel, commit, issuedAt, ...signed };
    return await store.releases.importStatement(release);
  }

  /** Restores the newest release of a host that the database takes; false: only the whole log can tell. */
  async function restoreNewest(candidates: readonly NewestRelease[]): Promise<boolean> {
    for (const candidate of candidates) {
      const host = renames.nameNow(candidate.host, candidate.sequence);
      if (candidate.sequence <= (known.get(host) ?? -1)) return true;
      const logged = await readCovered(deps, candidate);
      if (logged === undefined) return false;
      let isRestored = false;
      await apart(host, async () => void (isRestored = await restore(logged)));
      if (!isRestored) {
        logger.info('a release in the statement log was never handed out, and is left out', { host, sequence: candidate.sequence });
        continue;
      }
      releases += 1;
      known.set(host, candidate.sequence);
      return true;
    }
    return history.checkpoint === undefined;
  }

  async function restoreReleases({ newest }: LogHistory): Promise<boolean> {
    for (const candidates of newest.all) if (!(await restoreNewest(candidates))) return false;
    return true;
  }

  if (!(await restoreReleases(history))) {
    logger.warn('the database lacks a release that the checkpoint of the statement log does not tell: the whole log is read');
    history = await readHistory(deps, { isWhole: true });
    await restoreReleases(history);
  }
  // So that a host that was pinned to one is known to have been told it.
  for (const { envelope } of history.logged.releases) {
    const opened = open(envelope, 'floe/release', ReleaseStatement, deps.releaseKeys, verifySignature);
    if (opened.kind !== 'opened' || opened.statement.purpose !== 'submitted') continue;
    const { statement } = opened;
    if (statement.sequence > (known.get(renames.nameNow(statement.host, statement.sequence)) ?? -1))
      await apart(statement.host, async () => void (await restore({ envelope, statement })));
  }
  const restoreRelease = async (logged: LoggedRelease): Promise<void> => await apart(logged.statement.host, async () => void (await restore(logged)));
  const unusable = [...history.logged.unusable, ...(await restoreStable({ ...deps, renames, restoreRelease }, repository))];
  const newest = history.newest.all.flat();
  const highest = highestOf(newest);
  // What was submitted without a commit says nothing of the branch.
  const ofBranch = highestOf(newest.filter(({ commit }) => isCommit(commit)));
  // Whatever noted it, nothing that is signed leads there: who continued above it would be refused.
  if (isSequenceFarAhead(notedSequence, highest?.sequence))
    logger.error('the sequence in the statement log is far above the newest release in it, and is left out', { sequence: notedSequence });
  else await store.repositories.raiseSequence(repository.id, notedSequence);
  if (highest !== undefined) {
    const row = await store.repositories.get(repository.id);
    await store.repositories.raiseSequence(repository.id, highest.sequence);
    const isBehind = row.acceptedCommit === undefined || row.sequence < highest.sequence;
    if (isBehind && ofBranch !== undefined) await store.repositories.accept(repository.id, ofBranch.commit);
  }
  if (releases + enrolments > 0) logger.info('the database was rebuilt from the statement log', { releases, enrolments });
  if (deps.checkpointSigner !== undefined) await writeCheckpoint(deps, deps.checkpointSigner, history);
  return { releases, enrolments, unusable };
}

function highestOf(releases: readonly NewestRelease[]): NewestRelease | undefined {
  return releases.reduce<NewestRelease | undefined>((most, each) => (each.sequence > (most?.sequence ?? -1) ? each : most), undefined);
}
