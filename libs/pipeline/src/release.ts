import type { HostName } from '@floe/model';
import { sealAsync, type FreshnessStatement } from '@floe/protocol';
import type { NewRelease, Repository } from '@floe/store';
import type { PublishedHost } from './building/publish-hosts.ts';
import type { ClearedRevision } from './clearance.ts';
import type { PipelineDeps } from './deps.ts';
import { boundedLatest } from './far-ahead.ts';
import { signedOf } from './signed-of.ts';
import { keepCheckpoint } from './statements/newest-releases.ts';
import { signRelease } from './statements/sign-release.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Long, so that a laptop that was away for months is still served. The freshness statement limits how old a release may be. */
const RELEASE_LIFETIME_MS = 365 * DAY_MS;
/** A release is signed again this long before it expires: longer than most machines are away. */
const RENEW_BEFORE_MS = 120 * DAY_MS;
const FRESHNESS_MS = 3600_000;
/** So many are signed side by side: a key that is elsewhere takes its time for each. */
const SIGNED_TOGETHER = 16;
/** What is signed is handed out after this long, while the rest is being signed. */
const HAND_OUT_MS = 2_000;

export type ReleaseDeps = Pick<PipelineDeps, 'store' | 'statements' | 'releaseSigner' | 'clock' | 'newestReleased'>;

/**
 * Signs one release per published host and hands it out: first into the statement log, then into the database, so that a crash between
 * them loses nothing (the log is read at the next start, and repeating the step signs only what is missing there). `isLast`: no other host of the
 * revision is built any more, and it is published, with all of these hosts or not yet. Hosts that are built late are the last ones each time, also of
 * a revision that had failed. Where some cannot be signed the others have their releases, and the reason is thrown.
 */
export async function releaseHosts(
  deps: ReleaseDeps,
  repository: Repository,
  revision: ClearedRevision,
  hosts: readonly PublishedHost[],
  isLast = true,
): Promise<void> {
  const { store, clock } = deps;
  const handOut = async (releases: readonly NewRelease[]): Promise<void> => {
    // Of the first one on the sequence is the newest. Signed before: what is handed out is not without it.
    const isFirst = (await store.releases.hostsOf(revision.id)).size === 0;
    const freshness = isFirst ? await sealFreshness(deps, repository, revision.sequence) : undefined;
    const handed = await store.releases.handOut(revision.id, releases, clock.now());
    if (handed.kind === 'handed-out') await freshness?.save();
  };
  let signed: NewRelease[] = [];
  let handedAt = clock.monotonic();
  let failure: { readonly error: unknown } | undefined;
  for (let from = 0; from < hosts.length; from += SIGNED_TOGETHER) {
    const some = await signTogether(deps, repository, revision, hosts.slice(from, from + SIGNED_TOGETHER));
    signed.push(...some.releases);
    failure ??= some.failure;
    // Whatever makes the signatures makes none: the rest would only wait for it, too.
    if (some.releases.length === 0) break;
    if (isLast || clock.monotonic() - handedAt < HAND_OUT_MS) continue;
    await handOut(signed);
    signed = [];
    handedAt = clock.monotonic();
  }
  if (failure === undefined && isLast) {
    const freshness = await sealFreshness(deps, repository, signed.length === 0 ? 0 : revision.sequence);
    const published = await store.releases.publish(revision.id, signed, clock.now());
    if (published.kind === 'published') await freshness.save();
  } else if (!isLast && signed.length > 0) await handOut(signed);
  if (failure !== undefined) throw failure.error;
}

/** Of these hosts the releases that could be signed, and why others could not. */
async function signTogether(
  deps: ReleaseDeps,
  repository: Repository,
  revision: ClearedRevision,
  hosts: readonly PublishedHost[],
): Promise<{ readonly releases: readonly NewRelease[]; readonly failure: { readonly error: unknown } | undefined }> {
  const issuedAt = deps.clock.now();
  const expiresAt = (await latestTime(deps, repository)) + RELEASE_LIFETIME_MS;
  const { sequence, sha: commit } = revision;
  const about = { version: 1, repository: repository.url, ref: repository.ref, commit, sequence, issuedAt, expiresAt } as const;
  const results = await Promise.allSettled(hosts.map(async (published) => await signRelease(deps, { ...about, ...published })));
  const releases = results.flatMap((result) =>
    result.status === 'rejected'
      ? []
      : [
          {
            host: result.value.statement.host,
            sequence,
            toplevel: result.value.statement.toplevel,
            commit,
            issuedAt: result.value.statement.issuedAt,
            envelope: JSON.stringify(result.value.envelope),
          },
        ],
  );
  const failed = results.find((result) => result.status === 'rejected');
  return { releases, failure: failed === undefined ? undefined : { error: failed.reason } };
}

/**
 * The latest time that this server ever used in a statement, or now. Hosts remember that time and judge later statements by it.
 * If the clock had been ahead, a release that expires by the correct time would already have expired for them. By how much is bounded,
 * as the database may be in other hands.
 */
export async function latestTime({ store, clock }: Pick<ReleaseDeps, 'store' | 'clock'>, repository: Repository): Promise<number> {
  return boundedLatest(await store.releases.highestAsOf(repository.id), clock.now());
}

/** Signs which sequence is the newest as of now. */
export async function signFreshness(deps: ReleaseDeps, repository: Repository): Promise<void> {
  await (await sealFreshness(deps, repository, 0)).save();
}

/** The same, for whom saves it. `coming`: the sequence that is handed out before that. */
async function sealFreshness(deps: ReleaseDeps, repository: Repository, coming: number): Promise<{ readonly save: () => Promise<void> }> {
  const latest = await deps.store.releases.latest(repository.id);
  const logged = await deps.newestReleased?.();
  // Hosts remember the newest sequence: where the database is not believed, it is one that was signed.
  const newest = latest.reduce(
    (highest, { sequence, envelope }) => Math.max(highest, logged === undefined ? sequence : (signedOf(deps, envelope)?.sequence ?? 0)),
    Math.max(coming, logged?.sequence ?? 0),
  );
  const statement: FreshnessStatement = { version: 1, repository: repository.url, ref: repository.ref, sequence: newest, asOf: deps.clock.now() };
  const envelope = await sealAsync(deps.releaseSigner, 'floe/freshness', statement);
  return { save: async () => await deps.store.releases.saveFreshness(repository.id, JSON.stringify(envelope), statement.sequence, statement.asOf) };
}

/**
 * Signs releases again that expire soon by the time that hosts remember: of a host that did not change for a year, or all of them
 * after a clock that was far ahead was corrected. Resolves to their hosts.
 */
async function renewReleases(deps: ReleaseDeps, repository: Repository): Promise<HostName[]> {
  const { store, statements, releaseSigner, clock } = deps;
  const latest = await latestTime(deps, repository);
  const renewed: HostName[] = [];
  const releases = [...(await store.releases.latest(repository.id)), ...(await store.releases.submitted(repository.id))];
  for (const { id, host, envelope } of releases) {
    const signed = signedOf(deps, envelope);
    if (signed === undefined || signed.expiresAt >= latest + RENEW_BEFORE_MS) continue;
    const statement = { ...signed, issuedAt: clock.now(), expiresAt: latest + RELEASE_LIFETIME_MS };
    const sealed = await sealAsync(releaseSigner, 'floe/release', statement);
    await store.confirmLease();
    await statements.writeRelease(sealed, statement);
    await store.releases.renew(id, JSON.stringify(sealed));
    renewed.push(host);
  }
  return renewed;
}

/** Renews what expires: the freshness statement every hour, and releases before their end. */
export class FreshnessKeeper {
  readonly #deps: ReleaseDeps & Pick<PipelineDeps, 'logger'>;
  #signed: { readonly now: number; readonly monotonic: number } | undefined;

  constructor(deps: ReleaseDeps & Pick<PipelineDeps, 'logger'>) {
    this.#deps = deps;
  }

  /** Every hour, and immediately when the clock was changed, because earlier statements may have wrong times. */
  #isDue(): boolean {
    if (this.#signed === undefined) return true;
    const { clock } = this.#deps;
    const passed = clock.monotonic() - this.#signed.monotonic;
    return passed > FRESHNESS_MS || Math.abs(clock.now() - this.#signed.now - passed) > FRESHNESS_MS;
  }

  async keep(repository: Repository): Promise<void> {
    if (!this.#isDue()) return;
    const { clock, logger } = this.#deps;
    const signed = { now: clock.now(), monotonic: clock.monotonic() };
    await signFreshness(this.#deps, repository);
    const renewed = await renewReleases(this.#deps, repository);
    const { statements, releaseSigner } = this.#deps;
    await keepCheckpoint({ statements, releaseKeys: [releaseSigner], logger }, releaseSigner);
    if (renewed.length > 0) logger.info('releases were signed again before they expire', { hosts: renewed.length });
    this.#signed = signed;
  }
}
