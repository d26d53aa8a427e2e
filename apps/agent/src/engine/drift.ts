import { expectedSystem, isPreparing, isTrialOpen, type AgentEvent, type AgentJournal, type Observed } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';

/** What the machine has, what the server was last told that it has, and the time. */
export interface DriftFacts {
  readonly journal: AgentJournal;
  readonly observed: Observed;
  readonly lastReported: Observed;
  readonly policy: AgentPolicy;
  /** This is the first look since the agent started, so perhaps since the machine started. */
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

/** The event for a machine that is not as the agent left it. Null: it is, or that was handled before. Pure. */
export function judgeDrift({ journal, observed, lastReported, policy, isFirstLook, now }: DriftFacts): AgentEvent | null {
  const { override, directive, pending, quarantined } = journal;
  const { action, afterMinutes } = policy.drift;
  const { current } = observed;
  const other: AgentEvent | null = isSame(observed, lastReported) ? null : { type: 'drifted' };
  // A quarantined system cannot be resumed to: the same event would come with every look.
  // A trial that has ended does not begin again; one that runs is ended by it.
  const isResumable = directive !== null && (directive.trial === null || isTrialOpen(journal));
  const canResume = pending !== null || (isResumable && !quarantined.includes(directive.release.toplevel));
  if (override !== null) {
    if (current !== override.toplevel) {
      // The user switched back to the system of the directive.
      return canResume && current === directive?.release.toplevel ? { type: 'resumed' } : overridden(observed, now, isFirstLook);
    }
    // A rollback by the agent's own command holds for its full time; a switch by hand only for what the policy allows.
    const isOver = action === 'correct-now' || (action === 'correct-later' && now - override.since >= afterMinutes * 60_000);
    return override.by !== 'rollback' && isOver && canResume ? { type: 'resumed' } : other;
  }
  if (directive !== null && isRolledBackAfterAll(journal, observed)) {
    const detail = { code: 'PUT_BACK_AFTER_ALL', message: 'the rollback was completed later, by the watchdog or by a user' };
    return { type: 'watchdog-rolled-back', epoch: directive.epoch, detail };
  }
  const expected = expectedSystem(journal);
  if (expected === null || current === expected || isExplained(journal, observed)) return other;
  if (action === 'correct-now' && canResume) return isPreparing(journal) ? other : { type: 'resumed' };
  return overridden(observed, now, isFirstLook);
}

/** True: the running system is one that a start of the machine may bring in this state, or the wanted one. No user chose it. */
function isExplained(journal: AgentJournal, { current, booted }: Observed): boolean {
  const { state, directive, before, report } = journal;
  const isWanted = current === directive?.release.toplevel;
  if (state === 'BOOT_STAGED') return isWanted || current === before?.profile;
  if (state === 'ROLLED_BACK') return current === before?.profile;
  // A restart before the boot loader was written: the commit follows.
  if (state === 'BLOCKED' && journal.verdict === 'passed') return current === booted;
  return isPreparing(journal) && (isWanted || (current === booted && current === report?.observed.profile?.toplevel));
}

/** The rollback failed, and yet the machine runs and boots its target. */
function isRolledBackAfterAll({ state, before }: AgentJournal, { current, profile }: Observed): boolean {
  if (state !== 'ROLLBACK_FAILED' || before === null || before.toplevel === null) return false;
  return current === before.toplevel && (before.profile === null || profile?.toplevel === before.profile);
}

function overridden(observed: Observed, now: number, isFirstLook: boolean): AgentEvent {
  const { current, booted, profile } = observed;
  // The machine started a system that is not the default: chosen in the boot menu, or by the boot loader.
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
