import { capitalised, firstLine, switchTone, tookText, withShortPaths, words, type Switch } from '@floe/views';
import { Fragment } from 'preact';
import type { Dashboard } from '../dashboard.ts';
import { Age } from './age.tsx';
import { CommitLink } from './commit-link.tsx';
import { ReportTable } from './report-table.tsx';
import { TableHead } from './table-head.tsx';

const COLUMNS = ['When', 'Came to', 'Commit', 'Took', 'Why'] as const;

/** A host's history: one row for each switch, newest first; its reports and its log on demand. Roles: see the table of hosts. */
export function SwitchTable({ switches, dashboard }: { readonly switches: readonly Switch[]; readonly dashboard: Dashboard }) {
  if (switches.length === 0) return <p class="aside">It has not reported anything yet.</p>;
  return (
    <table role="table" class="rows switches" aria-label="Switches">
      <TableHead columns={COLUMNS} />
      <tbody role="rowgroup">
        {switches.map((each) => (
          <Fragment key={each.key}>
            <SwitchRow each={each} dashboard={dashboard} />
          </Fragment>
        ))}
      </tbody>
    </table>
  );
}

function SwitchRow({ each, dashboard }: { readonly each: Switch; readonly dashboard: Dashboard }) {
  const { commit } = each;
  return (
    <>
      <tr role="row">
        <td role="cell" class="since" data-label="When">
          <Age at={each.at} now={dashboard.now} />
        </td>
        <td role="cell" data-label="Came to" class={`tone-${switchTone(each)}`}>
          {capitalised(words(each.state))}
        </td>
        <td role="cell" data-label="Commit">
          {commit === null ? '–' : <CommitLink commit={commit.commit} subject={commit.subject} />}
        </td>
        <td role="cell" data-label="Took">
          {tookText(each) ?? '–'}
        </td>
        <td role="cell" data-label="Why" class="detail">
          {each.detail === null ? '–' : withShortPaths(firstLine(each.detail))}
        </td>
      </tr>
      <tr role="row" class="details-row">
        <td role="cell" colSpan={COLUMNS.length}>
          <details>
            <summary>Details</summary>
            <ReportTable reports={each.reports} dashboard={dashboard} />
          </details>
        </td>
      </tr>
    </>
  );
}
