import type { CommitSha, HostName } from './brands.ts';

/** Why a commit waits for a person, and what that person is asked to accept. */
export type HoldCause =
  /** The branch was rewritten: commits that this one had are gone. */
  | { readonly kind: 'force-push'; readonly accepted: CommitSha }
  /** Far fewer hosts are in it: these would go. */
  | { readonly kind: 'shrink'; readonly gone: readonly HostName[] };

/** A commit that waits for a person. */
export interface HeldCommit {
  readonly commit: CommitSha;
  readonly reason: string;
  readonly since: number;
  /** Undefined: it was held by a version that did not record it, and is held again with it. */
  readonly cause?: HoldCause | undefined;
  /** An id of the cause: an acceptance that names it is for nothing else. */
  readonly seen?: string | undefined;
}

/** What a person accepted of a commit. */
export interface AcceptedHold {
  readonly commit: CommitSha;
  readonly cause: HoldCause | undefined;
}

/**
 * Whether somebody accepted this of the commit. What was accepted is no word about a hold of another kind, nor about more than was shown: other
 * commits that are lost, or another host that goes.
 */
export function isAccepted(accepted: AcceptedHold | undefined, commit: CommitSha, cause: HoldCause | undefined): boolean {
  if (cause === undefined || accepted?.commit !== commit) return false;
  const seen = accepted.cause;
  if (cause.kind === 'force-push') return seen?.kind === 'force-push' && seen.accepted === cause.accepted;
  if (seen?.kind !== 'shrink') return false;
  const shown = new Set(seen.gone);
  return cause.gone.every((host) => shown.has(host));
}
