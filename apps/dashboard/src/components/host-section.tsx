import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import { countAttention, countStandings } from '../host-list.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { formatRoute, type Route } from '../route.ts';
import { count } from '@floe/views';
import { HostTable } from './host-table.tsx';

/** Rows drawn at once. Those that need a person come first, and the filter finds any other. */
const PAGE_ROWS = 200;

export interface HostSectionProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
  readonly route: Route;
}

/** All hosts, to filter. */
export function HostSection({ dashboard, fleet, route }: HostSectionProps) {
  const limit = useSignal(PAGE_ROWS);
  const filter = dashboard.filter.value;
  useEffect(() => {
    limit.value = PAGE_ROWS;
  }, [filter]);
  if (fleet.hosts.size === 0) return <NoHosts hasRevision={fleet.revision !== null} />;

  const found = dashboard.hosts.value;
  const open = route.kind === 'host' ? fleet.names.find((name) => name === route.host) : undefined;
  const shown = found.slice(0, limit.value);
  const opened = open === undefined ? undefined : fleet.hosts.get(open);
  // A link to a host shows it wherever it is in the list.
  if (opened !== undefined && !shown.includes(opened)) shown.unshift(opened);
  const hidden = found.length - Math.min(found.length, limit.value);
  return (
    <section class="panel hosts" aria-labelledby="hosts-title">
      <h2 id="hosts-title" class="overline">
        {count(fleet.hosts.size, 'host')}{' '}
        <span class="aside">
          {countStandings(fleet)
            .map((each) => `${each.count.toLocaleString('en')} ${each.text}`)
            .join(', ')}
        </span>
      </h2>
      <FilterBar dashboard={dashboard} attention={countAttention(fleet)} found={found.length} />
      {route.kind === 'host' && open === undefined && (
        <p class="nothing">
          There is no host {route.host} in this fleet. <a href={formatRoute({ kind: 'fleet' })}>Show all</a>
        </p>
      )}
      {shown.length === 0 ? (
        <NoMatch dashboard={dashboard} />
      ) : (
        <HostTable dashboard={dashboard} hosts={shown} revision={fleet.revision} open={open} />
      )}
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

function FilterBar({ dashboard, attention, found }: { readonly dashboard: Dashboard; readonly attention: number; readonly found: number }) {
  const filter = dashboard.filter.value;
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
        onInput={(event) => (dashboard.filter.value = { ...filter, text: event.currentTarget.value })}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={filter.onlyAttention}
          onChange={(event) => (dashboard.filter.value = { ...filter, onlyAttention: event.currentTarget.checked })}
        />
        Hosts that need attention ({attention.toLocaleString('en')})
      </label>
      <span class="aside found" role="status">
        {isFiltered ? `${count(found, 'host')} found` : ''}
      </span>
    </search>
  );
}

function NoMatch({ dashboard }: { readonly dashboard: Dashboard }) {
  const { text, onlyAttention } = dashboard.filter.value;
  return (
    <p class="nothing">
      {text.trim() === '' && onlyAttention ? 'No host needs attention.' : 'No host matches this filter.'}{' '}
      <button type="button" onClick={() => (dashboard.filter.value = { text: '', onlyAttention: false })}>
        Show all
      </button>
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
