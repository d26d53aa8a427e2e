import type { RevisionView } from '@floe/protocol';
import {
  capitalised,
  duration,
  hasPlan,
  outcomeWords,
  planCommand,
  revisionDecisions,
  shortHash,
  shortSha,
  standingName,
  standingTone,
} from '@floe/views';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { formatRoute } from '../route.ts';
import { DecisionsWithCommands } from './decision-button.tsx';
import { HostLink } from './host-link.tsx';
import { Icon } from './icon.tsx';
import { Loaded, useAsked } from './loaded.tsx';
import { PageTitle } from './page-title.tsx';
import { Revision } from './revision.tsx';
import { TableHead } from './table-head.tsx';

export interface RevisionPageProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
  readonly sha: string;
}

/** More hosts than this are left to `floe revisions SHA`. */
const MAX_ROWS = 500;

/** One revision: the newest as it stands, an older one as it was when a newer one took its place. */
export function RevisionPage({ dashboard, fleet, sha }: RevisionPageProps) {
  const newest = fleet.revision?.sha.startsWith(sha) === true ? fleet.revision : null;
  const asked = useAsked(
    async (signal) => (newest === null ? await dashboard.api.revision(sha, signal) : { kind: 'ok' as const, value: newest }),
    [sha, newest],
  );
  return (
    <section class="panel revision" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Path">
        <a href={formatRoute({ kind: 'revisions' })}>All revisions</a>
      </nav>
      <PageTitle>Revision {shortSha(sha)}</PageTitle>
      <Loaded asked={newest === null ? asked : { ...asked, answer: { kind: 'ok', value: newest } }}>
        {(revision) => (
          <>
            <Revision revision={revision} fleet={fleet} dashboard={dashboard}>
              {revision.sha === newest?.sha ? <p class="overline">Newest revision</p> : null}
            </Revision>
            <DecisionsWithCommands dashboard={dashboard} decisions={revisionDecisions(revision, newest !== null, fleet.repository.held)} />
            {hasPlan(revision) && (
              <p class="aside">
                Who gets it when, and under which gates: <code>{planCommand(shortSha(revision.sha))}</code>
              </p>
            )}
            <NotInSync revision={revision} fleet={fleet} />
            <Outcomes revision={revision} fleet={fleet} />
          </>
        )}
      </Loaded>
    </section>
  );
}

/** Who is not on it, or was not when it ended, and why. */
function NotInSync({ revision: { rollout }, fleet }: { readonly revision: RevisionView; readonly fleet: LiveFleet }) {
  if (rollout === null || rollout.hosts.length === 0) return null;
  return (
    <section aria-labelledby="not-in-sync">
      <h3 id="not-in-sync" class="overline">
        {rollout.frozenAt === null ? 'Hosts that do not run it' : 'Hosts that did not run it when it was superseded'}
      </h3>
      <table role="table" class="rows" aria-labelledby="not-in-sync">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">
              Host
            </th>
            <th role="columnheader" scope="col">
              Standing
            </th>
            <th role="columnheader" scope="col">
              Reason
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rollout.hosts.map(({ host, standing, reason }) => (
            <tr role="row" key={host}>
              <th role="rowheader" scope="row" class="name">
                <HostLink fleet={fleet} name={host} />
              </th>
              <td role="cell">
                <span class={`mark tone-${standingTone(standing)}`}>
                  <Icon name={standing} />
                  <span>{capitalised(standingName(standing))}</span>
                </span>
              </td>
              <td role="cell" class="detail">
                {reason ?? '–'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** What the commit meant for each host. */
function Outcomes({ revision: { hosts }, fleet }: { readonly revision: RevisionView; readonly fleet: LiveFleet }) {
  if (hosts.length === 0) return null;
  return (
    <details class="outcomes">
      <summary>What it meant for each host ({hosts.length.toLocaleString('en')})</summary>
      <table role="table" class="rows" aria-label="What it meant for each host">
        <TableHead columns={['Host', 'Outcome', 'Evaluated in', 'Built in', 'System']} />
        <tbody role="rowgroup">
          {hosts.slice(0, MAX_ROWS).map(({ host, outcome, evaluateMs, buildMs, toplevel }) => (
            <tr role="row" key={host}>
              <th role="rowheader" scope="row" class="name">
                <HostLink fleet={fleet} name={host} />
              </th>
              <td role="cell" data-label="Outcome">
                {outcome === null ? 'Not known yet' : capitalised(outcomeWords(outcome))}
              </td>
              <td role="cell" data-label="Evaluated in">
                {evaluateMs === null ? '–' : duration(evaluateMs)}
              </td>
              <td role="cell" data-label="Built in">
                {buildMs === null ? '–' : duration(buildMs)}
              </td>
              <td role="cell" data-label="System">
                {toplevel === null ? '–' : <code title={toplevel}>{shortHash(toplevel)}</code>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {hosts.length > MAX_ROWS && <p class="aside">And {(hosts.length - MAX_ROWS).toLocaleString('en')} more: floe revisions lists them.</p>}
    </details>
  );
}
