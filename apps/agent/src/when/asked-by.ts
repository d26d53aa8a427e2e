import type { Urgency } from '@floe/model';

/** "your administrator asks for this update now (ada: a hole in sshd)" */
export function askedBy({ by, reason }: Pick<Urgency, 'by' | 'reason'>): string {
  return `your administrator asks for this update now (${by}: ${reason})`;
}
