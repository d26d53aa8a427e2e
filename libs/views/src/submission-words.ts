import type { HostView } from '@floe/protocol';
import { utcTime } from './text.ts';

/** What comes of a store path that an administrator named: the same on the page and on the command line. */
export function submissionWords({ toplevel, state, by, reason, since, result }: NonNullable<HostView['submission']>): string {
  const asked = `${by} asked for at ${utcTime(since)} (${reason})`;
  switch (state) {
    case 'WAITING':
      return `the server publishes ${toplevel}, which ${asked}${result === '' ? '' : `; it tries again: ${result}`}`;
    case 'PUBLISHED':
      return `${toplevel}, which ${asked}, is published and signed`;
    case 'FAILED':
      return `not pinned to ${toplevel}, as ${asked}: ${result}`;
  }
}
