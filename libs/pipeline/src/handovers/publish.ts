import { handoverSha, type HostName, type StorePath } from '@floe/model';
import { describeError, isFloeError } from '@floe/runtime';
import type { Handover, HandoverSystems } from '@floe/store';
import { buildRoot } from '../building/build-roots.ts';
import { bugWords } from '../bug-words.ts';
import type { PipelineDeps } from '../deps.ts';
import { publishSystem } from '../building/publish-system.ts';
import { NOT_TAKEN } from '../submissions.ts';
import { refusalToSubmit } from './compare.ts';
import { commitOf } from './named-commit.ts';

type HandoverDeps = Pick<
  PipelineDeps,
  'store' | 'nix' | 'cache' | 'mirror' | 'clock' | 'logger' | 'rootsDir' | 'policyFloor' | 'refusesSubmissions' | 'newestReleased' | 'ownEvaluations'
>;

/** What may succeed later is tried for so long. */
const TRY_FOR_MS = 3600_000;
const CONCURRENCY = 4;
/** So many entries are named in a refusal. */
const NAMED = 20;

/**
 * Publishes what CIs submitted, one file after another of each person, and makes each a revision once all of its systems are in the cache: then it is signed
 * and rolled out as any other. One bad entry refuses the whole file. Each step can be repeated: a process that died is continued by the next
 * holder of the lease. Resolves to true when nothing is left to try again.
 */
export async function publishHandovers(deps: HandoverDeps, repositoryId: string, signal: AbortSignal, onTaken: () => void): Promise<boolean> {
  const { store, clock, logger } = deps;
  // In the order in which they came: a later one does not pass it. Those of others may, so that no CI keeps others from the fleet.
  const held = new Set<string>();
  for (const handover of await store.handovers.waiting(repositoryId)) {
    signal.throwIfAborted();
    const { id, at, person } = handover;
    if (held.has(person)) continue;
    if (deps.refusesSubmissions === true) {
      await refuse(deps, handover, NOT_TAKEN);
      continue;
    }
    try {
      const waits = await publishOne(deps, handover, signal);
      if (waits === undefined) {
        onTaken();
        continue;
      }
      await store.handovers.note(id, waits);
      held.add(person);
    } catch (error) {
      signal.throwIfAborted();
      logger.warn('what was submitted could not be published', { handover: id, error, code: isFloeError(error) ? error.code : 'BUG' });
      const why = isFloeError(error) ? describeError(error) : bugWords('it', deps);
      if (isFloeError(error) && error.retryable && clock.now() - at < TRY_FOR_MS) {
        await store.handovers.note(id, why);
        held.add(person);
      } else await refuse(deps, handover, why);
    }
  }
  return held.size === 0;
}

async function refuse({ store, clock, logger }: HandoverDeps, { id, commit, contentHash }: Handover, why: string): Promise<void> {
  const at = clock.now();
  const subject = commit ?? handoverSha(contentHash);
  const entry = { at, actor: 'floe', action: 'submit-release', subject, detail: `not taken: ${why}` };
  if (await store.handovers.refuse(id, why, at, entry)) logger.info('what was submitted is not taken', { handover: id, why });
}

/** Resolves to what it still waits for; undefined: it is a revision, or refused. */
async function publishOne(deps: HandoverDeps, handover: Handover, signal: AbortSignal): Promise<string | undefined> {
  const { store, clock, logger } = deps;
  const { id, repositoryId, by } = handover;
  const paths = new Map([...(await store.handovers.systems(id))].map(([host, { toplevel }]) => [host, toplevel]));
  const commit = await commitOf(deps, handover, paths.size);
  if (commit.kind === 'waits') return commit.why;
  const early =
    commit.kind === 'refused' ? commit.why : await refusalToSubmit(deps, repositoryId, paths, await store.revisions.newestPublished(repositoryId));
  if (early !== undefined || commit.kind === 'refused') {
    await refuse(deps, handover, early ?? '');
    return undefined;
  }
  const { systems, refused } = await publishSystems(deps, handover, paths, signal);
  if (refused.length > 0) {
    await refuse(deps, handover, [...refused.slice(0, NAMED), ...(refused.length > NAMED ? [`and ${refused.length - NAMED} more`] : [])].join('\n'));
    return undefined;
  }
  // Large systems take minutes to publish: a newer commit may have come, or the branch was rewritten.
  for (;;) {
    const now = await commitOf(deps, handover, paths.size);
    if (now.kind === 'waits') return now.why;
    if (now.kind === 'refused') {
      await refuse(deps, handover, now.why);
      return undefined;
    }
    const revision = await store.handovers.take(id, { ...now.info, signers: now.signers, head: now.head }, systems, clock.now());
    if (revision === 'moved') {
      signal.throwIfAborted();
      continue;
    }
    if (revision === 'busy') return 'it is published, and waits until the commits before it are built';
    if (revision !== undefined) logger.info('what was submitted is a revision', { by, sequence: revision.sequence, hosts: systems.size });
    return undefined;
  }
}

interface PublishedSystems {
  readonly systems: HandoverSystems;
  /** A line for each entry that cannot be taken. */
  readonly refused: readonly string[];
}

/** Each path once, however many hosts it is for. */
async function publishSystems(
  deps: HandoverDeps,
  { repositoryId }: Handover,
  paths: ReadonlyMap<HostName, StorePath>,
  signal: AbortSignal,
): Promise<PublishedSystems> {
  const { store, nix, rootsDir } = deps;
  const rows = new Map((await store.hosts.list(repositoryId, [...paths.keys()])).map((row) => [row.host, row]));
  const refused = [...paths].flatMap(([host]) => (rows.has(host) ? [] : [`${host}: there is no host of that name`]));
  const systems = new Map<HostName, { readonly toplevel: StorePath; readonly system: string }>();
  const queue = [...Map.groupBy([...paths], ([, toplevel]) => toplevel)];
  const decided = new AbortController();
  const step = AbortSignal.any([signal, decided.signal]);
  async function publishPath(toplevel: StorePath, hosts: readonly HostName[]): Promise<void> {
    const [first] = hosts;
    if (first === undefined) return;
    const outcome = await publishSystem(deps, { repositoryId, host: first, toplevel }, step, rootsDir).catch((error: unknown) => {
      if (!isFloeError(error) || error.retryable || step.aborted) throw error;
      return { kind: 'refused' as const, why: describeError(error) };
    });
    for (const host of hosts) {
      const needed = rows.get(host)?.system;
      if (outcome.kind === 'refused') refused.push(`${host}: ${toplevel}: ${outcome.why}`);
      else if (needed !== undefined && needed !== outcome.published.system)
        refused.push(`${host}: ${toplevel}: it is for ${outcome.published.system}, and the host is ${needed}`);
      else systems.set(host, { toplevel, system: outcome.published.system });
      if (outcome.kind === 'published' && host !== first && (await nix.isValid(toplevel)))
        await nix.addRoot(buildRoot(rootsDir, host, toplevel), toplevel);
    }
  }
  async function worker(): Promise<void> {
    for (let next = queue.shift(); next !== undefined && !step.aborted; next = queue.shift()) {
      const [toplevel, entries] = next;
      const hosts = entries.map(([host]) => host);
      await publishPath(toplevel, hosts);
    }
  }
  const workers = Array.from({ length: CONCURRENCY }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    decided.abort();
    await Promise.allSettled(workers);
    throw error;
  }
  signal.throwIfAborted();
  return { systems, refused: refused.toSorted() };
}
