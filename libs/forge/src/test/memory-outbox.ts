import {
  abandonStatus,
  claimStatus,
  newStatusEntry,
  postponeStatus,
  renewStatus,
  settleStatus,
  statusDueAt,
  wantStatus,
  type CommitSha,
  type StatusEntry,
  type StatusState,
  type StatusText,
} from '@floe/model';
import type { ClaimedStatus, StatusOutbox } from '../status-outbox.ts';

const SHA = '6113728f27ae82c7b1a177c8d03f9e96e0adf246' as CommitSha;

interface Row {
  readonly sha: CommitSha;
  readonly context: string;
  entry: StatusEntry;
}

/** The outbox in memory; what becomes of an entry is decided as everywhere. */
export class MemoryOutbox implements StatusOutbox {
  readonly rows = new Map<string, Row>();
  readonly #now: () => number;
  /** Errors to throw, one per call, before anything works again. */
  readonly outage: Error[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  put(context: string, text: StatusState | StatusText, sha: CommitSha = SHA): void {
    const id = `${sha} ${context}`;
    const wish = { ...(typeof text === 'string' ? { state: text, description: text } : text), targetUrl: 'https://floe.example.org' };
    const row = this.rows.get(id);
    if (row === undefined) this.rows.set(id, { sha, context, entry: newStatusEntry(wish, this.#now()) });
    else row.entry = wantStatus(row.entry, wish, this.#now()) ?? row.entry;
  }

  entry(context: string, sha: CommitSha = SHA): StatusEntry {
    return this.#row(`${sha} ${context}`).entry;
  }

  get nextDueAt(): number | undefined {
    const times = [...this.rows.values()].map(({ entry }) => statusDueAt(entry) ?? Infinity);
    const first = Math.min(...times);
    return first === Infinity ? undefined : first;
  }

  async claimDue({ now, limit, leaseMs }: { now: number; limit: number; leaseMs: number }): Promise<ClaimedStatus[]> {
    this.#work();
    const due = [...this.rows]
      .filter(([, { entry }]) => (statusDueAt(entry) ?? Infinity) <= now)
      .toSorted(([, a], [, b]) => (a.entry.dueAt ?? Infinity) - (b.entry.dueAt ?? Infinity));
    return due.slice(0, limit).map(([id, row]) => {
      row.entry = claimStatus(row.entry, now, leaseMs);
      const { sha, context, entry } = row;
      return { ...entry, id, sha, context, attempts: entry.attempts + 1, claimedAt: now, isUnsure: entry.unsureSince !== undefined };
    });
  }

  async renew(claimed: ClaimedStatus, now: number, leaseMs: number): Promise<boolean> {
    return this.#change(claimed, (entry) => renewStatus(entry, claimed, now, leaseMs));
  }

  async markSent(claimed: ClaimedStatus, at: number): Promise<void> {
    this.#change(claimed, (entry) => settleStatus(entry, claimed, { at, isPosted: true }));
  }

  async markSeen(claimed: ClaimedStatus, at: number): Promise<void> {
    this.#change(claimed, (entry) => settleStatus(entry, claimed, { at, isPosted: false }));
  }

  async markRetry(claimed: ClaimedStatus, error: string, dueAt: number, missedAt?: number): Promise<void> {
    this.#change(claimed, (entry) => postponeStatus(entry, claimed, { dueAt, error, missedAt }));
  }

  async markFailed(claimed: ClaimedStatus, error: string, at: number): Promise<void> {
    this.#change(claimed, (entry) => abandonStatus(entry, claimed, { at, error }));
  }

  #change({ id }: ClaimedStatus, decide: (entry: StatusEntry) => StatusEntry | undefined): boolean {
    this.#work();
    const row = this.#row(id);
    const next = decide(row.entry);
    row.entry = next ?? row.entry;
    return next !== undefined;
  }

  #row(id: string): Row {
    const row = this.rows.get(id);
    if (row === undefined) throw new Error(`no row ${id}`);
    return row;
  }

  #work(): void {
    const error = this.outage.shift();
    if (error !== undefined) throw error;
  }
}
