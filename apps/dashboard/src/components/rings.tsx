import type { RingView, RolloutView } from '@floe/protocol';
import {
  capitalised,
  isRinged,
  labelStopWords,
  pauseInWords,
  ringParts,
  emptyRingWords,
  ringStateWords,
  ringWaitsFor,
  rolloutOrderWords,
  type RingPart,
  type StandingTone,
} from '@floe/views';
import type { ReadonlySignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { Age, clockTime, Since } from './age.tsx';
import { HostLink } from './host-link.tsx';
import { Icon, type IconName } from './icon.tsx';
import { RingHosts } from './ring-hosts.tsx';

type Now = ReadonlySignal<number>;
interface Look {
  readonly icon: IconName;
  readonly tone: StandingTone;
}

const PARTS: Readonly<Record<RingPart, Look & { readonly fill: string }>> = {
  verified: { icon: 'done', tone: 'good', fill: 'good' },
  'under way': { icon: 'under-way', tone: 'busy', fill: 'busy' },
  waiting: { icon: 'waiting', tone: 'busy', fill: 'waiting' },
  failed: { icon: 'failed', tone: 'bad', fill: 'bad' },
  away: { icon: 'away', tone: 'quiet', fill: 'quiet' },
  'to come': { icon: 'to-come', tone: 'quiet', fill: 'to-come' },
};

export interface RingsProps {
  readonly rollout: RolloutView;
  readonly fleet: LiveFleet;
  readonly dashboard: Dashboard;
}

/** What a rollout waits for, and who stopped it; nothing where it is one ring that goes its way. */
export function Rings({ rollout, fleet, dashboard }: RingsProps) {
  if (!isRinged(rollout)) return null;
  const { now } = dashboard;
  // Of one that is over, or has not begun, nobody knows who is where.
  const isFollowed = rollout.frozenAt === null && rollout.state !== 'NEXT';
  return (
    <section class="rings" aria-label="Rings">
      <ol>
        {rollout.rings.map((ring) => (
          <li key={ring.name} class="ring">
            <Ring ring={ring} rollout={rollout} now={now} />
            {isFollowed && <RingHosts ring={ring} rollout={rollout} dashboard={dashboard} fleet={fleet} />}
          </li>
        ))}
      </ol>
      <Pause rollout={rollout} fleet={fleet} now={now} />
      <Orders rollout={rollout} now={now} />
    </section>
  );
}

function lookOf(ring: RingView, { state }: RolloutView): Look {
  if (ring.state === 'passed') return { icon: 'done', tone: 'good' };
  if (ring.state === 'to-come') return { icon: 'to-come', tone: 'quiet' };
  if (state === 'ABORTED') return { icon: 'failed', tone: 'bad' };
  if (state === 'PAUSED') return { icon: 'held', tone: 'warn' };
  return state === 'ROLLING' ? { icon: 'running', tone: 'busy' } : { icon: 'waiting', tone: 'busy' };
}

function Ring({ ring, rollout, now }: { readonly ring: RingView; readonly rollout: RolloutView; readonly now: Now }) {
  const { icon, tone } = lookOf(ring, rollout);
  const parts = ringParts(ring, rollout);
  return (
    <>
      <p class="ring-head">
        <strong>{ring.name}</strong>
        <span class={`mark tone-${tone}`}>
          <Icon name={icon} />
          <span>{capitalised(ringStateWords(ring, rollout))}</span>
        </span>
        <WaitsFor ring={ring} rollout={rollout} now={now} />
      </p>
      <div class="bar" aria-hidden="true">
        {parts.map(({ part, count }) => (
          <span key={part} class={`bar-part fill-${PARTS[part].fill}`} style={{ flexGrow: count }} />
        ))}
      </div>
      <ul class="legend" aria-label={`Ring ${ring.name}: of ${ring.counts.eligible} hosts`}>
        {parts.map(({ part, count }) => (
          <li key={part} class={`mark tone-${PARTS[part].tone}`}>
            <Icon name={PARTS[part].icon} />
            <span>
              <strong>{count.toLocaleString('en')}</strong> {part}
            </span>
          </li>
        ))}
        {parts.length === 0 && <li class="aside">{emptyRingWords(ring)}</li>}
      </ul>
    </>
  );
}

/** By itself, since the day of a time changes at midnight. */
function WaitsFor({ ring, rollout, now }: { readonly ring: RingView; readonly rollout: RolloutView; readonly now: Now }) {
  const what = ringWaitsFor(ring, rollout, (at) => clockTime(at, now.value));
  return what === '' ? null : <span class="ring-waits">waits for {what}</span>;
}

/** Who failed and why, or who stopped everything. */
function Pause({ rollout: { pause, freeze, stops }, fleet, now }: { readonly rollout: RolloutView; readonly fleet: LiveFleet; readonly now: Now }) {
  return (
    <>
      {pause !== null && pause.failures.length > 0 && (
        <ul class="failures" aria-label="What paused it">
          {pauseInWords(pause).map(({ host, text }) => (
            <li key={host}>
              <p class="who">
                <HostLink fleet={fleet} name={host} />
              </p>
              <pre class="reason" tabIndex={text.includes('\n') ? 0 : undefined}>
                {text}
              </pre>
            </li>
          ))}
        </ul>
      )}
      {freeze !== null && (
        <p class="freeze">
          <strong class="tone-warn">Paused by {freeze.by}</strong>{' '}
          <span class="aside">
            <Age at={freeze.at} now={now} />
          </span>
          {freeze.until !== null && (
            <>
              , until <Since at={freeze.until} now={now} />
            </>
          )}
          : {freeze.reason}
        </p>
      )}
      {stops.map((stop) => (
        <p class="freeze" key={stop.label}>
          {capitalised(labelStopWords(stop))}
        </p>
      ))}
    </>
  );
}

/** What people asked of it. */
function Orders({ rollout: { orders }, now }: { readonly rollout: RolloutView; readonly now: Now }) {
  if (orders.length === 0) return null;
  return (
    <ul class="orders" aria-label="What people asked of it">
      {orders.map(({ by, at, reason, ...order }) => (
        <li key={`${order.kind} ${by} ${at}`}>
          <Age at={at} now={now} /> <strong>{by}</strong> {rolloutOrderWords(order)}: {reason}
        </li>
      ))}
    </ul>
  );
}
