import { seal, type FreshnessStatement, type ReleaseStatement } from '@floe/protocol';
import type { Repository, Revision } from '@floe/store';
import type { PublishedHost } from './build.ts';
import type { PipelineDeps } from './deps.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Long, so that a laptop that was away for months is still served. Freshness tells it how old the news is. */
const RELEASE_LIFETIME_MS = 365 * DAY_MS;

export type ReleaseDeps = Pick<PipelineDeps, 'store' | 'statements' | 'releaseSigner' | 'clock'>;

/**
 * Signs one release per published host and hands them out: first to the statement log, then to the database, so that a
 * crash in between loses nothing (the log is read at the next start, and repeating the step writes the same).
 */
export async function releaseRevision(deps: ReleaseDeps, repository: Repository, revision: Revision, hosts: readonly PublishedHost[]): Promise<void> {
  const { store, statements, releaseSigner, clock } = deps;
  const issuedAt = clock.now();
  const releases = [];
  for (const published of hosts) {
    const statement: ReleaseStatement = {
      version: 1,
      repository: repository.url,
      ref: repository.ref,
      commit: revision.sha,
      sequence: revision.sequence,
      ...published,
      issuedAt,
      expiresAt: issuedAt + RELEASE_LIFETIME_MS,
    };
    const kept = await statements.appendRelease(seal(releaseSigner, 'floe/release', statement), statement);
    releases.push({
      host: published.host,
      sequence: revision.sequence,
      toplevel: published.toplevel,
      commit: revision.sha,
      issuedAt: kept.statement.issuedAt,
      envelope: JSON.stringify(kept.envelope),
    });
  }
  await store.releases.publish(revision.id, releases, clock.now());
  await signFreshness(deps, repository);
}

/** Says, signed, which sequence is the newest as of now. */
export async function signFreshness(deps: ReleaseDeps, repository: Repository): Promise<void> {
  const newest = (await deps.store.releases.latest(repository.id)).reduce((highest, release) => Math.max(highest, release.sequence), 0);
  const statement: FreshnessStatement = { version: 1, repository: repository.url, ref: repository.ref, sequence: newest, asOf: deps.clock.now() };
  const envelope = seal(deps.releaseSigner, 'floe/freshness', statement);
  await deps.store.releases.saveFreshness(repository.id, JSON.stringify(envelope), statement.sequence, statement.asOf);
}
