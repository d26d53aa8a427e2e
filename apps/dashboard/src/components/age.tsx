import type { ReadonlySignal } from '@preact/signals';
import { ago } from '@floe/views';

/** A moment as its age, which grows; the exact time is its title. */
export function Age({ at, now }: { readonly at: number; readonly now: ReadonlySignal<number> }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={exactTime(at)}>
      {ago(at, now.value)}
    </time>
  );
}

/** A moment by the clock, for "since …"; with its day when that is not today. The exact time is its title. */
export function Since({ at, now }: { readonly at: number; readonly now: ReadonlySignal<number> }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={`${exactTime(at)} (${ago(at, now.value)})`}>
      {clockTime(at, now.value)}
    </time>
  );
}

/** With its day when that is not today. */
export function clockTime(at: number, now: number): string {
  const then = new Date(at);
  const isToday = then.toDateString() === new Date(now).toDateString();
  return then.toLocaleString(undefined, { ...(isToday ? {} : { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' });
}

/** A moment in the reader's own time zone and way of writing. */
export function exactTime(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
