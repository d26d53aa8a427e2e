import type { HostName, StorePath } from '@floe/model';
import type { HostView, RevisionView } from '@floe/protocol';
import { useRef } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import { formatRoute } from '../route.ts';
import { commitOf, otherNextBoot, toneOf } from '../standing.ts';
import { capitalised, firstLine, reasonOf, shortHash, shortSha, standingWords, stepWords, todoOf, withShortPaths } from '@floe/views';
import { Age, Since } from './age.tsx';
import { HostPanel } from './host-panel.tsx';
import { Icon, type IconName } from './icon.tsx';

export interface HostTableProps {
  readonly dashboard: Dashboard;
  readonly hosts: readonly HostView[];
  readonly revision: RevisionView | null;
  /** The host whose details are unfolded. */
  readonly open: HostName | undefined;
}

const COLUMNS = ['Host', 'State', 'Since', 'Observed', 'Desired', 'Connection'] as const;

/**
 * One row per host. The roles repeat what the elements mean because narrow screens lay the rows out as cards, and
 * browsers drop the meaning of a table that is not laid out as one.
 */
export function HostTable({ dashboard, hosts, revision, open }: HostTableProps) {
  return (
    <table role="table" aria-labelledby="hosts-title">
      <thead role="rowgroup">
        <tr role="row">
          {COLUMNS.map((title) => (
            <th key={title} role="columnheader" scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {hosts.map((host) => (
          <HostRows key={host.host} dashboard={dashboard} host={host} revision={revision} isOpen={host.host === open} />
        ))}
      </tbody>
    </table>
  );
}

interface HostRowsProps {
  readonly dashboard: Dashboard;
  readonly host: HostView;
  readonly revision: RevisionView | null;
  readonly isOpen: boolean;
}

function HostRows({ dashboard, host, revision, isOpen }: HostRowsProps) {
  const { now } = dashboard;
  const panelId = `host-${host.host}`;
  const since = host.stateSince ?? host.desired?.since;
  function toggle(): void {
    // Who marks text to copy it does not want the row to move.
    if (getSelection()?.isCollapsed === false) return;
    location.hash = formatRoute(isOpen ? { kind: 'fleet' } : { kind: 'host', host: host.host });
  }
  return (
    <>
      {/* The click of the button, by mouse or key, bubbles here. */}
      <tr role="row" class={`host-row${isOpen ? ' open' : ''}`} onClick={toggle}>
        <th role="rowheader" scope="row" class="name">
          <button type="button" aria-expanded={isOpen} aria-controls={isOpen ? panelId : undefined}>
            {host.host}
          </button>
        </th>
        <td role="cell" class="standing">
          <Standing host={host} />
        </td>
        <td role="cell" class="since" data-label="Since">
          {since === undefined ? '–' : <Age at={since} now={now} />}
        </td>
        <td role="cell" data-label="Observed">
          <Observed host={host} revision={revision} />
        </td>
        <td role="cell" data-label="Desired">
          {host.desired === null ? '–' : <Generation toplevel={host.desired.toplevel} commit={host.desired.commit} />}
        </td>
        <td role="cell" data-label="Connection">
          <Presence dashboard={dashboard} host={host} />
        </td>
      </tr>
      {isOpen && (
        <tr role="row" class="panel-row" id={panelId}>
          <td role="cell" colSpan={COLUMNS.length}>
            <HostPanel dashboard={dashboard} host={host} />
          </td>
        </tr>
      )}
    </>
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
  const icon = iconOf(host);
  return (
    <>
      <span key={host.standing} class={`mark tone-${toneOf(host)}${hasChanged.current ? ' changed' : ''}`}>
        <Icon name={icon} />
        <span>{capitalised(standingWords(host))}</span>
      </span>
      {step !== null && <span class="hint">{step}</span>}
      {reason !== null && <span class="hint reason">{withShortPaths(firstLine(reason))}</span>}
      {todo !== null && <span class="todo">{todo}</span>}
    </>
  );
}

function iconOf(host: HostView): IconName {
  return host.standing === 'waiting' && host.state === 'BOOT_STAGED' ? 'restart' : host.standing;
}

function Observed({ host, revision }: { readonly host: HostView; readonly revision: RevisionView | null }) {
  const { current } = host.observed;
  if (current === null) return <>–</>;
  const nextBoot = otherNextBoot(host);
  return (
    <>
      <Generation toplevel={current} commit={commitOf(current, host, revision)} />
      {nextBoot !== null && (
        <span class="hint">
          starts <code title={nextBoot}>{shortHash(nextBoot)}</code> next time
        </span>
      )}
    </>
  );
}

function Generation({ toplevel, commit }: { readonly toplevel: StorePath; readonly commit: string | null }) {
  return (
    <span class="generation">
      <code title={toplevel}>{shortHash(toplevel)}</code>
      {commit !== null && (
        <span class="aside" title={`Commit ${commit}`}>
          {' '}
          from {shortSha(commit)}
        </span>
      )}
    </span>
  );
}

function Presence({ dashboard, host }: { readonly dashboard: Dashboard; readonly host: HostView }) {
  if (host.isConnected) {
    return (
      <span class="mark tone-good">
        <Icon name="online" /> <span>Online</span>
      </span>
    );
  }
  if (host.lastSeenAt === null) return <span class="aside">Never seen</span>;
  return (
    <span class="mark tone-quiet">
      <Icon name="away" />
      <span>
        Away since <Since at={host.lastSeenAt} now={dashboard.now} />
      </span>
    </span>
  );
}
