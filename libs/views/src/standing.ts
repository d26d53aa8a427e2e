import { HOST_STANDINGS, isTerminalAgentState, needsAction, type HostStanding } from '@floe/model';
import type { HostView } from '@floe/protocol';
import { count, percent, shortSha, utcTime, words } from './text.ts';

/** What a standing looks like: each tone has its own colour. */
export type StandingTone = 'good' | 'busy' | 'warn' | 'bad' | 'quiet';

/** `name` fits behind any number: "3 waiting". `text` is said of one host, where that differs. */
const LABELS: Readonly<Record<HostStanding, { readonly name: string; readonly text?: string; readonly tone: StandingTone }>> = {
  'in-sync': { name: 'in sync', tone: 'good' },
  'under-way': { name: 'under way', tone: 'busy' },
  waiting: { name: 'waiting', tone: 'busy' },
  queued: { name: 'waiting for their ring', text: 'waiting for its ring', tone: 'quiet' },
  'kept-back': { name: 'kept back', text: 'kept back: the rollout was aborted', tone: 'quiet' },
  'local-override': { name: 'kept by user', text: 'kept by its user', tone: 'quiet' },
  'rolled-back': { name: 'rolled back', tone: 'bad' },
  failed: { name: 'failed', tone: 'bad' },
  drifted: { name: 'drifted', tone: 'warn' },
  behind: { name: 'behind', tone: 'warn' },
  'not-built': { name: 'not built here', tone: 'warn' },
  removed: { name: 'removed', tone: 'warn' },
  pinned: { name: 'pinned', tone: 'quiet' },
  trial: { name: 'on trial', tone: 'busy' },
  away: { name: 'away', tone: 'quiet' },
  'not-enrolled': { name: 'not enrolled', tone: 'quiet' },
  'not-ours': { name: "not Floe's", tone: 'quiet' },
  'no-release': { name: 'no release', tone: 'quiet' },
  revoked: { name: 'revoked', tone: 'quiet' },
  cloned: { name: 'cloned', text: 'key used by two machines', tone: 'bad' },
};

export function standingTone(standing: HostStanding): StandingTone {
  return LABELS[standing].tone;
}

/** A standing in words that fit behind any number: "3 waiting", "1 kept by user". */
export function standingName(standing: HostStanding): string {
  return LABELS[standing].name;
}

/** Where one host stands, in words: "in sync", "waiting for a restart", "kept by its user". */
export function standingWords({ standing, state }: Pick<HostView, 'standing' | 'state'>): string {
  if (standing === 'waiting' && state === 'BOOT_STAGED') return 'waiting for a restart';
  return LABELS[standing].text ?? LABELS[standing].name;
}

/** The step of a host that is under way: "downloading 40 %", "about to start". */
export function stepWords({ state, progress }: Pick<HostView, 'state' | 'progress'>): string {
  if (state === 'IDLE' || isTerminalAgentState(state)) return 'about to start';
  const done = state === 'DOWNLOADING' && progress !== null ? percent(progress) : undefined;
  return done === undefined ? words(state) : `${words(state)} ${done} %`;
}

/** True when the host does not get better without a person: by its standing, because the server cannot do its work for it, or because it is lost. */
export function needsAttention(host: Pick<HostView, 'standing' | 'trouble' | 'presence'>): boolean {
  return host.trouble !== null || needsAction(host.standing) || host.presence === 'lost';
}

/** Why a host that nobody has to look after is not on what it was told, in its agent's words; null for all others. */
export function reasonToWait({ standing, detail }: Pick<HostView, 'standing' | 'detail'>): string | null {
  return standing === 'waiting' || standing === 'local-override' ? (detail?.message ?? null) : null;
}

/** What a host tries, why, and until when. */
function trialWords({ commit, endsAt, by, reason }: NonNullable<HostView['trial']>): string {
  return `${by} has it try ${shortSha(commit)} until ${utcTime(endsAt)}: ${reason}`;
}

/** What is wrong with a host, or what it waits for, where the standing alone does not say it. What to do is in `todoOf()`. */
export function reasonOf(host: Pick<HostView, 'standing' | 'problem' | 'detail' | 'trial'>): string | null {
  if (host.problem !== null) return host.problem;
  if (host.standing === 'no-release') return 'no revision has a release for it yet';
  if (host.standing === 'trial' && host.trial !== null) return trialWords(host.trial);
  if (host.standing === 'pinned') return "it is kept on another release than the newest commit's";
  return reasonToWait(host);
}

/** "37 of 40 hosts in sync, 2 away, 1 waiting", the rest in the order of HOST_STANDINGS. */
export function countsInWords(hosts: readonly Pick<HostView, 'standing'>[]): string {
  const counts = new Map<HostStanding, number>();
  for (const { standing } of hosts) counts.set(standing, (counts.get(standing) ?? 0) + 1);
  const rest = HOST_STANDINGS.filter((standing) => standing !== 'in-sync' && counts.has(standing));
  const told = rest.map((standing) => `${(counts.get(standing) ?? 0).toLocaleString('en')} ${standingName(standing)}`);
  const ours = hosts.length - (counts.get('not-ours') ?? 0);
  return [`${(counts.get('in-sync') ?? 0).toLocaleString('en')} of ${count(ours, 'host')} in sync`, ...told].join(', ');
}
