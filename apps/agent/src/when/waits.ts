import type { AgentPolicy } from '@floe/protocol';
import type { PersonSession } from './bus.ts';
import type { Deferral } from './deferral.ts';
import type { MachineFacts } from './facts.ts';
import { describeTime, MINUTE_MS } from './times.ts';
import { readWindows } from './windows.ts';

/** Why something waits; the codes of activations and of reboots. */
export type WaitCode =
  | 'LATER'
  | 'WINDOW_CLOSED'
  | 'WINDOWS_INVALID'
  | 'ON_BATTERY'
  | 'METERED'
  | 'SESSION_ACTIVE'
  | 'SESSIONS_UNKNOWN'
  | 'NO_WINDOWS'
  | 'REBOOT_LEFT_TO_PEOPLE';

/** One thing that is waited for. */
export interface Condition {
  readonly code: WaitCode;
  /** For people, to be read after "waits: ". */
  readonly text: string;
  /** The earliest time at which it can be otherwise; null when time alone changes nothing. */
  readonly mayEndAt: number | null;
}

/** What every condition is judged by. */
export interface Circumstances {
  readonly policy: AgentPolicy;
  readonly facts: MachineFacts;
  readonly deferral: Deferral;
  readonly now: number;
  /** Of the times in messages, but for those of a window, which has its own. */
  readonly timeZone: string;
}

/** What has no known end (a cable that somebody plugs in) is looked at again after this. */
const LOOK_AGAIN_MS = MINUTE_MS;
const GRAPHICAL = new Set(['x11', 'wayland', 'mir']);

/** The person said "later", within the policy's bounds. */
export function whileLater({ policy, deferral, now, timeZone }: Circumstances): Condition[] {
  const { laterUntil, laterCount } = deferral;
  if (laterUntil === null || laterUntil <= now || laterCount > policy.later.maxCount) return [];
  return [{ code: 'LATER', text: `put off until ${describeTime(laterUntil, now, timeZone)} by the user`, mayEndAt: laterUntil }];
}

/** `unusableUntil`: for how long windows that can never open are waited for; null: for ever. */
export function whileWindowClosed({ policy, now }: Circumstances, unusableUntil: number | null): Condition[] {
  const state = readWindows(policy.windows, now);
  switch (state.kind) {
    case 'unlimited':
    case 'open':
      return [];
    case 'closed': {
      const problem = state.problem === null ? '' : `, but ${state.problem}`;
      const opens = describeTime(state.opensAt, now, state.timeZone);
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
  // Without the charge itself: each new reason is told to the people and to the server.
  if (needed > 100) return [{ code: 'ON_BATTERY', text: 'on battery (external power needed)', mayEndAt }];
  if (charge === null || charge >= needed) return [];
  return [{ code: 'ON_BATTERY', text: `on battery, below ${needed} %`, mayEndAt }];
}

export function whileMetered({ policy, facts, now }: Circumstances): Condition[] {
  if (policy.metered === 'ignore' || facts.isMetered !== true) return [];
  return [{ code: 'METERED', text: 'on a metered connection', mayEndAt: now + LOOK_AGAIN_MS }];
}

/** `whose`: those at the machine itself, or everybody who works on it, from wherever. `what` follows the person's name. */
export function whileInUse({ policy, facts, now }: Circumstances, whose: 'at-machine' | 'all', what: (name: string) => string): Condition[] {
  const sessions = (facts.sessions ?? []).filter((session) => isInUse(session, policy.idleMinutes, now) && (whose === 'all' || isAtMachine(session)));
  if (sessions.length === 0) return [];
  const texts = sessions.map((session) => `${what(session.user)} (active ${session.seat === null ? describePlace(session) : `on ${session.seat}`})`);
  return [{ code: 'SESSION_ACTIVE', text: [...new Set(texts)].slice(0, 3).join(', '), mayEndAt: now + LOOK_AGAIN_MS }];
}

/** Unlike for an activation, a guess would be paid for with somebody's work. */
export function whileSessionsUnknown({ facts, now }: Circumstances): Condition[] {
  if (facts.sessions !== null) return [];
  return [{ code: 'SESSIONS_UNKNOWN', text: 'it cannot be found out whether somebody works on it', mayEndAt: now + LOOK_AGAIN_MS }];
}

function isInUse({ isActive, isLocked, idleSince }: PersonSession, idleMinutes: number, now: number): boolean {
  return isActive && !isLocked && (idleSince === null || now - idleSince < idleMinutes * MINUTE_MS);
}

/** Not those over SSH: a switch takes nothing away from them. A remote desktop is as good as a seat. */
function isAtMachine({ type, seat, isRemote }: PersonSession): boolean {
  return GRAPHICAL.has(type) || seat !== null || (type === 'tty' && !isRemote);
}

function describePlace({ isRemote }: PersonSession): string {
  return isRemote ? 'over the network' : 'without a seat';
}
