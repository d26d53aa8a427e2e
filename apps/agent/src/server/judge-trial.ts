import type { AgentTrial } from '@floe/model';
import type { Directive, ReleaseStatement } from '@floe/protocol';
import { isForThisOrder } from './is-for-this-order.ts';

/** What the agent asks of a release that is only to be tried. */
export interface TrialContext {
  /** Whether this machine tries systems; `not-here`: its kind of target cannot go back by itself. */
  readonly trials: 'allowed' | 'not-enabled' | 'not-here';
  /** How long the machine has run, by a clock that never jumps and counts sleep, ms. */
  readonly uptimeMs: number;
  readonly bootId: string;
}

export type TrialJudgement =
  /** `trial` null: the release is the fleet's, and no trial. */
  { readonly kind: 'fine'; readonly trial: AgentTrial | null } | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** A trial lasts this long at most: a signed release cannot say more. */
export const MAX_TRIAL_MS = 24 * 3600_000;

/** Where the machine's owner allows trials. */
const OPTION = 'services.floe.agent.trials.enable';

const REFUSALS = {
  TRIALS_NOT_ENABLED: `this machine tries no systems: set ${OPTION} = true in its configuration, and have that deployed first`,
  TRIALS_NOT_HERE: 'trials need NixOS: what this agent keeps up to date would not go back with a restart',
  TRIAL_MODE: 'a trial begins at once, or not at all',
  RELEASE_MALFORMED: 'the release: only a trial has an end, and a trial has one',
  SUBMITTED_REPLAYED: 'the submitted system was signed for another directive',
  TRIAL_TOO_LONG: 'the release is a trial of more than 24 hours',
  TRIAL_OVER: 'the release is a trial that is over',
  TRIAL_REPLAYED: 'the trial was signed for another directive, or by a server from before trials were signed for one each',
} as const;

/**
 * Whether the release may be tried. The same signers and checks as for any release hold before this one; `now` is the latest time that
 * the server's clock or a signed statement proves. The end is kept by the machine's uptime, since every other clock may be set. Pure.
 */
export function judgeTrial(
  order: Pick<Directive, 'mode' | 'machineId' | 'epoch'>,
  { purpose, endsAt, issuedAt, onlyFor }: ReleaseStatement,
  now: number,
  { trials, uptimeMs, bootId }: TrialContext,
): TrialJudgement {
  if (purpose === undefined && endsAt === undefined && onlyFor === undefined) return { kind: 'fine', trial: null };
  const refuse = (code: keyof typeof REFUSALS): TrialJudgement => ({ kind: 'refused', code, message: REFUSALS[code] });
  if (purpose === 'submitted') return judgeSubmitted();
  if (purpose === undefined || endsAt === undefined) return refuse('RELEASE_MALFORMED');
  function judgeSubmitted(): TrialJudgement {
    if (endsAt !== undefined) return refuse('RELEASE_MALFORMED');
    return isForThisOrder(onlyFor, order, bootId) ? { kind: 'fine', trial: null } : refuse('SUBMITTED_REPLAYED');
  }
  if (trials === 'not-enabled') return refuse('TRIALS_NOT_ENABLED');
  if (trials === 'not-here') return refuse('TRIALS_NOT_HERE');
  if (order.mode !== 'activate') return refuse('TRIAL_MODE');
  if (endsAt - issuedAt > MAX_TRIAL_MS) return refuse('TRIAL_TOO_LONG');
  if (endsAt <= now) return refuse('TRIAL_OVER');
  if (!isForThisOrder(onlyFor, order, bootId)) return refuse('TRIAL_REPLAYED');
  return { kind: 'fine', trial: { endsAt, endsAtUptimeMs: Math.round(uptimeMs + Math.min(endsAt - now, MAX_TRIAL_MS)), bootId } };
}
