import type { RevisionView } from '@floe/protocol';
import { branchInWords, capitalised, hasFailed, revisionWords } from '@floe/views';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { Age } from './age.tsx';
import { CommitLink, ForgeLink } from './commit-link.tsx';
import { Loaded, useAsked } from './loaded.tsx';
import { PageTitle } from './page-title.tsx';
import { TableHead } from './table-head.tsx';

export interface RevisionsPageProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
}

const COLUMNS = ['Commit', 'Received', 'State', 'Rollout', 'Forge'] as const;

/** All revisions that are kept, newest first, each with its result. */
export function RevisionsPage({ dashboard, fleet }: RevisionsPageProps) {
  const { revision: newest } = fleet;
  const asked = useAsked(async (signal) => await dashboard.api.revisions(undefined, signal), [newest?.sha]);
  return (
    <section class="panel revisions" aria-labelledby="page-title">
      <PageTitle>Revisions</PageTitle>
      <Loaded asked={asked}>
        {(first) =>
          first.length === 0 ? (
            <p>No revision yet: push a commit to {branchInWords(fleet.repository)}.</p>
          ) : (
            <Revisions key={first[0]?.sha} first={first} dashboard={dashboard} fleet={fleet} />
          )
        }
      </Loaded>
    </section>
  );
}

function Revisions({ first, dashboard, fleet }: RevisionsPageProps & { readonly first: readonly RevisionView[] }) {
  const older = useSignal<readonly RevisionView[]>([]);
  const isEnd = useSignal(false);
  const message = useSignal('');
  const leave = useSignal(new AbortController());
  useEffect(() => () => leave.value.abort(), []);
  // The newest is followed live; of the others the story is told.
  const shown = [...first, ...older.value].map((each) => (each.sequence === fleet.revision?.sequence ? fleet.revision : each));

  async function showOlder(): Promise<void> {
    message.value = 'Loading …';
    const answer = await dashboard.api.revisions(shown.at(-1)?.sequence, leave.value.signal);
    if (leave.value.signal.aborted) return;
    message.value = answer.kind === 'ok' ? '' : answer.message;
    if (answer.kind !== 'ok') return;
    older.value = [...older.value, ...answer.value];
    isEnd.value = answer.value.length === 0;
  }

  return (
    <>
      <table role="table" class="rows" aria-labelledby="page-title">
        <TableHead columns={COLUMNS} />
        <tbody role="rowgroup">
          {shown.map((revision) => (
            <tr role="row" key={revision.sequence}>
              <th role="rowheader" scope="row" class="name">
                <CommitLink commit={revision.sha} subject={revision.subject} />
                <span class="aside"> by {revision.author}</span>
              </th>
              <td role="cell" class="since" data-label="Received">
                <Age at={revision.receivedAt} now={dashboard.now} />
              </td>
              <td role="cell" data-label="State" class={hasFailed(revision) ? 'tone-bad' : undefined}>
                {capitalised(revisionWords(revision))}
              </td>
              <td role="cell" data-label="Rollout" class="detail">
                {revision.rollout === null ? (revision.error?.split('\n', 1)[0] ?? '–') : revision.rollout.description}
              </td>
              <td role="cell" data-label="Forge">
                <ForgeLink fleet={fleet} revision={revision} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="more">
        {isEnd.value ? (
          <span class="aside">These are all that are kept.</span>
        ) : (
          <button type="button" onClick={() => void showOlder()}>
            Show older
          </button>
        )}
        <span role="status">{message}</span>
      </p>
    </>
  );
}
