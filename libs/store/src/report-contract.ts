import type { HostName, RolloutFailure } from '@floe/model';
import type { ListedReport, StoredReport, Timestamp } from './records.ts';

/** What hosts reported, and the ends of the logs of what failed. */
export interface ReportStore {
  /**
   * Stores a batch, each report once, and moves the host rows to their newest. Returns for each host the seq up to which
   * it need not send again; hosts that are not known are left out. Costs a constant number of statements.
   */
  store(batch: readonly StoredReport[]): Promise<ReadonlyMap<HostName, number>>;
  /** Newest first. */
  list(host: HostName, limit: number): Promise<readonly ListedReport[]>;
  /** The log of one report; undefined when it has none, or there is no such report. */
  log(report: Pick<ListedReport, 'host' | 'series' | 'seq'>): Promise<string | undefined>;
  /** The ends of the newest logs of these hosts about these systems; who has none is left out. */
  failureLogs(failures: readonly Pick<RolloutFailure, 'host' | 'toplevel'>[]): Promise<ReadonlyMap<HostName, string>>;
  /** Deletes reports received before `before`, except the newest of each host. Returns the number. */
  prune(before: Timestamp): Promise<number>;
}
