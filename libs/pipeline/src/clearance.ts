import type { Revision } from '@floe/store';
import { failedCheck } from './building/checks.ts';
import type { PipelineDeps } from './deps.ts';
import { farAhead } from './note-sequence.ts';
import { overtaken } from './overtaken.ts';
import { unsignedOf } from './commit-signers/refusal.ts';

declare const CLEARED: unique symbol;

/** A revision of which releases may be signed. Only {@link clear} makes one. */
export type ClearedRevision = Revision & { readonly [CLEARED]: true };

export type Clearance =
  | { readonly kind: 'cleared'; readonly revision: ClearedRevision }
  /** Why nothing of it may be built or released. */
  | { readonly kind: 'refused'; readonly why: string };

/**
 * Why nothing of the revision may be evaluated: nobody allowed signed it. Not asked again once a host has a release of it, where the database is
 * believed.
 */
export async function unsignedUntilReleased(deps: PipelineDeps, revision: Revision): Promise<string | undefined> {
  const hasReleases = deps.ownEvaluations === undefined && (await deps.store.releases.hostsOf(revision.id)).size > 0;
  return hasReleases ? undefined : await unsignedOf(deps, revision);
}

/**
 * Asks what stands before the first release of a revision, whoever builds it and whenever: its signatures, and the checks that its policy names. Of
 * one that is published the checks have passed, where the database is believed. What was submitted has neither.
 */
export async function clear(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<Clearance> {
  const havePassed = revision.handoverId !== undefined || (revision.state === 'PUBLISHED' && deps.ownEvaluations === undefined);
  const why =
    (await unsignedUntilReleased(deps, revision)) ??
    (await farAhead(deps, revision)) ??
    (await overtaken(deps, revision)) ??
    (havePassed ? undefined : await failedCheck(deps, revision, signal));
  return why === undefined ? { kind: 'cleared', revision: revision as ClearedRevision } : { kind: 'refused', why };
}

/** The answer of the first call, for all. */
export function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return async () => await (asked ??= ask());
}
