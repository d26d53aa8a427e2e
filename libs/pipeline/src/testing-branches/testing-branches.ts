import type { BranchList } from '@floe/git';
import { whyNoTrial, type CommitSha, type HostName, type StorePath, type TestingNews } from '@floe/model';
import { describeError, isFloeError } from '@floe/runtime';
import type { FleetHost, Repository, TestingBranch } from '@floe/store';
import { describeTesting, trialEndWords } from '@floe/views';
import type { PublishedHost } from '../building/publish-hosts.ts';
import { bugWords } from '../bug-words.ts';
import type { PipelineDeps } from '../deps.ts';
import { buildOne, evaluateOne } from './build-one.ts';
import { planTesting, TESTING_FOLDER } from './plan.ts';
import { MAX_TRIAL_MS, sealTrial } from './seal-trial.ts';
import type { TestingDeps } from './testing-deps.ts';

/** A trial that would be shorter is not begun. */
const SHORTEST_MS = 60_000;
/** A webhook may be faster than the branch that it announces, because forges answer from replicas. */
const LOOK_AGAIN_MS = 10_000;
/** After a failure of the git server that names no time, the next try. */
const AWAY_MS = 60_000;

export type TestingPipelineDeps = PipelineDeps & { readonly testing: TestingDeps };

/** The server ends it, and says why. */
const DELETED = 'its branch was deleted';
const REPLACED = 'a newer push to its branch replaced it';
/** The last words about a head of which no trial came. */
const NEVER_TRIED: ReadonlySet<TestingNews['kind']> = new Set<TestingNews['kind']>(['refused', 'no-trial', 'not-on-top', 'too-late']);
const NOT_FOLLOWED = 'the server does not follow testing branches any more';

/**
 * Follows the branches `testing/<host>` on top of the tracked one: of each head that one host is built, signed as a trial, and the host asked
 * to try it. Nothing of it is a revision: no rollout, no gate and no stable system knows of it, and the policy in it is not read. Each head
 * begins one trial at most, which ends 24 hours after the head was first seen, whatever is repeated.
 */
export class TestingBranches {
  readonly #deps: TestingPipelineDeps;
  readonly #repositoryId: string;
  #seenHints = -1;
  #nextLookAt = 0;

  constructor(deps: TestingPipelineDeps, repositoryId: string) {
    this.#deps = deps;
    this.#repositoryId = repositoryId;
  }

  /** Looks at all branches, if it is time. Whatever it does stops when `signal` aborts, and is begun again by the next turn. False: it is off. */
  async turn(signal: AbortSignal): Promise<boolean> {
    const { store, testing, clock, pollMs, logger } = this.#deps;
    const repository = await store.repositories.get(this.#repositoryId);
    const rows = await store.testing.list(this.#repositoryId);
    if (testing.limit === 0 && rows.length === 0) return false;
    const isAsked = repository.hintCount !== this.#seenHints;
    await this.#followTrials(rows);
    if (!isAsked && clock.monotonic() < this.#nextLookAt) return true;

    const listed = await this.#list(repository, signal);
    if (listed === undefined) return true;
    const hosts = new Set((await store.hosts.list(this.#repositoryId)).map(({ host }) => host));
    const { follow, nameless, gone, leftOut } = planTesting(listed, rows, hosts, { limit: testing.limit, now: clock.now() });
    if (leftOut > 0 || !listed.isComplete) logger.warn('there are more testing branches than are followed', { leftOut, limit: testing.limit });
    for (const branch of gone) await this.#leave(branch, testing.limit === 0 ? NOT_FOLLOWED : DELETED);
    for (const { name, head } of nameless) await testing.tell(store, head, { kind: 'no-host', name });
    for (const { host, head } of follow) {
      signal.throwIfAborted();
      await this.#tryHead(
        repository,
        { host, head },
        rows.find((row) => row.host === host),
        signal,
      );
    }
    this.#seenHints = repository.hintCount;
    this.#nextLookAt = clock.monotonic() + (isAsked ? Math.min(LOOK_AGAIN_MS, pollMs) : pollMs);
    return true;
  }

  /** Undefined: not now. The tracked branch's own look shows what is wrong with the git server. */
  async #list({ hintCount }: Repository, signal: AbortSignal): Promise<BranchList | undefined> {
    const { testing, clock, logger } = this.#deps;
    if (testing.limit === 0) return { branches: [], isComplete: true };
    try {
      return await testing.branches(TESTING_FOLDER, signal);
    } catch (error) {
      if (signal.aborted || !isFloeError(error)) throw error;
      logger.warn('the testing branches could not be listed', { error });
      const { retryAfterMs } = error.data;
      this.#seenHints = hintCount;
      this.#nextLookAt = clock.monotonic() + (typeof retryAfterMs === 'number' ? retryAfterMs : AWAY_MS);
      return undefined;
    }
  }

  /** Says on commits how their trials ended. */
  async #followTrials(rows: readonly TestingBranch[]): Promise<void> {
    const { store } = this.#deps;
    const trying = rows.filter(({ state }) => state === 'TRYING');
    if (trying.length === 0) return;
    const { hosts } = await store.hosts.fleet(
      this.#repositoryId,
      trying.map(({ host }) => host),
    );
    const byHost = new Map(hosts.map((each) => [each.row.host, each]));
    for (const branch of trying) {
      const { trial, endedTrial } = byHost.get(branch.host) ?? {};
      if (trial !== undefined && trial.id === branch.trialId) continue;
      if (endedTrial === undefined || endedTrial.id !== branch.trialId)
        await this.#finish(branch, { kind: 'over', result: 'another trial replaced it' });
      else await this.#finish(branch, { kind: endedTrial.hasFailed ? 'failed' : 'over', result: endedTrial.result });
    }
  }

  async #tell({ head, host }: Pick<TestingBranch, 'head' | 'host'>, news: TestingNews): Promise<void> {
    const { store, testing } = this.#deps;
    await testing.tell(store, head, { ...news, host });
  }

  /** The last word about this head. Told first: what is told twice is told once. What the head before it began ends, too: its commit says so. */
  async #finish(branch: TestingBranch, news: TestingNews): Promise<void> {
    const { store, clock } = this.#deps;
    const { host, trialId } = branch;
    if (branch.state !== 'TRYING' && trialId !== undefined) await store.hosts.endTrial({ host, id: trialId }, REPLACED, clock.now());
    await this.#tell(branch, news);
    if (NEVER_TRIED.has(news.kind)) await this.#noteRefusal(branch, news);
    await store.testing.save({ ...branch, state: 'DONE' });
  }

  /** Whoever looks at the host sees it there, too, and in the log of decisions. Twice is as once. */
  async #noteRefusal(branch: TestingBranch, news: TestingNews): Promise<void> {
    const { store, clock } = this.#deps;
    const { host, head } = branch;
    const { endedTrial } = (await store.hosts.fleet(this.#repositoryId, [host])).hosts[0] ?? {};
    // Its row becomes that of this one.
    if (endedTrial?.isEndLogged === false)
      await store.hosts.logTrialEnd(endedTrial, {
        at: endedTrial.endedAt,
        actor: 'floe',
        action: 'try',
        subject: host,
        detail: trialEndWords(endedTrial),
      });
    const { by } = await this.#pusher(branch);
    const result = describeTesting({ ...news, host }).description;
    if (endedTrial?.commit !== head || endedTrial.result !== result)
      await store.testing.refuse(branch, { by, reason: reasonOf(host), result, endedAt: clock.now() });
  }

  async #pusher({ host, head }: TestingBranch): Promise<{ readonly pusher: string | undefined; readonly by: string }> {
    const pusher = await this.#deps.store.deliveries.pusherOf(this.#repositoryId, refOf(host), head);
    return { pusher, by: pusher === undefined ? 'floe' : `floe (pushed by ${pusher})` };
  }

  /** The branch is not there any more, or not followed: its trial ends. */
  async #leave(branch: TestingBranch, why: string): Promise<void> {
    const { store, clock, logger } = this.#deps;
    const { host, trialId, state } = branch;
    if (trialId !== undefined && (await store.hosts.endTrial({ host, id: trialId }, why, clock.now())))
      logger.info('a trial was ended', { host, why });
    if (state !== 'DONE') await this.#tell(branch, state === 'TRYING' ? { kind: 'over', result: why } : { kind: 'gone' });
    await store.testing.remove(branch);
  }

  async #tryHead(
    repository: Repository,
    { host, head }: { readonly host: HostName; readonly head: CommitSha },
    row: TestingBranch | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock, logger } = this.#deps;
    const { acceptedCommit: tracked } = repository;
    const isSame = row?.head === head;
    if (tracked === undefined || (isSame && row.state !== 'SEEN')) return;
    if (row !== undefined && !isSame && row.state !== 'DONE') await this.#tell(row, { kind: 'replaced' });
    const branch: TestingBranch = isSame
      ? row
      : { repositoryId: repository.id, host, head, seenAt: clock.now(), state: 'SEEN', trialId: row?.trialId };
    await store.testing.save(branch);
    try {
      await this.#advance(repository, tracked, branch, signal);
    } catch (error) {
      signal.throwIfAborted();
      logger.warn('a testing branch could not be tried', { host, head, error, code: isFloeError(error) ? error.code : 'BUG' });
      // Of what may succeed later, the next look tries again.
      if (isFloeError(error) && error.retryable) return;
      const why = isFloeError(error) ? describeError(error) : bugWords('this commit', this.#deps);
      await this.#finish(branch, { kind: 'refused', why });
    }
  }

  async #advance(repository: Repository, tracked: CommitSha, branch: TestingBranch, signal: AbortSignal): Promise<void> {
    const { testing } = this.#deps;
    const { host, head } = branch;
    await this.#tell(branch, { kind: 'working' });
    await using mirror = await testing.open(`${TESTING_FOLDER}${host}`);
    const outcome = await mirror.fetch(tracked, signal);
    // It moved since it was listed: the next look sees that.
    if (outcome.head !== head) return;
    if (outcome.kind === 'diverged') {
      await this.#finish(branch, { kind: 'not-on-top', tracked, branch: repository.branch });
      return;
    }
    const deps = { ...this.#deps, mirror };
    const evaluated = await evaluateOne(deps, { repositoryId: repository.id, host }, head, signal);
    if (evaluated.kind === 'refused') {
      await this.#finish(branch, evaluated);
      return;
    }
    // Before the build, which may take hours, and after it.
    if ((await this.#willing(branch, evaluated.toplevel)) === undefined) return;
    const built = await buildOne(deps, { repositoryId: repository.id, host }, evaluated, signal);
    if (built.kind === 'refused') await this.#finish(branch, built);
    else await this.#begin(repository, branch, built.published);
  }

  /** The host, if it can be asked to try the system; if not, that is the last word. */
  async #willing(branch: TestingBranch, toplevel: StorePath): Promise<FleetHost | undefined> {
    const [host] = (await this.#deps.store.hosts.fleet(this.#repositoryId, [branch.host])).hosts;
    const because = host === undefined ? 'HOST_NOT_ENROLLED' : whyNoTrial(trialFactsOf(host), toplevel);
    if (because !== undefined) await this.#finish(branch, { kind: 'no-trial', because });
    return because === undefined ? host : undefined;
  }

  async #begin(repository: Repository, branch: TestingBranch, published: PublishedHost): Promise<void> {
    const { store, releaseSigner, clock, logger } = this.#deps;
    const { host, head } = branch;
    const { toplevel } = published;
    if ((await this.#willing(branch, toplevel)) === undefined) return;
    const now = clock.now();
    const endsAt = Math.min(branch.seenAt, now) + MAX_TRIAL_MS;
    if (endsAt - now < SHORTEST_MS) {
      await this.#finish(branch, { kind: 'too-late' });
      return;
    }
    const ref = refOf(host);
    const { url, sequence } = repository;
    const statement = { version: 1, repository: url, ref, commit: head, sequence, ...published } as const;
    const latest = await store.releases.highestAsOf(repository.id);
    const envelope = await sealTrial(releaseSigner, statement, { now, latest, forMs: endsAt - now });
    const { pusher, by } = await this.#pusher(branch);
    const reason = reasonOf(host);
    const trial = { host, toplevel, sequence, commit: head, envelope: JSON.stringify(envelope), by, reason, at: now, endsAt };
    const pushed = pusher === undefined ? '' : `, pushed by ${pusher}`;
    const detail = `tries ${head.slice(0, 10)} until ${new Date(endsAt).toISOString()}: ${reason}${pushed}`;
    await store.decide(async ({ testing }) => ({
      result: await testing.begin(branch, trial),
      entries: [{ at: now, actor: 'floe', action: 'try', subject: host, detail }],
    }));
    logger.info('a host is asked to try a testing branch', { host, commit: head, pusher });
    await this.#tell(branch, { kind: 'trying', endsAt });
  }
}

function refOf(host: HostName): string {
  return `refs/heads/${TESTING_FOLDER}${host}`;
}

function reasonOf(host: HostName): string {
  return `the branch ${TESTING_FOLDER}${host}`;
}

/** What is known of a host that is asked to try a system. */
export function trialFactsOf({ row, situation }: FleetHost) {
  return {
    isEnrolled: row.publicKey !== undefined && row.revokedAt === undefined && row.clonedAt === undefined,
    knowsTrials: row.capabilities?.includes('trial'),
    quarantined: situation.quarantined,
    ordered: new Set(situation.ordered?.keys()),
    observed: row.observed,
  };
}
