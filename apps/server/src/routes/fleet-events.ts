import type { FleetEvent } from '@floe/protocol';
import type { SSEStreamingApi } from 'hono/streaming';
import type { FleetFeed } from '../feed.ts';

export interface FleetEventsDeps {
  readonly feed: Pick<FleetFeed, 'subscribe'>;
  /** The fleet as it is, a FleetView in JSON: the same text for all who ask at once, because it is long. */
  readonly snapshot: () => Promise<string>;
  /** Whether the reader may still see this: asked again and again. */
  readonly isAllowed: () => Promise<boolean>;
  /** Ends the connection under the stream, whether its reader takes anything or not. */
  readonly cut: () => void;
}

export interface FleetEventsLimits {
  /** A reader that is this many events behind gets no more of them: it comes back and starts with a snapshot. */
  readonly maxBehind: number;
  readonly pingMs: number;
  /** A reader that takes nothing for so long is cut off: a laptop that sleeps with the page open, or one that never reads. */
  readonly stalledMs: number;
}

const PIECE_CHARS = 64 * 1024;
const LIMITS: FleetEventsLimits = { maxBehind: 5_000, pingMs: 15_000, stalledMs: 60_000 };

/** Sends the fleet as it is, then each change as it happens, until the reader leaves or is cut off. */
export async function sendFleetEvents(stream: SSEStreamingApi, { feed, snapshot, isAllowed, cut }: FleetEventsDeps, limits = LIMITS): Promise<void> {
  const backlog: { events: FleetEvent[]; isTooLong: boolean; isReset: boolean } = { events: [], isTooLong: false, isReset: true };
  let notify: (() => void) | undefined;
  using _subscription = feed.subscribe((event) => {
    // Looked at here, not between two writes: a write to a reader that stalls waits, and the backlog would grow meanwhile.
    backlog.isTooLong ||= backlog.events.length >= limits.maxBehind;
    if (event === 'reset') backlog.isReset = true;
    // The snapshot that is to come holds what was before it, and events that it repeats do no harm.
    if (backlog.isTooLong || event === 'reset') backlog.events = [];
    else backlog.events.push(event);
    notify?.();
  });
  stream.onAbort(() => notify?.());

  async function write(text: string): Promise<void> {
    const late = setTimeout(cut, limits.stalledMs);
    try {
      await stream.write(text);
    } finally {
      clearTimeout(late);
    }
  }
  /** JSON on one line needs no further framing (WHATWG HTML, "Server-sent events"). */
  async function send(event: 'snapshot' | 'change', json: string): Promise<void> {
    // In pieces: a slow reader of a long snapshot takes one after another, a stalled one takes none.
    for (let start = 0; start < json.length && !stream.aborted; start += PIECE_CHARS) {
      const end = start + PIECE_CHARS;
      await write(`${start === 0 ? `event: ${event}\ndata: ` : ''}${json.slice(start, end)}${end >= json.length ? '\n\n' : ''}`);
    }
  }

  while (!stream.aborted && !backlog.isTooLong) {
    if (backlog.isReset) {
      backlog.isReset = false;
      await send('snapshot', await snapshot());
    }
    for (const event of backlog.events.splice(0)) {
      if (stream.aborted) return;
      await send('change', JSON.stringify(event));
    }
    const isNews = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), limits.pingMs);
      notify = () => {
        clearTimeout(timer);
        resolve(true);
      };
      if (backlog.events.length > 0 || backlog.isReset || stream.aborted || backlog.isTooLong) notify();
    });
    notify = undefined;
    if (!(await isAllowed())) return;
    if (!isNews) await write(': ping\n\n');
  }
}
