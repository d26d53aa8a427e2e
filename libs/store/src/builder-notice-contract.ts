/** A problem of a builder itself, for people. */
export interface BuilderNotice {
  /** Capital letters and _, as `CACHE_TOO_LARGE`. */
  readonly code: string;
  readonly message: string;
}

/** What one builder has to tell now. */
export interface BuildersNotices {
  /** Its name in leases. */
  readonly owner: string;
  /** Its name for people: that of its machine. */
  readonly name: string;
  readonly notices: readonly BuilderNotice[];
}

export interface BuilderNoticeStore {
  /** In place of all that this builder told before; of what it tells, more than is shown is left out. It has to be told again within 90 s. */
  tellNotices(repositoryId: string, notices: BuildersNotices): Promise<void>;
  /** Those that hold now, of builders that are still there. */
  noticesOfBuilders(repositoryId: string): Promise<readonly BuildersNotices[]>;
}
