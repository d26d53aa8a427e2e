import type { RevisionView } from '@floe/protocol';
import { commitPage, shortSha } from '@floe/views';
import type { LiveFleet } from '../live-fleet.ts';
import { formatRoute } from '../route.ts';

/** A commit by its name, which leads to its page here; with its subject where that is known. */
export function CommitLink({ commit, subject }: { readonly commit: string; readonly subject?: string | null }) {
  return (
    <span class="commit">
      <a href={formatRoute({ kind: 'revision', sha: commit })} title={commit}>
        <code>{shortSha(commit)}</code>
      </a>
      {subject != null && <span class="commit-subject"> {subject}</span>}
    </span>
  );
}

/** The commit on its forge, where that is known. */
export function ForgeLink({ fleet, revision }: { readonly fleet: LiveFleet; readonly revision: Pick<RevisionView, 'sha'> }) {
  const page = commitPage(fleet.repository.url, revision.sha);
  if (page === null) return null;
  return (
    <a href={page} rel="noreferrer">
      On {new URL(page).hostname}
    </a>
  );
}
