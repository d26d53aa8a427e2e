import type { HostName } from '../brands.ts';
import type { RolloutOrders } from './course.ts';
import type { RolloutPolicy } from './policy.ts';
import type { StoredAnswer } from './probe-answer.ts';
import type { RingHost } from './progress.ts';

/** A host of the rollout's revision that is still built. */
export interface ComingHost {
  readonly host: HostName;
  readonly ring: number;
  /** It is enrolled, and connected or only briefly away: its ring waits for it. One that is away is asked when it has its release and is back. */
  readonly isPresent: boolean;
}

/** All that a decision depends on, besides the course so far and the time. */
export interface RolloutFacts {
  readonly policy: RolloutPolicy;
  /** The hosts that have a release in the rollout. */
  readonly hosts: readonly RingHost[];
  /** The hosts that its revision changes and that have no release yet, because they are still built; undefined: none. */
  readonly coming?: readonly ComingHost[] | undefined;
  /** So many hosts of its revision are still evaluated: any of them may be of any ring. Undefined: none. */
  readonly evaluating?: number | undefined;
  /**
   * Of each ring: whether changes may begin now, and how long they might since the course's `ringSince`. What is begun by the decision
   * itself has been open for no time.
   */
  readonly windows: readonly { readonly isOpen: boolean; readonly openMs: number }[];
  readonly orders: RolloutOrders;
  /** What the probes of its rings answered last. */
  readonly probes: readonly StoredAnswer[];
  /** Stands for the policy and the system of each host: an approval is for what it was given for. Undefined: nobody has to approve. */
  readonly binds?: string | undefined;
  /** The people who are known to have brought the commits since stable: whoever else brought some is in {@link hasUnknownAuthor}. */
  readonly authors: readonly string[];
  /** Not everybody who brought them is known: then nobody is known to be somebody else. */
  readonly hasUnknownAuthor: boolean;
  /** There is an administrator who is none of the authors: then no author approves a weaker policy. */
  readonly hasOtherAdministrator: boolean;
  /** How its policy is weaker than the one that the last complete rollout had. An administrator approves it. */
  readonly weaker: readonly Loosening[];
}

/** More of them count as one. */
export const MAX_LOOSENINGS = 50;

/** One way in which a policy is weaker than the one before. */
export interface Loosening {
  /** In words. */
  readonly text: string;
  /** Stands for the words and for all hosts that it is about, also those that the words do not name. */
  readonly id: string;
}
