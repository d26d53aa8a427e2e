import { expectedSystem, type AgentEvent, type AgentJournal, type Observed } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';

/** What the machine has, what the server was last told that it has, and when it is. */
export interface DriftFacts {
  readonly journal: AgentJournal;
  readonly observed: Observed;
  readonly told: Observed;
  readonly policy: AgentPolicy;
  /** Nobody has looked since the agent started, which it does with the machine. */
  readonly isFirstLook: boolean;
  /** ms */
  readonly now: number;
}

/** What to do about a machine that is not as this agent left it. Null: it is, or that was dealt with. Pure. */
export function judgeDrift({ journal, observed, told, policy, isFirstLook, now }: DriftFacts): AgentEvent | null {
  const { override, directive } = journal;
  const { action, afterMinutes } = policy.drift;
  if (override !== null) {
    // Back to what the fleet wants, by the hand that left it.
    if (directive !== null && observed.current === directive.release.toplevel) return { type: 'resumed' };
    if (observed.current !== override.toplevel) return overridden(observed, now, isFirstLook);
    // Who went back by the agent's own command has the time that is due to them; who switched by hand has the policy's.
    const isOver = action === 'correct-now' || (action === 'correct-later' && now - override.since >= afterMinutes * 60_000);
    if (override.by !== 'rollback' && isOver) return { type: 'resumed' };
  } else {
    if (directive !== null && isBackAfterAll(journal, observed)) {
      const detail = { code: 'PUT_BACK_AFTER_ALL', message: 'the system before was put back after all, by the watchdog or by hand' };
      return { type: 'undone', epoch: directive.epoch, detail };
    }
    const expected = expectedSystem(journal);
    if (expected !== null && observed.current !== expected && !isAwaited(journal, observed))
      return action === 'correct-now' ? { type: 'resumed' } : overridden(observed, now, isFirstLook);
  }
  return isSame(observed, told) ? null : { type: 'drifted' };
}

/** What the next start may bring while a system is staged for it: that one, or what the machine would start without. */
function isAwaited({ state, directive, before }: AgentJournal, { current }: Observed): boolean {
  return state === 'BOOT_STAGED' && (current === directive?.release.toplevel || current === before?.profile);
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
