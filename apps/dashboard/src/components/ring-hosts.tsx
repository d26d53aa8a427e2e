import type { RingView, RolloutHostsView, RolloutView } from '@floe/protocol';
import { capitalised, firstLine, hostsByPart, withShortPaths } from '@floe/views';
import { useSignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { HostLink } from './host-link.tsx';
import { Loaded, useAsked } from './loaded.tsx';

/** So many hosts of one part are named; the rest is counted. */
const MOST_NAMED = 100;

interface RingHostsProps {
  readonly ring: RingView;
  readonly rollout: RolloutView;
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
}

/** Who in the ring is how far, and what each waits for; asked for when somebody opens it, and again whenever the ring moves. */
export function RingHosts(props: RingHostsProps) {
  const isOpen = useSignal(false);
  return (
    <details class="ring-hosts" onToggle={(event) => (isOpen.value = event.currentTarget.open)}>
      <summary>Hosts of ring {props.ring.name}</summary>
      {isOpen.value && <Opened {...props} />}
    </details>
  );
}

function Opened({ ring, rollout, dashboard, fleet }: RingHostsProps) {
  const keys = [ring.name, ring.state, rollout.state, JSON.stringify(ring.counts)];
  const asked = useAsked(async (signal) => await dashboard.api.ringHosts(ring.name, signal), keys);
  return <Loaded asked={asked}>{({ hosts }) => <Parts hosts={hosts} rollout={rollout} fleet={fleet} />}</Loaded>;
}

interface PartsProps {
  readonly hosts: RolloutHostsView['hosts'];
  readonly rollout: RolloutView;
  readonly fleet: LiveFleet;
}

function Parts({ hosts, rollout, fleet }: PartsProps) {
  if (hosts.length === 0) return <p class="aside">The commit changes no host of it.</p>;
  return (
    <dl>
      {hostsByPart(hosts, rollout).map(({ part, hosts: some }) => (
        <div key={part}>
          <dt>
            {capitalised(part)} ({some.length.toLocaleString('en')})
          </dt>
          {some.slice(0, MOST_NAMED).map(({ host, text }) => (
            <dd key={host}>
              <HostLink fleet={fleet} name={host} />
              {text !== '' && <span class="aside"> {withShortPaths(firstLine(text))}</span>}
            </dd>
          ))}
          {some.length > MOST_NAMED && <dd class="aside">and {(some.length - MOST_NAMED).toLocaleString('en')} more</dd>}
        </div>
      ))}
    </dl>
  );
}
