import type { ReportView } from '@floe/protocol';
import { Fragment } from 'preact';
import type { Dashboard } from '../dashboard.ts';
import { capitalised, shortHash, timingsText, words } from '@floe/views';
import { Age } from './age.tsx';
import { ReportLog } from './report-log.tsx';
import { TableHead } from './table-head.tsx';

const COLUMNS = ['When', 'State', 'About', 'Observed', 'Took', 'Detail'] as const;

/** What a host said, newest first. Roles: see the table of hosts. */
export function ReportTable({ reports, dashboard }: { readonly reports: readonly ReportView[]; readonly dashboard: Dashboard }) {
  return (
    <table role="table" class="reports" aria-label="Reports">
      <TableHead columns={COLUMNS} />
      <tbody role="rowgroup">
        {reports.map((report) => (
          <Fragment key={`${report.series} ${report.seq}`}>
            <tr role="row">
              <td role="cell" data-label="When">
                <Age at={report.receivedAt} now={dashboard.now} />
              </td>
              <td role="cell" data-label="State">
                {capitalised(words(report.state))}
              </td>
              <td role="cell" data-label="About">
                <Hash path={report.toplevel} />
              </td>
              <td role="cell" data-label="Observed">
                <Hash path={report.observed.current} />
              </td>
              <td role="cell" data-label="Took">
                {timingsText(report.timings) || '–'}
              </td>
              <td role="cell" data-label="Detail" class="detail">
                {report.detail?.message ?? '–'}
              </td>
            </tr>
            {report.hasLog && (
              <tr role="row" class="log-row">
                <td role="cell" colSpan={COLUMNS.length}>
                  <ReportLog api={dashboard.api} report={report} title="Log" />
                </td>
              </tr>
            )}
          </Fragment>
        ))}
      </tbody>
    </table>
  );
}

function Hash({ path }: { readonly path: ReportView['toplevel'] }) {
  return path === null ? <>–</> : <code title={path}>{shortHash(path)}</code>;
}
