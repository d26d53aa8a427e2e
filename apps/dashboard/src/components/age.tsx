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

/** A moment in the reader's own time zone and way of writing. */
export function exactTime(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
