import type { SelfMention } from '@floe/git';
import { isCommit, type CommitSha, type HostName } from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import type { Evaluation, Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import { addressOfAnother } from './source.ts';

/** So many of the hosts that a commit changed are asked first, and so many of all when one of them depends on it. */
const ASKED_FIRST = 2;
const ASKED_AT_MOST = 50;
const NAMED = 3;

interface Asked {
  readonly host: HostName;
  readonly drvPath: string;
}

/** Hosts whose systems change with every commit. */
export interface SelfUse {
  readonly hosts: readonly HostName[];
  /** How many were asked. */
  readonly of: number;
  /** They change with another commit of the same files, or only when a file changes that nothing needs. */
  readonly kind: 'commit' | 'files';
  readonly mentions: readonly SelfMention[];
}

/**
 * Looks, while nothing else is to be done, whether the commit itself is in the systems of the hosts that a published revision changed: they are evaluated
 * at another commit that differs in nothing that a system needs. What was found is advice of the repository, until a later look finds nothing.
 */
export class SelfWatch {
  readonly #deps: PipelineDeps;
  #looked: string | undefined;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  /** One look at each revision. Another commit ends it, and it is not repeated. */
  async look(revision: Revision, signal: AbortSignal): Promise<void> {
    const { store, logger } = this.#deps;
    const isTurn = this.#deps.looksForSelf === true && revision.state === 'PUBLISHED' && this.#looked !== revision.id;
    if (!isTurn || revision.handoverId !== undefined || !isCommit(revision.sha)) return;
    this.#looked = revision.id;
    await bestEffort(logger, 'looking for the commit in the systems', undefined, async () => {
      const use = await findSelfUse(this.#deps, revision.sha, await store.revisions.evaluations(revision.id), signal);
      if (use === 'not-known' || signal.aborted) return;
      await store.repositories.noteAdvice(revision.repositoryId, use === undefined ? undefined : selfUseWords(use));
    });
  }
}

type UseDeps = Pick<PipelineDeps, 'mirror' | 'repositoryNix' | 'limits' | 'source'>;

/** Undefined: the hosts that were asked do not depend on it. 'not-known': the revision changed none, or the look was ended. */
export async function findSelfUse(
  deps: UseDeps,
  sha: CommitSha,
  rows: readonly Evaluation[],
  signal: AbortSignal,
): Promise<SelfUse | undefined | 'not-known'> {
  const hosts = rows.flatMap(({ host, outcome, drvPath }) =>
    drvPath === undefined ? [] : [{ host, drvPath, hasChanged: outcome === 'CHANGED' || outcome === 'NEW' }],
  );
  const first = hosts.filter(({ hasChanged }) => hasChanged).slice(0, ASKED_FIRST);
  if (first.length === 0) return 'not-known';
  const withFile = await addressOfAnother(deps, sha, true);
  const found = await differing(deps, withFile, first, signal);
  if (signal.aborted) return 'not-known';
  if (found.length === 0) return undefined;
  const rest = hosts.filter((each) => !first.includes(each)).slice(0, ASKED_AT_MOST - first.length);
  const others = await differing(deps, withFile, rest, signal);
  const byCommit = await differing(deps, await addressOfAnother(deps, sha, false), found.slice(0, 1), signal);
  if (signal.aborted) return 'not-known';
  const kind = byCommit.length > 0 ? 'commit' : 'files';
  const mentions = await deps.mirror.selfMentions(sha);
  const named = mentions.filter((mention) => mention.kind === kind);
  const all = [...found, ...others].map(({ host }) => host).toSorted();
  return {
    hosts: all,
    of: first.length + rest.length,
    kind,
    mentions: named.length > 0 ? named : mentions.filter((mention) => mention.kind === 'whole'),
  };
}

/** Which of the hosts have another system there. One that does not evaluate there is none. */
async function differing(
  { repositoryNix, limits }: UseDeps,
  address: string,
  hosts: readonly Asked[],
  signal: AbortSignal,
): Promise<readonly Asked[]> {
  const results = new Map<HostName, HostEvaluation>();
  if (hosts.length === 0 || signal.aborted) return [];
  await repositoryNix.evaluateHosts(
    address,
    hosts.map(({ host }) => host),
    {
      concurrency: limits.evaluations,
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
      isAsked: () => false,
      onResult: (result) => results.set(result.host, result),
    },
  );
  return hosts.filter(({ host, drvPath }) => {
    const result = results.get(host);
    return result?.kind === 'evaluated' && result.drvPath !== drvPath;
  });
}

/** "every host changes with every commit: modules/nix.nix:18 puts the commit or its date into the system" */
export function selfUseWords({ hosts, of, kind, mentions }: SelfUse): string {
  const [one] = hosts;
  const isMany = hosts.length > 1;
  const who = hosts.length === of && isMany ? 'every host changes' : isMany ? `${hosts.length} of ${of} hosts change` : `${one} changes`;
  const what = kind === 'commit' ? 'the commit or its date' : 'the path or the list of all files';
  const places = mentions.slice(0, NAMED).map(({ path, line }) => `${path}:${line}`);
  const [place] = places;
  const more = mentions.length > NAMED ? ', …' : '';
  const where =
    place === undefined
      ? `${what} is in the system`
      : places.length === 1
        ? `${place} puts ${what} into the system`
        : `${what} is in the system, by one of these lines: ${places.join(', ')}${more}`;
  const ways =
    kind === 'commit'
      ? 'take it out, or set evaluate.source = "tree"'
      : 'name files by their paths (./secrets/a.yaml), or set evaluate.ignore for those that no system needs';
  return `${who} with every commit: ${where}. To change that, ${ways} (docs/configuration.md, "The commit in the system")`;
}
