import type { StorePath } from './brands.ts';
import { isOn, type Observed } from './observed.ts';

/** Why a host is not asked to try a system. */
export type NoTrial = 'HOST_NOT_ENROLLED' | 'AGENT_TOO_OLD' | 'QUARANTINED' | 'NOTHING_TO_TRY';

export interface TrialFacts {
  readonly isEnrolled: boolean;
  /** What its agent understands; undefined: it did not say. */
  readonly knowsTrials: boolean | undefined;
  readonly quarantined: ReadonlySet<StorePath>;
  readonly observed: Observed;
}

/** Whether the host can be asked to try the system; undefined: any. What only the machine knows, it answers itself. Pure. */
export function whyNoTrial({ isEnrolled, knowsTrials, quarantined, observed }: TrialFacts, toplevel: StorePath | undefined): NoTrial | undefined {
  if (!isEnrolled) return 'HOST_NOT_ENROLLED';
  if (knowsTrials === false) return 'AGENT_TOO_OLD';
  if (toplevel === undefined) return undefined;
  if (quarantined.has(toplevel)) return 'QUARANTINED';
  return isOn(observed, toplevel) ? 'NOTHING_TO_TRY' : undefined;
}
