import type { Urgency } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import { askedBy } from './asked-by.ts';
import type { UserSession } from './bus.ts';
import type { DeferralTimes } from './deferral.ts';
import type { MachineFacts } from './facts.ts';
import { describeTime, MINUTE_MS } from './times.ts';
import { readWindows } from './windows.ts';

/** Why an activation, a download or a reboot waits. */
export type WaitCode =
  | 'ADMINISTRATOR_ASKS'
  | 'LATER'
  | 'WINDOW_CLOSED'
  | 'WINDOWS_INVALID'
  | 'ON_BATTERY'
  | 'METERED'
  | 'SESSION_ACTIVE'
  | 'SESSIONS_UNKNOWN'
  | 'INHIBITORS_UNKNOWN'
  | 'INHIBITED'
  | 'NO_WINDOWS'
  | 'REBOOT_LEFT_TO_PEOPLE';

/** One reason to wait. */
export interface Condition {
  readonly code: WaitCode;
  /** Follows "waits: " in messages. */
  readonly text: string;
  /** The earliest time at which it may end; null: it does not end by time alone. */
  readonly mayEndAt: number | null;
  /** It is waited for beyond the deadline. */
  readonly outlivesDeadline?: boolean;
  /** What other programs say of themselves. */
  readonly programs?: readonly string[];
}

/** What the conditions depend on. */
export interface Circumstances {
  readonly policy: AgentPolicy;
  readonly facts: MachineFacts;
  readonly deferral: DeferralTimes;
  readonly now: number;
  /** Time zone of the times in messages. */
  readonly timeZone: string;
}

/** When to check a condition again that has no known end, e.g. battery power. */
const LOOK_AGAIN_MS = MINUTE_MS;
/** What a program may keep the machine from. */
type Inhibited = 'idle' | 'shutdown' | 'sleep';

const GRAPHICAL = new Set(['x11', 'wayland', 'mir']);

/** How long users are told of what an administrator asks for before it begins, in minutes. */
const NOTICE_MINUTES = 5;

/**
 * Users are told that an administrator asks for the change. A notice that is dated further ahead than it lasts is from a clock that was ahead,
 * and is over.
 */
export function whileNoticed({ facts, now }: Circumstances, { level, by, reason, noticedAt }: Urgency): Condition[] {
  const noticeMs = NOTICE_MINUTES * MINUTE_MS;
  const endsAt = (noticedAt ?? now) + noticeMs;
  const isNobodyHere = facts.sessions?.length === 0;
  if (level === 'now' || isNobodyHere || endsAt <= now || endsAt > now + 2 * noticeMs) return [];
  const text = `${askedBy({ by, reason })}: it begins within ${NOTICE_MINUTES} minutes`;
  return [{ code: 'ADMINISTRATOR_ASKS', text, mayEndAt: endsAt }];
}

/** A user said "later", within the policy's bounds. */
export function whileLater({ policy, deferral, now, timeZone }: Circumstances): Condition[] {
  const { laterUntil, laterCount } = deferral;
  if (laterUntil === null || laterUntil <= now || laterCount > policy.later.maxCount) return [];
  return [{ code: 'LATER', text: `deferred until ${describeTime(laterUntil, now, timeZone)} by a user`, mayEndAt: laterUntil }];
}

/** `unusableUntil`: until when to wait for windows that can never open; null: forever. */
export function whileWindowClosed({ policy, now, timeZone }: Circumstances, unusableUntil: number | null): Condition[] {
  const state = readWindows(policy.windows, now);
  switch (state.kind) {
    case 'unlimited':
    case 'open':
      return [];
    case 'closed': {
      const problem = state.problem === null ? '' : `, but ${state.problem}`;
      const opens = describeTime(state.opensAt, now, timeZone);
      return [{ code: 'WINDOW_CLOSED', text: `for the maintenance window (opens ${opens}${problem})`, mayEndAt: state.opensAt }];
    }
    case 'invalid': {
      if (unusableUntil !== null && unusableUntil <= now) return [];
      return [{ code: 'WINDOWS_INVALID', text: `no maintenance window can open: ${state.problem}`, mayEndAt: unusableUntil }];
    }
  }
}

export function whileOnBattery({ policy, facts, now }: Circumstances): Condition[] {
  const { power } = facts;
  const needed = policy.minBatteryPercent;
  if (power === null || !power.isOnBattery || needed === 0) return [];
  const charge = power.chargePercent;
  const mayEndAt = now + LOOK_AGAIN_MS;
  // Without the charge itself: users and the server are told of each new message.
  if (needed > 100) return [{ code: 'ON_BATTERY', text: 'on battery (external power needed)', mayEndAt }];
  if (charge === null || charge >= needed) return [];
  return [{ code: 'ON_BATTERY', text: `on battery, below ${needed} %`, mayEndAt }];
}

export function whileMetered({ policy, facts, now }: Circumstances): Condition[] {
  if (policy.metered === 'ignore' || facts.isMetered !== true) return [];
  return [{ code: 'METERED', text: 'on a metered connection', mayEndAt: now + LOOK_AGAIN_MS }];
}

/** `whose`: users at the machine itself, or also remote ones. `what` makes the text from a user's name. */
export function whileInUse({ policy, facts, now }: Circumstances, whose: 'at-machine' | 'all', what: (name: string) => string): Condition[] {
  const sessions = (facts.sessions ?? []).filter((session) => isInUse(session, policy.idleMinutes, now) && (whose === 'all' || isAtMachine(session)));
  if (sessions.length === 0) return [];
  const texts = sessions.map((session) => `${what(session.user)} (active ${session.seat === null ? describePlace(session) : `on ${session.seat}`})`);
  return [{ code: 'SESSION_ACTIVE', text: [...new Set(texts)].slice(0, 3).join(', '), mayEndAt: now + LOOK_AGAIN_MS }];
}

/**
 * Programs keep the machine from `what` (a video call from going idle, a backup from shutting down), and not from `except`. Those that only
 * delay it for some seconds are logind's matter.
 */
export function whileInhibited({ facts, now }: Circumstances, what: readonly Inhibited[], except?: Inhibited): Condition[] {
  const blocking = (facts.inhibitors ?? []).filter(
    (each) => each.mode !== 'delay' && what.some((one) => each.what.includes(one)) && !each.what.some((one) => one === except),
  );
  if (blocking.length === 0) return [];
  const texts = blocking.map(({ who, why }) => (why === '' ? `${who} is running` : `${who}: ${why}`));
  // In the same order each time: users and the server are told of each new message.
  const programs = [...new Set(texts)].toSorted().slice(0, 3);
  return [{ code: 'INHIBITED', text: programs.join(', '), mayEndAt: now + LOOK_AGAIN_MS, programs }];
}

/** A reboot must not guess, unlike an activation: it could cost a user's unsaved work. */
export function whileSessionsUnknown({ facts, now }: Circumstances): Condition[] {
  if (facts.sessions !== null) return [];
  return [{ code: 'SESSIONS_UNKNOWN', text: 'it is unknown whether a user works on this machine', mayEndAt: now + LOOK_AGAIN_MS }];
}

/** The same of programs, where logind is there and does not say: any user could have them be too many, or too wordy, to be read. */
export function whileInhibitorsUnknown({ facts, now }: Circumstances): Condition[] {
  if (facts.inhibitors !== null || facts.sessions === null) return [];
  return [{ code: 'INHIBITORS_UNKNOWN', text: 'it is unknown which programs block a restart', mayEndAt: now + LOOK_AGAIN_MS }];
}

function isInUse({ isActive, isLocked, idleSince }: UserSession, idleMinutes: number, now: number): boolean {
  return isActive && !isLocked && (idleSince === null || now - idleSince < idleMinutes * MINUTE_MS);
}

/** Not over SSH: a switch does not end those sessions. A remote desktop counts as a seat. */
function isAtMachine({ type, seat, isRemote }: UserSession): boolean {
  return GRAPHICAL.has(type) || seat !== null || (type === 'tty' && !isRemote);
}

function describePlace({ isRemote }: UserSession): string {
  return isRemote ? 'over the network' : 'without a seat';
}
