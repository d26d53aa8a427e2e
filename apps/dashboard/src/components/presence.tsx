import type { HostView } from '@floe/protocol';
import { awayWords, capitalised, presenceName, presenceTone } from '@floe/views';
import type { Dashboard } from '../dashboard.ts';
import { Since } from './age.tsx';
import { Icon } from './icon.tsx';

/** Whether the host is there, or since when it is not. */
export function Presence({ dashboard, host }: { readonly dashboard: Dashboard; readonly host: HostView }) {
  const away = awayWords(host);
  if (away === null) {
    return (
      <span class="mark tone-good">
        <Icon name="online" /> <span>{capitalised(presenceName('online'))}</span>
      </span>
    );
  }
  if (host.lastSeenAt === null) return <span class="aside">Never seen</span>;
  return (
    <span class={`mark tone-${presenceTone(host.presence === 'online' ? 'away' : host.presence)}`}>
      <Icon name="away" />
      <span>
        {capitalised(away)} <Since at={host.lastSeenAt} now={dashboard.now} />
      </span>
    </span>
  );
}
