import type { RevisionView } from '@floe/protocol';
import { words } from '@floe/views';
import { Icon, type IconName } from './icon.tsx';
import type { Tone } from '../standing.ts';

type Rollout = NonNullable<RevisionView['rollout']>;
type Part = Exclude<keyof Rollout['counts'], 'total'>;

const PARTS: readonly { readonly part: Part; readonly label: string; readonly tone: Tone; readonly icon: IconName }[] = [
  { part: 'onIt', label: 'on it', tone: 'good', icon: 'in-sync' },
  { part: 'underWay', label: 'under way', tone: 'busy', icon: 'under-way' },
  { part: 'waiting', label: 'waiting', tone: 'busy', icon: 'waiting' },
  { part: 'rolledBack', label: 'rolled back', tone: 'bad', icon: 'rolled-back' },
  { part: 'failed', label: 'failed', tone: 'bad', icon: 'failed' },
  { part: 'behind', label: 'behind', tone: 'warn', icon: 'behind' },
  { part: 'away', label: 'away', tone: 'quiet', icon: 'away' },
  { part: 'notEnrolled', label: 'not enrolled', tone: 'quiet', icon: 'not-enrolled' },
];

/** How many hosts are where, as a bar and in words. */
export function RolloutProgress({ rollout }: { readonly rollout: Rollout }) {
  const { counts } = rollout;
  const parts = PARTS.filter(({ part }) => counts[part] > 0);
  return (
    <div class="rollout">
      <h3 class="overline">
        Rollout <span class="aside">{words(rollout.state)}</span>
      </h3>
      <div class="bar" aria-hidden="true">
        {parts.map(({ part, tone }) => (
          <span key={part} class={`bar-part fill-${part === 'waiting' ? part : tone}`} style={{ flexGrow: counts[part] }} />
        ))}
      </div>
      <ul class="legend" aria-label={`Rollout: of ${counts.total} hosts`}>
        {parts.map(({ part, label, tone, icon }) => (
          <li key={part} class={`mark tone-${tone}`}>
            <Icon name={icon} />
            <span>
              <strong>{counts[part].toLocaleString('en')}</strong> {label}
            </span>
          </li>
        ))}
        <li class="aside">of {counts.total.toLocaleString('en')}</li>
      </ul>
    </div>
  );
}
