import { DAY, START } from '../fleet-days.ts';

/** Where time is in the drawing: the same for all its parts. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly days: number;
}

export const WIDTH = 1_640;
/** Words on both sides of what has a time. */
export const FRAME = { left: 236, right: 1_180 } as const;

export function xOf({ left, right, days }: Frame, at: number): number {
  return left + Math.min(1, Math.max(0, (at - START) / (days * DAY))) * (right - left);
}

/** As people write it: Mon 2, 14:05. */
export function dateOf(at: number): string {
  return new Date(at).toLocaleString('en-GB', { weekday: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', timeZone: 'UTC' });
}

export function dayOf(at: number): string {
  return new Date(at).toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', timeZone: 'UTC' });
}

export function counted(count: number, what = 'host'): string {
  return `${count.toLocaleString('en-GB')} ${what}${count === 1 ? '' : 's'}`;
}
