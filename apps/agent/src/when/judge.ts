import { DEFAULT_AGENT_POLICY, type AgentPolicy, type Impact } from '@floe/protocol';
import {
  whileInUse,
  whileLater,
  whileMetered,
  whileOnBattery,
  whileSessionsUnknown,
  whileWindowClosed,
  type Circumstances,
  type Condition,
  type WaitCode,
} from './waits.ts';
import { correctDeferral, deadlineOf, type Deferral } from './deferral.ts';
import type { MachineFacts } from './facts.ts';
import { describeTime } from './times.ts';

export type Judgement =
  /** Go ahead. `because`: what it goes ahead in spite of, when the deadline is what decides. */
  | { readonly kind: 'clear'; readonly because: string | null }
  | {
      readonly kind: 'wait';
      /** Of the first reason; `message` names them all. */
      readonly code: WaitCode;
      readonly message: string;
      /**
       * The earliest time at which the answer can be another one without anybody doing anything; null: never. A machine
       * sleeps and clocks are set: look at this time again and again instead of sleeping until then.
       */
      readonly until: number | null;
      /** When it goes ahead whatever the conditions; null: never. */
      readonly deadlineAt: number | null;
    };

export interface JudgeInput {
  readonly policy: AgentPolicy;
  readonly facts: MachineFacts;
  readonly deferral: Deferral;
  readonly now: number;
  /** IANA name, of the times in messages. Default: UTC. */
  readonly timeZone?: string;
}

/**
 * Whether a staged system may be activated now. Pure. Facts that are not known hold nothing up. What takes effect only
 * with a reboot is put in place for the next start, which nobody at the machine notices: it waits for windows and power,
 * not for people, whom {@link judgeReboot} is about.
 */
export function judgeActivation(input: JudgeInput & { readonly impact: Impact }): Judgement {
  const { policy, impact } = input;
  const here = circumstances(input);
  const conditions = whileLater(here);
  if (impact !== 'none') conditions.push(...whileWindowClosed(here, unusableUntil(here)), ...whileOnBattery(here), ...whileMetered(here));
  if (impact === 'session' && policy.session !== 'ignore') {
    conditions.push(...whileInUse(here, 'at-machine', (name) => `${name}'s session would end`));
  }
  if (impact === 'units' && policy.session === 'wait-if-units') {
    conditions.push(...whileInUse(here, 'at-machine', (name) => `services would restart under ${name}`));
  }
  return conclude(here, conditions, deadlineOf(here.deferral, policy.deadlineHours));
}

/**
 * Whether a machine may restart now to run the system that is staged for its next start; `deferral.since` is when that
 * was. Pure. With `never` its people are waited for, until the deadline if there is one.
 */
export function judgeReboot(input: JudgeInput): Judgement {
  const { policy } = input;
  const here = circumstances(input);
  const { when, deadlineHours } = policy.reboot;
  const deadlineAt = deadlineOf(here.deferral, deadlineHours);
  if (when === 'never') {
    return conclude(here, [{ code: 'REBOOT_LEFT_TO_PEOPLE', text: 'for somebody to restart the machine', mayEndAt: null }], deadlineAt);
  }
  const conditions = whileLater(here);
  if (when === 'window') {
    if (policy.windows.length > 0) conditions.push(...whileWindowClosed(here, null));
    else conditions.push({ code: 'NO_WINDOWS', text: 'it restarts in maintenance windows only, and there are none', mayEndAt: null });
  }
  conditions.push(...whileOnBattery(here));
  if (when === 'idle') conditions.push(...whileSessionsUnknown(here));
  if (when === 'idle' || policy.session !== 'ignore') conditions.push(...whileInUse(here, 'all', (name) => `${name}'s session would end`));
  return conclude(here, conditions, deadlineAt);
}

/** Whether a system may be downloaded now: anything but what is paid for by the byte lets it. Pure. */
export function judgeDownload(input: JudgeInput): Judgement {
  const here = circumstances(input);
  return conclude(here, whileMetered(here), deadlineOf(here.deferral, here.policy.deadlineHours));
}

/**
 * Windows that can never open are a mistake, and what corrects it comes as a system, too: they hold one up no longer than
 * the usual deadline where the policy has none.
 */
function unusableUntil({ policy, deferral }: Circumstances): number | null {
  return policy.deadlineHours === null ? deadlineOf(deferral, DEFAULT_AGENT_POLICY.deadlineHours) : null;
}

function circumstances(input: JudgeInput): Circumstances {
  return { timeZone: 'UTC', ...input, deferral: correctDeferral(input) };
}

function conclude({ now, timeZone }: Circumstances, conditions: readonly Condition[], deadlineAt: number | null): Judgement {
  const [first] = conditions;
  if (first === undefined) return { kind: 'clear', because: null };
  const texts = conditions.map(({ text }) => text).join('; ');
  if (deadlineAt !== null && deadlineAt <= now) {
    return { kind: 'clear', because: `it waited until the deadline (${describeTime(deadlineAt, now, timeZone)}), although: ${texts}` };
  }
  // All of them must end, and the deadline ends them all.
  const ends = Math.min(Math.max(...conditions.map(({ mayEndAt }) => mayEndAt ?? Infinity)), deadlineAt ?? Infinity);
  const latest = deadlineAt === null ? '' : `; goes ahead ${describeTime(deadlineAt, now, timeZone)} at the latest`;
  return {
    kind: 'wait',
    code: first.code,
    message: `${texts.startsWith('for ') ? 'waits' : 'waits:'} ${texts}${latest}`,
    until: Number.isFinite(ends) ? ends : null,
    deadlineAt,
  };
}
