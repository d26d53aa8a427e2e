import { NO_COMMIT, type HostName } from '@floe/model';
import { open, ReleaseStatement, storedEnvelope } from '@floe/protocol';
import { describeError, isFloeError, verifySignature } from '@floe/runtime';
import type { NewRelease, Repository, Submission } from '@floe/store';
import type { PublishedHost } from './building/publish-hosts.ts';
import { bugWords } from './bug-words.ts';
import type { PipelineDeps } from './deps.ts';
import { publishSystem, type PublishSystemDeps } from './building/publish-system.ts';
import { noteSequence } from './note-sequence.ts';
import { latestTime } from './release.ts';
import { signRelease } from './statements/sign-release.ts';

type SubmissionDeps = PublishSystemDeps &
  Pick<PipelineDeps, 'store' | 'statements' | 'releaseSigner' | 'clock' | 'refusesSubmissions' | 'ownEvaluations' | 'newestReleased'>;

/** Why a builder of its own process takes nothing that a server says was submitted. */
export const NOT_TAKEN =
  'the builder signs only what it evaluated itself: FLOE_TRUST_SERVER_WITH_SUBMISSIONS=yes of floe-builder lets whoever has the server, or its database, name systems';

const RELEASE_LIFETIME_MS = 365 * 24 * 3600_000;
/** What may succeed later is tried for so long. */
const TRY_FOR_MS = 3600_000;

/**
 * Publishes and signs the store paths that administrators named, one after another, and pins their hosts to them. Each step can be repeated: a
 * process that died is continued by the next holder of the lease. Resolves to true when nothing is left to try again.
 */
export async function publishSubmissions(deps: SubmissionDeps, repositoryId: string, signal: AbortSignal): Promise<boolean> {
  const { store, clock, logger } = deps;
  let isDone = true;
  for (const submission of await store.submissions.waiting(repositoryId)) {
    signal.throwIfAborted();
    const { id, host, toplevel } = submission;
    if (deps.refusesSubmissions === true) {
      await fail(deps, submission, NOT_TAKEN);
      continue;
    }
    try {
      await publishOne(deps, submission, signal);
    } catch (error) {
      signal.throwIfAborted();
      const isRetryable = isFloeError(error) && error.retryable && clock.now() - submission.at < TRY_FOR_MS;
      logger.warn('a store path could not be published', { host, toplevel, error, code: isFloeError(error) ? error.code : 'BUG' });
      const why = isFloeError(error) ? describeError(error) : bugWords('it', deps);
      if (isRetryable) {
        await store.submissions.note(id, why);
        isDone = false;
      } else await fail(deps, submission, why);
    }
  }
  return isDone;
}

async function fail({ store, clock, logger }: SubmissionDeps, { id, host, toplevel }: Submission, why: string): Promise<void> {
  const at = clock.now();
  const entry = { at, actor: 'floe', action: 'submit', subject: host, detail: `not pinned to ${toplevel}: ${why}` };
  if (await store.submissions.fail(id, why, at, entry)) logger.info('a store path was not taken', { host, toplevel, why });
}

async function publishOne(deps: SubmissionDeps, submission: Submission, signal: AbortSignal): Promise<void> {
  const { store, clock, logger } = deps;
  const { id, host, toplevel, expiresAt } = submission;
  if (expiresAt !== undefined && expiresAt <= clock.now()) {
    await fail(deps, submission, 'the pin was over before it was published');
    return;
  }
  const outcome = await publishSystem(deps, submission, signal);
  const row = await store.hosts.get(host);
  const why = outcome.kind === 'refused' ? outcome.why : whyNotNow(row, outcome.published.system);
  if (outcome.kind === 'refused' || why !== undefined) {
    await fail(deps, submission, why ?? '');
    return;
  }
  const sequence = await store.submissions.number(id);
  if (sequence === undefined) return;
  const far = await noteSequence(deps, { repositoryId: submission.repositoryId, sequence });
  if (far !== undefined) {
    await fail(deps, submission, far);
    return;
  }
  const repository = await store.repositories.get(submission.repositoryId);
  const published = { ...outcome.published, formerHost: await formerNameOf(deps, repository.id, host) };
  const release = await sign(deps, repository, published, sequence);
  const at = clock.now();
  const detail = `pin to ${toplevel} as revision #${sequence}: published and signed`;
  if (await store.submissions.finish(id, release, at, { at, actor: 'floe', action: 'submit', subject: host, detail }))
    logger.info('a host is pinned to a store path', { host, toplevel, sequence });
}

type HostNow = Awaited<ReturnType<SubmissionDeps['store']['hosts']['get']>>;

/** The host may have left, or become another machine, while its system was published. */
function whyNotNow(row: HostNow, system: string): string | undefined {
  if (row === undefined || row.publicKey === undefined || row.revokedAt !== undefined || row.clonedAt !== undefined)
    return 'the host is not enrolled any more';
  if (row.system !== undefined && row.system !== system) return `it is for ${system}, and the host is ${row.system}`;
  return undefined;
}

/** Of a machine that was renamed, by what the release key signed of its host last: until it runs a system of the new name, it takes nothing else. */
async function formerNameOf({ store, releaseSigner }: SubmissionDeps, repositoryId: string, host: HostName): Promise<HostName | undefined> {
  const newest = (await store.releases.latest(repositoryId)).find((each) => each.host === host);
  const stored = storedEnvelope(newest?.envelope);
  if (stored === undefined) return undefined;
  const opened = open(stored, 'floe/release', ReleaseStatement, [releaseSigner], verifySignature);
  return opened.kind === 'opened' ? opened.statement.formerHost : undefined;
}

/** First in the statement log, as every release. */
async function sign(deps: SubmissionDeps, repository: Repository, published: PublishedHost, sequence: number): Promise<NewRelease> {
  const { clock } = deps;
  const issuedAt = clock.now();
  const statement: ReleaseStatement = {
    version: 1,
    repository: repository.url,
    ref: repository.ref,
    commit: NO_COMMIT,
    sequence,
    ...published,
    purpose: 'submitted',
    issuedAt,
    expiresAt: (await latestTime(deps, repository)) + RELEASE_LIFETIME_MS,
  };
  const kept = await signRelease(deps, statement);
  const { host, toplevel } = published;
  return { host, sequence, toplevel, commit: NO_COMMIT, issuedAt: kept.statement.issuedAt, envelope: JSON.stringify(kept.envelope) };
}
