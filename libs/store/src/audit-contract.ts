import type { AuditCheck, AuditHead } from '@floe/model';
import type { AuditEntry, ListedAuditEntry, Timestamp } from './records.ts';

/** An entry as the database has it, with what its hash is made of. */
export interface ChainedAuditEntry {
  readonly id: number;
  readonly at: Timestamp;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
  /** Of a refusal, the day. */
  readonly refusedOn: number | null;
  readonly count: number;
  readonly lastAt: Timestamp | null;
  /** Null: from before entries were chained. */
  readonly hash: string | null;
}

/** Each entry is chained to the one before it by a hash, also when several servers append at once. */
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
  /** Oldest first, of those with an id above `after`. */
  page(limit: number, after?: number): Promise<readonly ChainedAuditEntry[]>;
  /** The last chained entry; undefined: there is none. */
  head(): Promise<AuditHead | undefined>;
  /** Computes the chain again, and says which entry is the first that does not fit. `heads` were signed; see {@link AuditCheck}. */
  check(query: { readonly prunedBefore: Timestamp; readonly heads: readonly AuditHead[] }): Promise<AuditCheck>;
  /** Deletes entries from before `before`, from the beginning of the chain; the last one of these stays. Returns the number. */
  prune(before: Timestamp): Promise<number>;
}
