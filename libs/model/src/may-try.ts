import type { StorePath } from './brands.ts';
import { isOn, type Observed } from './observed.ts';

/** Why a host is not asked to try a system. */
export type NoTrial = 'HOST_NOT_ENROLLED' | 'AGENT_TOO_OLD' | 'QUARANTINED' | 'ORDERED_QUARANTINE' | 'NOTHING_TO_TRY';

export interface TrialFacts {
  readonly isEnrolled: boolean;
  /** What its agent understands; undefined: it did not say. */
  readonly knowsTrials: boolean | undefined;
  /** What it rolled back by itself. */
  readonly quarantined: ReadonlySet<StorePath>;
  /** What a person said does not run there. */
  readonly ordered: ReadonlySet<StorePath>;
  readonly observed: Observed;
}

/** Whether the host can be asked to try the system; undefined: any. What only the machine knows, it answers itself. Pure. */
export function whyNoTrial(facts: TrialFacts, toplevel: StorePath | undefined): NoTrial | undefined {
  const { isEnrolled, knowsTrials, quarantined, ordered, observed } = facts;
  if (!isEnrolled) return 'HOST_NOT_ENROLLED';
  if (knowsTrials === false) return 'AGENT_TOO_OLD';
  if (toplevel === undefined) return undefined;
  if (ordered.has(toplevel)) return 'ORDERED_QUARANTINE';
  if (quarantined.has(toplevel)) return 'QUARANTINED';
  return isOn(observed, toplevel) ? 'NOTHING_TO_TRY' : undefined;
}
