import { storeHash, type CommitSha, type HostName, type StorePath } from './brands.ts';
import { isFailedRevision, type RevisionState } from './revision-state.ts';
import type { Word } from './rollout/course.ts';
import type { RolloutState } from './rollout-state.ts';

/** What administrators are told of. */
export const NOTIFICATION_KINDS = [
  /** A commit waits for a person. */
  'commit-held',
  /** A commit was refused, does not evaluate or does not build: no host gets it. */
  'commit-failed',
  /** A host tried a system and rolled back. */
  'host-rolled-back',
  /** A host tried or refused a system, and did not recover. */
  'host-failed',
  /** A host was not seen for so long that it is given up. */
  'host-lost',
  /** An agent with another key asks to be a host, whose own agent is away. */
  'host-refused',
  /** A rollout stopped and waits for a person. */
  'rollout-paused',
  /** A ring waits for approvals. */
  'rollout-waits',
  /** An administrator lets a commit pass over soaks and windows. */
  'rollout-hotfix',
  /** An administrator lets a commit pass below the floor of the server's settings, or asks for it. */
  'break-glass',
  /** A rollout reached its end. */
  'rollout-complete',
  /** Something is wrong with the server itself: its clock, its cache. */
  'server-problem',
] as const;
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number];

/** Something that happened, to be told once to each target. Texts are the repository's and the hosts'. */
export interface NotificationEvent {
  readonly kind: NotificationKind;
  /** The same for the same occurrence, whoever notices it and how often. ASCII. */
  readonly key: string;
  /** Since when it is so, ms. */
  readonly since: number;
  readonly commit?: CommitSha | undefined;
  /** The commit's subject. */
  readonly subject?: string | undefined;
  readonly host?: HostName | undefined;
  /** Of a commit that failed. */
  readonly state?: RevisionState | undefined;
  readonly reason?: string | undefined;
}

/** The facts that {@link eventsOf} looks at, as they are now. */
export interface NotificationFacts {
  readonly held?: { readonly commit: CommitSha; readonly reason: string; readonly since: number } | undefined;
  readonly revisions: readonly {
    readonly id: string;
    readonly sha: CommitSha;
    readonly subject: string;
    readonly state: RevisionState;
    readonly reason: string | undefined;
    /** The last time that is known of it. */
    readonly since: number;
    /** Those who asked to let it pass below the floor. Each word is told. */
    readonly glass?: readonly Word[] | undefined;
  }[];
  readonly rollouts: readonly {
    readonly id: string;
    readonly sha: CommitSha;
    readonly subject: string;
    readonly state: RolloutState;
    readonly since: number;
    readonly reason: string;
    /** The index of the ring whose hosts cannot begin without an approval, and what is missing. */
    readonly waits?: { readonly ring: number; readonly missing: string } | undefined;
    /** `now`: so many asked that it does not wait for verified hosts either. Each word is told. */
    readonly hotfix?: { readonly at: number; readonly reason: string; readonly now?: number } | undefined;
  }[];
  readonly hosts: readonly {
    readonly host: HostName;
    readonly rollbacks: readonly { readonly toplevel: StorePath; readonly reason: string; readonly at: number }[];
    /** It failed and did not recover. `about`: the hash of the system. */
    readonly failed?: { readonly about: string; readonly since: number; readonly reason: string | undefined } | undefined;
    /** It is lost. `seenAt`: when it was last heard of; `since`: when that was too long ago. */
    readonly lost?: { readonly seenAt: number; readonly since: number; readonly reason: string } | undefined;
    /** An agent with another key asks to be it. */
    readonly refused?: { readonly since: number; readonly reason: string } | undefined;
  }[];
  /** What is wrong with the server itself. */
  readonly notices?: readonly { readonly code: string; readonly message: string; readonly since: number }[] | undefined;
}

const DAY_MS = 86_400_000;
/** Of a target that fails, that target cannot be told, and others need not be; nor of a database while it takes no writes. */
const UNTOLD_NOTICES = /^(?:NOTIFY_|DATABASE_REFUSES$)/;

/** In the key of what is told once a day: what only the process of the server knows begins again with it, and may come and go. */
function dayOf(since: number): number {
  return Math.floor(since / DAY_MS);
}

/** All to tell about these facts. Whoever asks again gets the same keys, and drops what was told. */
export function eventsOf(facts: NotificationFacts): readonly NotificationEvent[] {
  const events: NotificationEvent[] = [];
  const { held } = facts;
  if (held !== undefined) {
    const { commit, reason, since } = held;
    events.push({ kind: 'commit-held', key: `commit-held:${commit}:${since}`, since, commit, reason });
  }
  for (const { id, sha, subject, state, reason, since, glass } of facts.revisions) {
    if (isFailedRevision(state))
      events.push({ kind: 'commit-failed', key: `commit-failed:${id}:${state}`, since, commit: sha, subject, state, reason });
    for (const [index, word] of (glass ?? []).entries())
      events.push({
        kind: 'break-glass',
        // By time as well: they may be asked again, about another floor.
        key: `break-glass:${id}:${index}:${word.at}`,
        since: word.at,
        commit: sha,
        subject,
        reason: `${word.by}: ${word.reason}`,
      });
  }
  for (const { id, sha, subject, state, since, reason, waits, hotfix } of facts.rollouts) {
    // Each pause is told, and each rollout ends once.
    if (state === 'PAUSED') events.push({ kind: 'rollout-paused', key: `rollout-paused:${id}:${since}`, since, commit: sha, subject, reason });
    if (state === 'WAITING_APPROVAL' && waits !== undefined)
      events.push({ kind: 'rollout-waits', key: `rollout-waits:${id}:${waits.ring}:${since}`, since, commit: sha, subject, reason: waits.missing });
    if (hotfix !== undefined)
      events.push({
        kind: 'rollout-hotfix',
        key: `rollout-hotfix:${id}${hotfix.now === undefined || hotfix.now === 0 ? '' : `:now-${hotfix.now}`}`,
        since: hotfix.at,
        commit: sha,
        subject,
        reason: hotfix.reason,
      });
    if (state === 'COMPLETE') events.push({ kind: 'rollout-complete', key: `rollout-complete:${id}`, since, commit: sha, subject, reason });
  }
  for (const { host, rollbacks, failed, lost, refused } of facts.hosts) {
    for (const { toplevel, reason, at } of rollbacks) {
      const hash = storeHash(toplevel);
      events.push({ kind: 'host-rolled-back', key: `host-rolled-back:${host}:${hash}:${at}`, since: at, host, reason });
    }
    if (failed !== undefined)
      events.push({ kind: 'host-failed', key: `host-failed:${host}:${failed.about}`, since: failed.since, host, reason: failed.reason });
    if (refused !== undefined)
      events.push({ kind: 'host-refused', key: `host-refused:${host}:${dayOf(refused.since)}`, since: refused.since, host, reason: refused.reason });
    if (lost !== undefined) events.push({ kind: 'host-lost', key: `host-lost:${host}:${lost.seenAt}`, since: lost.since, host, reason: lost.reason });
  }
  for (const { code, message, since } of facts.notices ?? []) {
    const key = `server-problem:${code}:${dayOf(since)}`;
    if (!UNTOLD_NOTICES.test(code)) events.push({ kind: 'server-problem', key, since, subject: code, reason: message });
  }
  return events;
}

/** So many messages go to one target within an hour; what is more is told together. */
export const MAX_MESSAGES_PER_HOUR = 20;
const HOUR_MS = 3_600_000;

/** What to send to a target now. */
export type SendingPlan =
  | { readonly kind: 'nothing' }
  /** The oldest event, alone. */
  | { readonly kind: 'one' }
  /** All that waits, as one message. */
  | { readonly kind: 'summary' }
  | { readonly kind: 'wait'; readonly until: number };

/**
 * A flood of events becomes {@link MAX_MESSAGES_PER_HOUR} messages an hour, of which the last summarizes what is left: nobody reads the
 * hundredth message, and services block who sends it. `recent`: when messages were sent, in no order.
 */
export function planSending({
  recent,
  waiting,
  now,
}: {
  readonly recent: readonly number[];
  readonly waiting: number;
  readonly now: number;
}): SendingPlan {
  if (waiting === 0) return { kind: 'nothing' };
  // A time in the future is of a clock that was set back: it must not stop all messages until then.
  const sent = recentMessages(recent, now);
  const [oldest] = sent.slice(-MAX_MESSAGES_PER_HOUR);
  if (oldest !== undefined && sent.length >= MAX_MESSAGES_PER_HOUR) return { kind: 'wait', until: oldest + HOUR_MS };
  return { kind: sent.length === MAX_MESSAGES_PER_HOUR - 1 && waiting > 1 ? 'summary' : 'one' };
}

/** The times that still count, oldest first. */
export function recentMessages(recent: readonly number[], now: number): readonly number[] {
  return recent.filter((at) => at > now - HOUR_MS && at <= now).toSorted((left, right) => left - right);
}

/** After so long nobody needs to be told any more: the page says how it is. */
export const NOTIFY_WITHIN_MS = 24 * HOUR_MS;
