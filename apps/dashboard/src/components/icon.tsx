import type { HostView } from '@floe/protocol';
import type { StageStatus } from '@floe/views';

export type IconName = HostView['standing'] | Exclude<StageStatus, 'waiting'> | 'to-come' | 'online' | 'restart';

const RING = 'M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5';
const CHECK = `${RING}M5.2 8.2l2 2l3.7-4.2`;
const CROSS = `${RING}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`;
const ARC = 'M8 1.75a6.25 6.25 0 1 1-6.25 6.25';
const WARNING = 'M8 2L14.5 13.5h-13zM8 6.5v3.2M8 11.4v.3';
const DASH = 'M4 8h8';

/** One shape for each, so that nothing hangs on its colour. Strokes on a square of 16. */
const SHAPES: Record<IconName, string> = {
  'in-sync': CHECK,
  done: CHECK,
  partly: WARNING,
  held: `${RING}M6.4 5.4v5.2M9.6 5.4v5.2`,
  failed: CROSS,
  'under-way': ARC,
  running: ARC,
  'rolled-back': 'M6 2.5L2.5 6L6 9.5M2.8 6h6.4a3.75 3.75 0 0 1 0 7.5H6',
  drifted: 'M2.5 6h11M2.5 10h11M10.5 3l-5 10',
  cloned: WARNING,
  behind: WARNING,
  'not-built': WARNING,
  away: 'M13.5 9.6A5.9 5.9 0 1 1 6.4 2.5a4.7 4.7 0 0 0 7.1 7.1z',
  'not-enrolled': RING,
  'to-come': RING,
  waiting: `${RING}M8 4.6V8l2.4 1.6`,
  'kept-back': DASH,
  queued: 'M3 5h10M3 8h10M3 11h6',
  restart: 'M8 2v5.5M5 3.6a5.6 5.6 0 1 0 6 0',
  'local-override': 'M8 2.2a2.7 2.7 0 1 0 0 5.4a2.7 2.7 0 0 0 0-5.4M2.9 13.8a5.1 5.1 0 0 1 10.2 0',
  removed: WARNING,
  pinned: `${RING}M8 4.4v3.6M5.6 8h4.8M8 8v3.6`,
  trial: 'M6 2.2h4M6.8 2.2v4.4L3.2 13.6h9.6L9.2 6.6V2.2M5 10.2h6',
  'no-release': DASH,
  'not-ours': DASH,
  skipped: DASH,
  revoked: `${RING}M3.7 3.7l8.6 8.6`,
  online: 'M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 0 0 0-5.6',
};

/** Always beside words that say the same: hidden from screen readers. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={SHAPES[name]} />
    </svg>
  );
}
