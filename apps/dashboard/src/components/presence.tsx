import type { HostView } from '@floe/protocol';
import type { Dashboard } from '../dashboard.ts';
import { Since } from './age.tsx';
import { Icon } from './icon.tsx';

/** Whether the host is there, or since when it is not. */
export function Presence({ dashboard, host }: { readonly dashboard: Dashboard; readonly host: HostView }) {
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
