import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import { countAttention, countStandings, type HostFilter } from '../host-list.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { FLEET, formatRoute } from '../route.ts';
import type { Router } from '../router.ts';
import { count } from '@floe/views';
import { HostTable } from './host-table.tsx';

/** Rows drawn at once. Those that need a person come first, and the filter finds any other. */
const PAGE_ROWS = 200;

export interface HostSectionProps {
  readonly dashboard: Dashboard;
  readonly router: Router;
  readonly fleet: LiveFleet;
}

/** All hosts, to filter. */
export function HostSection({ dashboard, router, fleet }: HostSectionProps) {
  const limit = useSignal(PAGE_ROWS);
  const filter = dashboard.filter.value;
  useEffect(() => {
    limit.value = PAGE_ROWS;
  }, [filter.text, filter.onlyAttention]);
  if (fleet.hosts.size === 0) return <NoHosts hasRevision={fleet.revision !== null} />;

  const found = dashboard.hosts.value;
  const shown = found.slice(0, limit.value);
  const hidden = found.length - shown.length;
  const look = (next: HostFilter): void => router.replace({ kind: 'fleet', filter: next });
  return (
    <section class="panel hosts" aria-labelledby="hosts-title">
      <h2 id="hosts-title" class="overline">
        {count(fleet.hosts.size, 'host')}
      </h2>
      <Counts fleet={fleet} />
      <FilterBar filter={filter} onFilter={look} attention={countAttention(fleet)} found={found.length} />
      {shown.length === 0 ? <NoMatch filter={filter} /> : <HostTable dashboard={dashboard} hosts={shown} />}
      {hidden > 0 && (
        <p class="more">
          <button type="button" onClick={() => (limit.value += PAGE_ROWS)}>
            Show {Math.min(PAGE_ROWS, hidden)} more
          </button>
          <span class="aside">{count(hidden, 'host')} not shown: filter to find one.</span>
        </p>
      )}
    </section>
  );
}

/** How many stand where; each leads to those hosts. */
function Counts({ fleet }: { readonly fleet: LiveFleet }) {
  return (
    <ul class="counts" aria-label="Hosts by standing">
      {countStandings(fleet).map(({ text, count: number }) => (
        <li key={text}>
          <a href={formatRoute({ kind: 'fleet', filter: { text, onlyAttention: false } })}>
            {number.toLocaleString('en')} {text}
          </a>
        </li>
      ))}
    </ul>
  );
}

interface FilterBarProps {
  readonly filter: HostFilter;
  readonly onFilter: (filter: HostFilter) => void;
  readonly attention: number;
  readonly found: number;
}

function FilterBar({ filter, onFilter, attention, found }: FilterBarProps) {
  const isFiltered = filter.text.trim() !== '' || filter.onlyAttention;
  return (
    <search class="filter">
      <label for="filter">Filter</label>
      <input
        id="filter"
        type="search"
        placeholder="Name, state, commit, store path"
        value={filter.text}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => onFilter({ ...filter, text: event.currentTarget.value })}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={filter.onlyAttention}
          onChange={(event) => onFilter({ ...filter, onlyAttention: event.currentTarget.checked })}
        />
        Hosts that need attention ({attention.toLocaleString('en')})
      </label>
      <span class="aside found" role="status">
        {isFiltered ? `${count(found, 'host')} found` : ''}
      </span>
    </search>
  );
}

function NoMatch({ filter: { text, onlyAttention } }: { readonly filter: HostFilter }) {
  return (
    <p class="nothing">
      {text.trim() === '' && onlyAttention ? 'No host needs attention.' : 'No host matches this filter.'} <a href={formatRoute(FLEET)}>Show all</a>
    </p>
  );
}

function NoHosts({ hasRevision }: { readonly hasRevision: boolean }) {
  return (
    <section class="panel empty" aria-labelledby="hosts-title">
      <h2 id="hosts-title">No hosts yet</h2>
      <p>
        Hosts are what the repository's flake has in <code>nixosConfigurations</code>.{' '}
        {hasRevision ? 'The newest revision has none: add one and push it.' : 'They show up with the first revision that evaluates.'}
      </p>
      <p>Then enrol each machine; this prints what to do on it:</p>
      <pre class="command">floe enrol HOST</pre>
    </section>
  );
}
