import { expectedSystem, isPreparing, type AgentEvent, type AgentJournal, type Observed } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';

/** What the machine has, what the server was last told that it has, and the time. */
export interface DriftFacts {
  readonly journal: AgentJournal;
  readonly observed: Observed;
  readonly lastReported: Observed;
  readonly policy: AgentPolicy;
  /** Nobody has looked since the agent started, which it does with the machine. */
  readonly isFirstLook: boolean;
  /** ms */
  readonly now: number;
}

/** True: the machine is as the agent left it, and the server was told so. */
export function isAsLeft({ journal, observed, lastReported }: Pick<DriftFacts, 'journal' | 'observed' | 'lastReported'>): boolean {
  const expected = expectedSystem(journal);
  const { override, state } = journal;
  return override === null && state !== 'ROLLBACK_FAILED' && (expected === null || expected === observed.current) && isSame(observed, lastReported);
}

/** What to do about a machine that is not as this agent left it. Null: it is, or that was dealt with. Pure. */
export function judgeDrift({ journal, observed, lastReported, policy, isFirstLook, now }: DriftFacts): AgentEvent | null {
  const { override, directive, pending, quarantined } = journal;
  const { action, afterMinutes } = policy.drift;
  const { current } = observed;
  const other: AgentEvent | null = isSame(observed, lastReported) ? null : { type: 'drifted' };
  // A wanted system that was put back here is nothing to go on to: that would be said anew with every look.
  const canResume = pending !== null || (directive !== null && !quarantined.includes(directive.release.toplevel));
  if (override !== null) {
    if (current !== override.toplevel) {
      // Back to what the fleet wants, by the hand that left it.
      return canResume && current === directive?.release.toplevel ? { type: 'resumed' } : overridden(observed, now, isFirstLook);
    }
    // Who went back by the agent's own command has the time that is due to them; who switched by hand has the policy's.
    const isOver = action === 'correct-now' || (action === 'correct-later' && now - override.since >= afterMinutes * 60_000);
    return override.by !== 'rollback' && isOver && canResume ? { type: 'resumed' } : other;
  }
  if (directive !== null && isBackAfterAll(journal, observed)) {
    const detail = { code: 'PUT_BACK_AFTER_ALL', message: 'the system before was put back after all, by the watchdog or by hand' };
    return { type: 'watchdog-rolled-back', epoch: directive.epoch, detail };
  }
  const expected = expectedSystem(journal);
  if (expected === null || current === expected || isExplained(journal, observed)) return other;
  if (action === 'correct-now' && canResume) return isPreparing(journal) ? other : { type: 'resumed' };
  return overridden(observed, now, isFirstLook);
}

/** What runs is what a start of the machine may bring in this state, or what is wanted anyway: nobody chose against the fleet. */
function isExplained(journal: AgentJournal, { current, booted }: Observed): boolean {
  const { state, directive, before, report } = journal;
  const isWanted = current === directive?.release.toplevel;
  if (state === 'BOOT_STAGED') return isWanted || current === before?.profile;
  if (state === 'ROLLED_BACK') return current === before?.profile;
  // A restart before the boot loader could be told: the commit brings it back.
  if (state === 'BLOCKED' && journal.verdict === 'passed') return current === booted;
  return isPreparing(journal) && (isWanted || (current === booted && current === report?.observed.profile?.toplevel));
}

/** The way back failed, and yet the machine runs, and starts, what it was to go back to. */
function isBackAfterAll({ state, before }: AgentJournal, { current, profile }: Observed): boolean {
  if (state !== 'ROLLBACK_FAILED' || before === null || before.toplevel === null) return false;
  return current === before.toplevel && (before.profile === null || profile?.toplevel === before.profile);
}

function overridden(observed: Observed, now: number, isFirstLook: boolean): AgentEvent {
  const { current, booted, profile } = observed;
  // Started with what is not the default: somebody chose it, or the boot loader did.
  const by = isFirstLook && current === booted && current !== profile?.toplevel ? 'boot' : 'switch';
  return { type: 'overridden', override: { toplevel: current, since: now, by } };
}

function isSame(one: Observed, other: Observed): boolean {
  return (
    one.current === other.current &&
    one.booted === other.booted &&
    one.profile?.toplevel === other.profile?.toplevel &&
    one.profile?.generation === other.profile?.generation
  );
}
