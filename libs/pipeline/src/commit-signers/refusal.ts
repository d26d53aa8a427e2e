import type { GitMirror } from '@floe/git';
import { MAX_SIGNER_CHARACTERS, signerName, storableText, type CommitSha } from '@floe/model';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { checkingSigners } from './signers.ts';

/** So many new commits are checked: each takes some hundredths of a second. */
const MAX_CHECKED = 2_000;
/** So many unsigned commits are named. */
const NAMED = 3;
const SETTINGS = 'FLOE_SSH_SIGNERS_FILE or FLOE_OPENPGP_SIGNERS_FILE';

export type SignerDeps = Pick<PipelineDeps, 'signers' | 'nameSettings' | 'newestReleased'> & {
  readonly store: Pick<PipelineDeps['store'], 'revisions'>;
  readonly mirror: GitMirror;
};

/** `signers`: who signed which of its new commits, each once. */
export type Signed = { readonly kind: 'signed'; readonly signers: readonly string[] } | { readonly kind: 'refused'; readonly why: string };

/** More of them are not noted: authors are told apart up to {@link MAX_NOTED}. */
const MAX_NOTED = 201;

/**
 * Who signed a commit and what it brought, or why it must not be used: it, or one that it brought since the newest commit that was published, is not signed by an allowed signer.
 * Before the first publication, and where the branch does not have that commit any more, it alone counts. Undefined: it may be used, or
 * the server's settings name no signers.
 */
export async function askSigners(
  { mirror, store, signers, newestReleased, nameSettings = (message) => message }: SignerDeps,
  repositoryId: string,
  sha: CommitSha,
): Promise<Signed | undefined> {
  if (signers === undefined) return undefined;
  const base = newestReleased === undefined ? (await store.revisions.newestPublishedOfBranch(repositoryId))?.sha : (await newestReleased())?.commit;
  const found = base === undefined ? 'unknown' : await mirror.newCommits(base, sha, MAX_CHECKED);
  if (found === 'too-many')
    return { kind: 'refused', why: `it brings more than ${MAX_CHECKED} commits, and each has to be signed: push it in parts` };
  // Also of a branch that was set back to a commit from before.
  const commits = new Set([...(found === 'unknown' ? [] : found), sha]);
  const who = new Set<string>();
  const problems = await checkingSigners(signers, async (verdictOf) => {
    const refused: string[] = [];
    for (const commit of commits) {
      const verdict = await verdictOf(await mirror.signedParts(commit));
      if (verdict.kind === 'signed') who.add(storableText(signerName(verdict.who) ?? verdict.who, MAX_SIGNER_CHARACTERS));
      else refused.push(await nameOf(mirror, commit, verdict.why));
      if (refused.length === NAMED) break;
    }
    return refused;
  });
  if (problems.length === 0) return { kind: 'signed', signers: [...who].slice(0, MAX_NOTED) };
  const sign =
    base === undefined
      ? 'git commit --amend --no-edit -S'
      : `git rebase --rebase-merges --exec 'git commit --amend --no-edit -S' ${base.slice(0, 10)}`;
  const why = [
    nameSettings(`this server takes only commits that an allowed signer signed (${SETTINGS}):`),
    ...problems,
    `Sign them, e.g. with: ${sign}; then push with --force-with-lease, and run: floe accept COMMIT --reason "…". Where a key expired that is allowed again, push one more signed commit`,
  ].join('\n');
  return { kind: 'refused', why };
}

/** Why no step of the revision may be taken; notes who signed it, which makes them its authors. Of a handover nothing is read from git. */
export async function unsignedOf(
  deps: SignerDeps,
  { id, repositoryId, sha, handoverId }: Pick<Revision, 'id' | 'repositoryId' | 'sha' | 'handoverId'>,
): Promise<string | undefined> {
  if (handoverId !== undefined) return undefined;
  const asked = await askSigners(deps, repositoryId, sha);
  if (asked?.kind === 'signed') await deps.store.revisions.noteSigners(id, asked.signers);
  return asked?.kind === 'refused' ? asked.why : undefined;
}

async function nameOf(mirror: GitMirror, sha: CommitSha, why: string): Promise<string> {
  const { subject, authorName } = await mirror.commit(sha);
  return `- ${sha.slice(0, 10)} (${subject || 'no subject'}, by ${authorName || 'nobody'}): ${why}`;
}

/** Why nobody may use the commit; undefined: it may be used. */
export async function refusalOfSigners(deps: SignerDeps, repositoryId: string, sha: CommitSha): Promise<string | undefined> {
  const asked = await askSigners(deps, repositoryId, sha);
  return asked?.kind === 'refused' ? asked.why : undefined;
}
