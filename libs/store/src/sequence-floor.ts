import type { HostRow } from './records.ts';

/** The highest sequence that the host accepted or was told, or that it gets next: its agent may refuse what is below. */
export function sequenceFloor({ acceptedSequence, toldSequence, desired }: Pick<HostRow, 'acceptedSequence' | 'toldSequence' | 'desired'>): number {
  return Math.max(acceptedSequence, toldSequence ?? 0, desired?.sequence ?? 0);
}
