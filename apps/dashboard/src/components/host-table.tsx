import type { HostView } from '@floe/protocol';
import { capitalised, firstLine, reasonOf, shortHash, standingWords, stepWords, todoOf, withShortPaths } from '@floe/views';
import { useRef } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import { formatRoute } from '../route.ts';
import { iconOf, otherNextBoot, toneOf } from '../standing.ts';
import { Age } from './age.tsx';
import { CommitLink } from './commit-link.tsx';
import { Icon } from './icon.tsx';
import { Presence } from './presence.tsx';
import { TableHead } from './table-head.tsx';

export interface HostTableProps {
  readonly dashboard: Dashboard;
  readonly hosts: readonly HostView[];
}

const COLUMNS = ['Host', 'Standing', 'Since', 'Runs', 'Should run', 'Connection'] as const;

/**
 * One row per host. The roles repeat what the elements mean because narrow screens lay the rows out as cards, and
 * browsers drop the meaning of a table that is not laid out as one.
 */
export function HostTable({ dashboard, hosts }: HostTableProps) {
  return (
    <table role="table" aria-labelledby="hosts-title">
      <TableHead columns={COLUMNS} />
      <tbody role="rowgroup">
        {hosts.map((host) => (
          <HostRow key={host.host} dashboard={dashboard} host={host} />
        ))}
      </tbody>
    </table>
  );
}

function HostRow({ dashboard, host }: { readonly dashboard: Dashboard; readonly host: HostView }) {
  const since = host.stateSince ?? host.desired?.since;
  return (
    <tr role="row" class="host-row">
      <th role="rowheader" scope="row" class="name">
        <a href={formatRoute({ kind: 'host', host: host.host })}>{host.host}</a>
      </th>
      <td role="cell" class="standing">
        <Standing host={host} />
      </td>
      <td role="cell" class="since" data-label="Since">
        {since === undefined ? '–' : <Age at={since} now={dashboard.now} />}
      </td>
      <td role="cell" data-label="Runs">
        <Runs host={host} />
      </td>
      <td role="cell" data-label="Should run">
        <ShouldRun host={host} />
      </td>
      <td role="cell" data-label="Connection">
        <Presence dashboard={dashboard} host={host} />
      </td>
    </tr>
  );
}

/** Shape, words and colour; it lights up for a moment when it changes, and not when it first appears. */
function Standing({ host }: { readonly host: HostView }) {
  const first = useRef(host.standing);
  const hasChanged = useRef(false);
  hasChanged.current ||= first.current !== host.standing;
  const reason = reasonOf(host);
  const step = host.standing === 'under-way' ? stepWords(host) : null;
  const todo = todoOf(host);
  return (
    <>
      <span key={host.standing} class={`mark tone-${toneOf(host)}${hasChanged.current ? ' changed' : ''}`}>
        <Icon name={iconOf(host)} />
        <span>{capitalised(standingWords(host))}</span>
      </span>
      {step !== null && <span class="hint">{step}</span>}
      {reason !== null && <span class="hint reason">{withShortPaths(firstLine(reason))}</span>}
      {todo !== null && <span class="todo">{todo}</span>}
    </>
  );
}

function Runs({ host }: { readonly host: HostView }) {
  const { observed, runs } = host;
  if (observed.current === null) return <>–</>;
  const nextBoot = otherNextBoot(host);
  return (
    <>
      {runs === null ? (
        <code title={observed.current}>{shortHash(observed.current)}</code>
      ) : (
        <CommitLink commit={runs.commit} subject={runs.subject} />
      )}
      {nextBoot !== null && (
        <span class="hint">
          starts <code title={nextBoot}>{shortHash(nextBoot)}</code> next time
        </span>
      )}
    </>
  );
}

function ShouldRun({ host: { desired, observed } }: { readonly host: HostView }) {
  if (desired === null) return <>–</>;
  if (desired.toplevel === observed.current) return <span class="aside">the same</span>;
  if (desired.commit === null) return <code title={desired.toplevel}>{shortHash(desired.toplevel)}</code>;
  return <CommitLink commit={desired.commit} subject={desired.subject} />;
}
