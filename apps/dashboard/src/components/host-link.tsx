import { hostOf, type LiveFleet } from '../live-fleet.ts';
import { formatRoute } from '../route.ts';

/** The name of a host; a link, where it still has a page. */
export function HostLink({ fleet, name }: { readonly fleet: LiveFleet; readonly name: string }) {
  return hostOf(fleet, name) !== undefined ? <a href={formatRoute({ kind: 'host', host: name })}>{name}</a> : <>{name}</>;
}
