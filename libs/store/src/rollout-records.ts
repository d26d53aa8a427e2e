import type {
  CommitSha,
  HostName,
  KnownHost,
  Loosening,
  NextRollout,
  Order,
  ProbeResult,
  RolloutCourse,
  RolloutOrderKind,
  RolloutOrders,
  RolloutPolicy,
  RolloutState,
  StoredAnswer,
  StorePath,
  SupersededInARow,
} from '@floe/model';
import type { AuditEntry } from './access-records.ts';
import type { LostRollout } from './stable-contract.ts';
import type { Timestamp } from './timestamp.ts';

export interface Rollout {
  readonly id: string;
  readonly revisionId: string;
  /** The state of `course`. */
  readonly state: RolloutState;
  readonly startedAt: Timestamp;
  readonly completedAt?: Timestamp | undefined;
  readonly course: RolloutCourse;
  /** Since when it waits for the rollout before it; also of one that was superseded before it began. */
  readonly waitingSince?: Timestamp | undefined;
  /** Grows with each write. */
  readonly version: number;
  /** What of its row cannot be read: then it is PAUSED, and nothing is decided about it. */
  readonly unreadable?: string | undefined;
}

/** A rollout with the policy of its revision, and what was decided by that. */
export interface PolicedRollout extends Rollout {
  readonly policy: RolloutPolicy;
  /** The ring of each host, as it was when the rollout began; undefined: all hosts are in the first one. */
  readonly rings: ReadonlyMap<HostName, number> | undefined;
  /** How its policy is weaker than that of the last complete rollout; undefined: not compared yet. */
  readonly weaker: readonly Loosening[] | undefined;
}

/** The rollout that hosts follow. */
export interface CurrentRollout extends PolicedRollout {
  /** Undefined: not known, or not asked yet. */
  readonly authors?: RolloutAuthors | undefined;
  /** Hosts that its revision changes and that have no release yet, because they are still built, with the system that they will have; undefined: none. */
  readonly coming?: ReadonlyMap<HostName, StorePath> | undefined;
  /** Hosts of its revision that are still evaluated; undefined: none. */
  readonly evaluating?: ReadonlySet<HostName> | undefined;
  /** What people asked of it, and of its fleet. */
  readonly orders: RolloutOrders;
  /** What its probes answered last; undefined: nothing. */
  readonly probes?: readonly StoredAnswer[] | undefined;
  /** The people that `authors` are; undefined: not all are known. */
  readonly people?: RolloutPeople | undefined;
}

/** Who wrote the commits of a rollout that one of its rings has not had. */
export interface RolloutAuthors {
  /** The index of the ring. */
  readonly ring: number;
  /** They are the commits after this sequence: of the last complete rollout that was not without the ring. */
  readonly since: number;
  /** Who pushed them, logins at the forge, as far as the forge told it. */
  readonly pushers: readonly string[];
  /** Of some push among them it was not told, or not by whom. */
  readonly isUntold: boolean;
  /** Who signed them, where the settings name signers. */
  readonly signers: readonly string[];
}

/** The people behind {@link RolloutAuthors}. */
export interface RolloutPeople {
  /** The people who pushed, signed or submitted. */
  readonly authors: readonly string[];
  /** As {@link RolloutAuthors.isUntold}. */
  readonly isUntold: boolean;
  /** Logins that belong to no token: each may be anybody. */
  readonly unmapped: readonly string[];
  /** The same of signers. */
  readonly unmappedSigners: readonly string[];
  /** There is an administrator who is none of the authors. */
  readonly hasOtherAdministrator: boolean;
}

/** The newest revision that waits for the rollout that hosts follow. */
export interface NextOfFleet extends NextRollout {
  /** Of its rollout. */
  readonly id: string;
  readonly version: number;
  readonly revisionId: string;
  readonly sha: CommitSha;
  readonly sequence: number;
  readonly orders: RolloutOrders;
  /** The commit whose rollout hosts follow; undefined: there is none. */
  readonly after: CommitSha | undefined;
  /** Before the rollout that hosts follow. */
  readonly superseded: SupersededInARow;
}

/** A decision about a rollout, to be stored if nobody wrote to it since `version`. */
export interface RolloutDecided {
  readonly id: string;
  readonly version: number;
  readonly course: RolloutCourse;
  readonly rings?: ReadonlyMap<HostName, number> | undefined;
  readonly weaker?: readonly Loosening[] | undefined;
  /** `unknown`: they were known of another ring, and are not of this one. Undefined: what is stored stays. */
  readonly authors?: RolloutAuthors | 'unknown' | undefined;
  /** Hosts that were not asked: what it has for them is not their stable release when it is complete. */
  readonly unasked?: readonly HostName[] | undefined;
  /** Only when it completes. */
  readonly left?: LeftHosts | undefined;
}

/** What was decided, for the audit log, where it stands under the rollout's commit. */
export type RolloutEntry = Omit<AuditEntry, 'subject'>;

/** The last rollout that was complete. */
export interface CompleteRollout {
  readonly revisionId: string;
  readonly policy: RolloutPolicy;
  /** Each host as the last complete rollout that had it left it, which may be an older one. */
  readonly known: readonly KnownHost[];
}

/** What was complete before a rollout is. */
export interface CompleteBefore {
  /** The newest other rollout of the repository that is COMPLETE. */
  readonly last: CompleteRollout | undefined;
  /** One that is not known, because the database was lost. */
  readonly lost: LostRollout | undefined;
}

/** What a rollout that completes leaves of the hosts of its commit. */
export interface LeftHosts {
  readonly hosts: readonly KnownHost[];
  /** Of the complete rollout before it: the names of its rings, with the names that they have now. One without a new name is gone. */
  readonly renamed: ReadonlyMap<string, string>;
}

/** A probe of a ring of a rollout. */
export interface ProbeOfRing {
  readonly rolloutId: string;
  readonly ring: number;
  readonly name: string;
}

/** What a probe came to, and when it was asked. */
export interface AskedAnswer extends ProbeResult {
  readonly askedAt: number;
}

/** What a person asks of a rollout. `subject`: the ring of an approval, the `since` of the pause that a resume ends, 1 of an abort that reverts. */
export interface NewRolloutOrder extends Order {
  /** Of an approval: whose token it is, and what was approved. */
  readonly person?: string | undefined;
  readonly binds?: string | undefined;
  /** Of an approval: the loosenings that it was given for, by id. */
  readonly loosens?: readonly string[] | undefined;
  readonly rolloutId: string;
  /**
   * As somebody looked at the rollout who judged the order: it is stored only if nothing was decided since, and what is being decided meanwhile
   * is not. Undefined: whatever the rollout is at.
   */
  readonly version?: number | undefined;
  readonly kind: RolloutOrderKind;
  readonly subject?: number | undefined;
  /** With a resume: the failures that the person saw. */
  readonly acknowledged?: readonly { readonly host: HostName; readonly toplevel: StorePath }[] | undefined;
  /** With a resume: the answers of probes that the person saw. */
  readonly answers?: readonly (Omit<ProbeOfRing, 'rolloutId'> & { readonly number: number })[] | undefined;
}
