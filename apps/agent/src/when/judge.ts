import type { Urgency, WaitFacts } from '@floe/model';
import { DEFAULT_AGENT_POLICY, type AgentPolicy, type Impact } from '@floe/protocol';
import {
  whileInhibited,
  whileInhibitorsUnknown,
  whileInUse,
  whileLater,
  whileMetered,
  whileNoticed,
  whileOnBattery,
  whileSessionsUnknown,
  whileWindowClosed,
  type Circumstances,
  type Condition,
  type WaitCode,
} from './waits.ts';
import { correctDeferral, deadlineOf, laterLeft, type DeferralTimes } from './deferral.ts';
import type { MachineFacts } from './facts.ts';
import { describeTime } from './times.ts';

export type Judgement =
  /** Go ahead. `because`: set when the deadline decided; it names the conditions that still held. */
  | { readonly kind: 'clear'; readonly because: string | null }
  | {
      readonly kind: 'wait';
      /** The code of the first reason; `message` names all. */
      readonly code: WaitCode;
      readonly message: string;
      /**
       * The earliest time at which the answer can change by itself; null: never. Compare it with the clock repeatedly instead of
       * sleeping until then: machines sleep, and clocks are set.
       */
      readonly until: number | null;
      /** When it goes ahead whatever the conditions; null: never. */
      readonly deadlineAt: number | null;
      readonly facts: Omit<WaitFacts, 'what'>;
    };

export interface JudgeInput {
  readonly policy: AgentPolicy;
  readonly facts: MachineFacts;
  readonly deferral: DeferralTimes;
  readonly now: number;
  /** An administrator asks for it now: over windows, "later", metered connections and sessions; never over an empty battery. */
  readonly urgent?: Urgency | undefined;
  /** IANA name, of the times in messages. Default: UTC. */
  readonly timeZone?: string;
}

/**
 * Whether a staged system may be activated now. Pure. Unknown facts do not delay it. A system that needs a reboot is only staged
 * for the next start, which users do not notice: it waits for windows and power; {@link judgeReboot} waits for users.
 */
export function judgeActivation(input: JudgeInput & { readonly impact: Impact }): Judgement {
  const { policy, impact } = input;
  const here = circumstances(input);
  const urgent = stillUrgent(input);
  if (urgent !== undefined) {
    const conditions = impact === 'none' ? [] : [...whileNoticed(here, urgent), ...whileOnBattery(here)];
    return conclude(here, conditions, deadlineOf(here.deferral, policy.deadlineHours));
  }
  const conditions = whileLater(here);
  if (impact !== 'none') conditions.push(...whileWindowClosed(here, unusableUntil(here)), ...whileOnBattery(here), ...whileMetered(here));
  if (impact === 'session' && policy.session !== 'ignore') {
    conditions.push(...whileInUse(here, 'at-machine', (name) => `${name}'s session would end`), ...whileInhibited(here, ['idle', 'shutdown']));
  }
  if (impact === 'units' && policy.session === 'wait-if-units') {
    conditions.push(
      ...whileInUse(here, 'at-machine', (name) => `services would restart under ${name}`),
      ...whileInhibited(here, ['idle', 'shutdown']),
    );
  }
  return conclude(here, conditions, deadlineOf(here.deferral, policy.deadlineHours));
}

/**
 * Whether a machine may restart now to run the system that is staged for its next start; `deferral.since` is when it was staged.
 * Pure. With `never` a user has to restart it, until the deadline if there is one. An administrator who asks for the change now passes over
 * windows and "later", but ends nobody's session that the policy would not end. What other programs keep it from (a backup, a video call) is
 * waited for until the deadline.
 */
export function judgeReboot(input: JudgeInput): Judgement {
  const { policy } = input;
  const here = circumstances(input);
  const { when, deadlineHours, respectInhibitors } = policy.reboot;
  const deadlineAt = deadlineOf(here.deferral, deadlineHours);
  const blocked = [...whileInhibitorsUnknown(here), ...whileInhibited(here, ['shutdown'])].map((each) => ({
    ...each,
    outlivesDeadline: respectInhibitors,
  }));
  if (when === 'never') {
    const left: Condition = { code: 'REBOOT_LEFT_TO_PEOPLE', text: 'for somebody to restart the machine', mayEndAt: null };
    // Nothing restarts by itself, so a "later" only has users reminded later.
    return conclude(here, [left, ...whileLater(here), ...(respectInhibitors && deadlineAt !== null ? blocked : [])], deadlineAt);
  }
  const isUrgent = stillUrgent(input) !== undefined;
  const conditions = isUrgent ? [] : whileLater(here);
  if (when === 'window' && !isUrgent) {
    if (policy.windows.length > 0) conditions.push(...whileWindowClosed(here, null));
    else conditions.push({ code: 'NO_WINDOWS', text: 'it restarts in maintenance windows only, and there are none', mayEndAt: null });
  }
  conditions.push(...whileOnBattery(here));
  if (when === 'idle') conditions.push(...whileSessionsUnknown(here));
  if (when === 'idle' || policy.session !== 'ignore') {
    conditions.push(...whileInUse(here, 'all', (name) => `${name}'s session would end`));
    // What keeps the machine awake while nobody touches it (a copy, music) is work, too. A window is agreed.
    conditions.push(...whileInhibited(here, when === 'idle' ? ['idle', 'sleep'] : ['idle'], 'shutdown'));
  }
  conditions.push(...blocked);
  return conclude(here, conditions, deadlineAt);
}

/** Whether a system may be downloaded now: only a metered connection delays it. Pure. */
export function judgeDownload(input: JudgeInput): Judgement {
  const here = circumstances(input);
  return conclude(here, stillUrgent(input) === undefined ? whileMetered(here) : [], deadlineOf(here.deferral, here.policy.deadlineHours));
}

/**
 * Windows that can never open are a mistake, and its correction arrives as a system, too. So they delay a system by the default
 * deadline at most where the policy has none.
 */
function unusableUntil({ policy, deferral }: Circumstances): number | null {
  return policy.deadlineHours === null ? deadlineOf(deferral, DEFAULT_AGENT_POLICY.deadlineHours) : null;
}

function stillUrgent({ urgent, now }: JudgeInput): Urgency | undefined {
  return urgent !== undefined && now < urgent.until ? urgent : undefined;
}

function circumstances(input: JudgeInput): Circumstances {
  return { timeZone: 'UTC', ...input, deferral: correctDeferral(input) };
}

function conclude(
  here: Circumstances,
  conditions: readonly Condition[],
  deadlineAt: number | null,
  left: number = laterLeft(here, deadlineAt),
): Judgement {
  const { now, timeZone } = here;
  const [first] = conditions;
  if (first === undefined) return { kind: 'clear', because: null };
  if (deadlineAt !== null && deadlineAt <= now) {
    const firm = conditions.filter(({ outlivesDeadline }) => outlivesDeadline === true);
    if (firm.length > 0) return conclude(here, firm, null, 0);
    return { kind: 'clear', because: `it waited until the deadline (${describeTime(deadlineAt, now, timeZone)}), although: ${textOf(conditions)}` };
  }
  const texts = textOf(conditions);
  // All conditions must end, or the deadline must pass.
  const ends = Math.min(Math.max(...conditions.map(({ mayEndAt }) => mayEndAt ?? Infinity)), deadlineAt ?? Infinity);
  const isCertain = conditions.every(({ outlivesDeadline }) => outlivesDeadline !== true);
  const latest = deadlineAt === null || !isCertain ? '' : `; goes ahead ${describeTime(deadlineAt, now, timeZone)} at the latest`;
  return {
    kind: 'wait',
    code: first.code,
    message: `${texts.startsWith('for ') ? 'waits' : 'waits:'} ${texts}${latest}`,
    until: Number.isFinite(ends) ? ends : null,
    deadlineAt,
    facts: factsOf(conditions, isCertain ? deadlineAt : null, left),
  };
}

/** Reasons that time alone ends. */
const BY_TIME: ReadonlySet<WaitCode> = new Set(['ADMINISTRATOR_ASKS', 'LATER', 'WINDOW_CLOSED', 'WINDOWS_INVALID']);

function factsOf(conditions: readonly Condition[], latestAt: number | null, left: number): Omit<WaitFacts, 'what'> {
  const ends = conditions.flatMap(({ code, mayEndAt }) => (BY_TIME.has(code) && mayEndAt !== null ? [mayEndAt] : []));
  const startsAt = ends.length === 0 ? null : Math.min(Math.max(...ends), latestAt ?? Infinity);
  return {
    codes: [...new Set(conditions.map(({ code }) => code))],
    startsAt,
    latestAt,
    programs: conditions.flatMap(({ programs }) => programs ?? []),
    laterLeft: left,
  };
}

function textOf(conditions: readonly Condition[]): string {
  return conditions.map(({ text }) => text).join('; ');
}
