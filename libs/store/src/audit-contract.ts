import type { AuditEntry, ListedAuditEntry, Timestamp } from './records.ts';

export interface AuditStore {
  append(entry: AuditEntry): Promise<void>;
  /** What somebody tried, `count` times, and may not do: one entry for each actor, action and day counts them. */
  countRefusals(refusal: AuditEntry, count: number): Promise<void>;
  /** Newest first, of those with an id below `before`, about `subject`: a host, or a commit or its first digits. */
  list(query: {
    readonly limit: number;
    readonly before?: number | undefined;
    readonly subject?: string | undefined;
  }): Promise<readonly ListedAuditEntry[]>;
  /** Deletes entries from before `before`. Returns the number. */
  prune(before: Timestamp): Promise<number>;
}
