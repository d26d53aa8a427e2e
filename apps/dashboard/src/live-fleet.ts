import type { HostName } from '@floe/model';
import type { FleetEvent, FleetView, HostView, RepositoryView, RevisionView } from '@floe/protocol';

/** The fleet as the page holds it: the last snapshot with the changes since. Never changed in place. */
export interface LiveFleet {
  readonly version: number;
  readonly repository: RepositoryView;
  readonly revision: RevisionView | null;
  readonly hosts: ReadonlyMap<HostName, HostView>;
  /** All names in the order in which people count: ws2 before ws10. */
  readonly names: readonly HostName[];
}

// One collator for all: localeCompare makes its own each time, which 10,000 hosts would notice.
const byName = new Intl.Collator('en', { numeric: true });

/** The host of that name, if there is one. */
export function hostOf(fleet: LiveFleet, name: string): HostView | undefined {
  return fleet.hosts.get(name as HostName);
}

/** The start of a connection: what was known before is replaced. */
export function fromSnapshot(view: FleetView): LiveFleet {
  return {
    version: view.version,
    repository: view.repository,
    revision: view.revision,
    hosts: new Map(view.hosts.map((host) => [host.host, host])),
    names: view.hosts.map((host) => host.host).toSorted((a, b) => byName.compare(a, b)),
  };
}

/**
 * The fleet after some changes, in one step: the host map is copied once for a batch, not once for an event. Events
 * that the snapshot already holds are passed over, since a stream may repeat what happened while it was read.
 */
export function applyEvents(fleet: LiveFleet, events: readonly FleetEvent[]): LiveFleet {
  const news = events.filter((event) => event.version > fleet.version);
  if (news.length === 0) return fleet;
  let { version, repository, revision, names } = fleet;
  let hosts: Map<HostName, HostView> | undefined;
  const added: HostName[] = [];
  for (const event of news) {
    version = Math.max(version, event.version);
    switch (event.type) {
      case 'repository':
        repository = event.repository;
        break;
      case 'revision':
        revision = newer(revision, event.revision);
        break;
      case 'host':
        hosts ??= new Map(fleet.hosts);
        if (!hosts.has(event.host.host)) added.push(event.host.host);
        hosts.set(event.host.host, event.host);
        break;
    }
  }
  if (added.length > 0) names = [...names, ...added].toSorted((a, b) => byName.compare(a, b));
  return { version, repository, revision, hosts: hosts ?? fleet.hosts, names };
}

/** A late word about an older revision does not replace the newest one on the page. */
function newer(shown: RevisionView | null, told: RevisionView): RevisionView {
  return shown !== null && shown.sequence > told.sequence ? shown : told;
}
