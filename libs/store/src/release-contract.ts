import type { HostName, ReleaseRef, RevisionState, StorePath } from '@floe/model';
import type { CommitOfSystem, NewRelease, Release, Revision, SystemOfHost, Timestamp } from './records.ts';

export type Published =
  | { readonly kind: 'published' }
  /** The revision was not BUILDING (superseded meanwhile): nothing was stored. */
  | { readonly kind: 'stale'; readonly state: RevisionState };

export type HandedOut =
  /** `isFirst`: none of the revision was there before. */
  | { readonly kind: 'handed-out'; readonly isFirst: boolean }
  /** The revision is neither BUILDING nor PUBLISHED: nothing was stored. */
  | { readonly kind: 'stale'; readonly state: RevisionState };

/** A release as it is stored, and its place in the order of pages. */
export interface PagedRelease {
  readonly sequence: number;
  readonly host: HostName;
  readonly envelope: string;
}

export interface ReleaseStore {
  /**
   * Hands out the releases of hosts that are ready, while others are still built: stores them, and starts the rollout as `publish` does. On a
   * revision that is published already, it adds those of hosts that come late. A repeat changes nothing.
   */
  handOut(revisionId: string, releases: readonly NewRelease[], at: Timestamp): Promise<HandedOut>;
  /**
   * Hands out the rest of a revision's releases: stores them, moves the revision to PUBLISHED, starts its rollout and supersedes
   * unfinished older ones, all or nothing. Where one of these is finished first, its own waits. On a revision that is published already, it adds those of hosts that come late.
   * A repeat returns the releases that are there.
   */
  publish(revisionId: string, releases: readonly NewRelease[], at: Timestamp): Promise<Published>;
  /** The hosts that have a release of the revision. */
  hostsOf(revisionId: string): Promise<ReadonlySet<HostName>>;
  /** Brings back a release from the statement log. False when it was there already, or its revision ended without being published. */
  importStatement(release: NewRelease & { readonly repositoryId: string; readonly isSubmitted?: boolean | undefined }): Promise<boolean>;
  /** The release that the host has in a revision: its own, or the one that the revision did not change. */
  ofRevision(revision: Pick<Revision, 'id' | 'repositoryId' | 'sequence'>, host: HostName): Promise<ReleaseRef | undefined>;
  /** The newest release of each host, of the fleet's. */
  latest(repositoryId: string): Promise<readonly Release[]>;
  /** The systems that somebody may still be given, of all hosts: their closures stay in the cache. */
  systemsInUse(repositoryId: string): Promise<ReadonlySet<StorePath>>;
  /** Those of store paths that hosts are kept on, or were told last. */
  submitted(repositoryId: string): Promise<readonly Release[]>;
  /**
   * What directives are made of: these releases, in no order (ids that are not there are left out), and the envelope of the
   * newest freshness statement, as JSON text.
   */
  toOffer(repositoryId: string, ids: readonly string[]): Promise<{ readonly releases: readonly Release[]; readonly freshness: string | undefined }>;
  /** The envelopes of the fleet's releases as they are stored, by host, oldest first; `after`: the last one of the page before. */
  page(repositoryId: string, limit: number, after?: Omit<PagedRelease, 'envelope'>): Promise<readonly PagedRelease[]>;
  /** The commits that systems came with: for each that is known, that of the newest release of its time. In no order. */
  commitsOf(systems: readonly SystemOfHost[]): Promise<readonly CommitOfSystem[]>;
  /** Replaces the freshness statement, unless the stored one is of a later sequence. */
  saveFreshness(repositoryId: string, envelope: string, sequence: number, asOf: Timestamp): Promise<void>;
  /** The latest time that a freshness statement was ever dated; 0 before the first. */
  highestAsOf(repositoryId: string): Promise<Timestamp>;
  /**
   * Deletes releases issued before `before` that no host has and none can be sent any more, since each has a newer one.
   * Returns the number.
   */
  prune(before: Timestamp): Promise<number>;
  /** The same release, signed again. */
  renew(id: string, envelope: string): Promise<void>;
}
