import type { HostStanding } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import { standingName, standingTone, COUNTED_STANDINGS } from '@floe/views';
import type { ReadonlySignal } from '@preact/signals';
import { Age } from './age.tsx';
import { Icon } from './icon.tsx';

type Rollout = NonNullable<RevisionView['rollout']>;

const PARTS: readonly HostStanding[] = ['in-sync', ...COUNTED_STANDINGS];

/** How many hosts are where, as a bar and in words. */
export function RolloutProgress({ rollout, now }: { readonly rollout: Rollout; readonly now: ReadonlySignal<number> }) {
  const { counts } = rollout;
  if (counts === null) return <p class="aside">{rollout.description}</p>;
  const parts = PARTS.filter((standing) => counts[standing] > 0);
  return (
    <div class="rollout">
      <h3 class="overline">
        Rollout{' '}
        <span class="aside">
          {rollout.description}
          {rollout.frozenAt !== null && (
            <>
              {' '}
              (as it was <Age at={rollout.frozenAt} now={now} />)
            </>
          )}
        </span>
      </h3>
      <div class="bar" aria-hidden="true">
        {parts.map((standing) => (
          <span
            key={standing}
            class={`bar-part fill-${standing === 'waiting' ? standing : standingTone(standing)}`}
            style={{ flexGrow: counts[standing] }}
          />
        ))}
      </div>
      <ul class="legend" aria-label={`Rollout: of ${counts.total} hosts`}>
        {parts.map((standing) => (
          <li key={standing} class={`mark tone-${standingTone(standing)}`}>
            <Icon name={standing} />
            <span>
              <strong>{counts[standing].toLocaleString('en')}</strong> {standingName(standing)}
            </span>
          </li>
        ))}
        <li class="aside">of {counts.total.toLocaleString('en')}</li>
      </ul>
    </div>
  );
}
