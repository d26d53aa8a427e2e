import { PRESENCES, type Presence } from '@floe/model';
import type { HostView } from '@floe/protocol';
import type { StandingTone } from './standing.ts';
import { count } from './text.ts';

/** `name` fits behind any number: "3 stale". */
const LABELS: Readonly<Record<Presence, { readonly name: string; readonly tone: StandingTone }>> = {
  online: { name: 'online', tone: 'good' },
  away: { name: 'away', tone: 'quiet' },
  stale: { name: 'stale', tone: 'warn' },
  lost: { name: 'lost', tone: 'bad' },
};

export function presenceName(presence: Presence): string {
  return LABELS[presence].name;
}

export function presenceTone(presence: Presence): StandingTone {
  return LABELS[presence].tone;
}

/** Whether a host is there, in front of a time: "away since", "stale, away since". Null: it is there. */
export function awayWords({ isConnected, presence }: Pick<HostView, 'isConnected' | 'presence'>): string | null {
  if (isConnected) return null;
  return presence === 'stale' || presence === 'lost' ? `${presenceName(presence)}, away since` : 'away since';
}

/** What is wrong with a lost host. The day alone: hosts that went together are told together. */
export function lostWords(lastSeenAt: number | null): string {
  return `lost: ${lastSeenAt === null ? 'never heard of since it was enrolled' : `not heard of since ${new Date(lastSeenAt).toISOString().slice(0, 10)}`}`;
}

/** "37 of 40 enrolled hosts online, 2 away, 1 lost"; null: nobody is enrolled. */
export function presenceInWords(hosts: readonly Pick<HostView, 'isConnected' | 'isEnrolled' | 'presence'>[]): string | null {
  const enrolled = hosts.filter(({ isEnrolled }) => isEnrolled);
  if (enrolled.length === 0) return null;
  const counts = Map.groupBy(enrolled, ({ isConnected, presence }) => (isConnected ? 'online' : presence));
  const rest = PRESENCES.filter((presence) => presence !== 'online' && counts.has(presence));
  const told = rest.map((presence) => `${(counts.get(presence)?.length ?? 0).toLocaleString('en')} ${presenceName(presence)}`);
  return [`${(counts.get('online')?.length ?? 0).toLocaleString('en')} of ${count(enrolled.length, 'enrolled host')} online`, ...told].join(', ');
}
