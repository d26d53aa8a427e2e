/** An entry of the audit log as the chain sees it, in the order of ids. */
export interface ChainedEntry {
  readonly id: number;
  readonly at: number;
  /** All of it that never changes, as canonical text. */
  readonly content: string;
  /** Null: from before entries were chained. */
  readonly hash: string | null;
}

/** An entry that was noted outside of the database. */
export interface AuditHead {
  readonly id: number;
  readonly at: number;
  readonly hash: string;
}

/** The first entry that does not fit, and why. */
export interface BrokenChain {
  readonly id: number;
  readonly at: number;
  readonly why: 'changed' | 'not-chained' | 'beginning-missing' | 'end-missing' | 'not-as-signed';
}

export interface AuditCheck {
  /** Entries whose hash was computed again. */
  readonly entries: number;
  readonly head: AuditHead | undefined;
  readonly broken: BrokenChain | undefined;
}

/**
 * Follows the chain, entry by entry: each hash is over the entry and the hash before it, so an entry that was changed, removed, put in or moved
 * does not fit. After one that does not fit it goes on from what that one says, so that each is found. What is old enough may have been removed
 * from the beginning; the end is known from the heads that were signed.
 */
export class AuditChainCheck {
  readonly #hash: (previous: string, content: string) => string;
  readonly #prunedBefore: number;
  readonly #heads: readonly AuditHead[];
  readonly #onBroken: (broken: BrokenChain) => void;
  #entries = 0;
  #firstId: number | undefined;
  #previous: AuditHead | undefined;
  #broken: BrokenChain | undefined;
  readonly #seen = new Map<number, string>();
  readonly #headIds: ReadonlySet<number>;

  /** `prunedBefore`: only entries from before this time may be missing from the beginning. `onBroken` is told each entry that does not fit. */
  constructor(options: {
    readonly hash: (previous: string, content: string) => string;
    readonly prunedBefore: number;
    readonly heads: readonly AuditHead[];
    readonly onBroken?: (broken: BrokenChain) => void;
  }) {
    this.#hash = options.hash;
    this.#prunedBefore = options.prunedBefore;
    this.#heads = options.heads;
    this.#headIds = new Set(options.heads.map(({ id }) => id));
    this.#onBroken = options.onBroken ?? (() => undefined);
  }

  /** In the order of ids. */
  take({ id, at, content, hash }: ChainedEntry): void {
    if (hash === null) {
      if (this.#previous !== undefined) this.#found({ id, at, why: 'not-chained' });
      return;
    }
    const isFirst = this.#previous === undefined;
    const fits = hash === this.#hash(this.#previous?.hash ?? '', content);
    if (isFirst) this.#firstId = id;
    // The first one that is left of what was removed by age cannot be computed: it is what the next one is chained to.
    if (!fits && !isFirst) this.#found({ id, at, why: 'changed' });
    if (!fits && isFirst && at >= this.#prunedBefore) this.#found({ id, at, why: 'beginning-missing' });
    this.#entries += 1;
    this.#previous = { id, at, hash };
    if (this.#headIds.has(id)) this.#seen.set(id, hash);
  }

  end(): AuditCheck {
    for (const { id, at, hash } of this.#heads.toSorted((one, other) => one.id - other.id)) {
      const seen = this.#seen.get(id);
      if (seen === hash) continue;
      const isRemovedByAge = at < this.#prunedBefore && (this.#firstId === undefined || id < this.#firstId);
      if (seen !== undefined) this.#found({ id, at, why: 'not-as-signed' });
      else if (!isRemovedByAge) this.#found({ id, at, why: 'end-missing' });
    }
    return { entries: this.#entries, head: this.#previous, broken: this.#broken };
  }

  #found(broken: BrokenChain): void {
    this.#broken ??= broken;
    this.#onBroken(broken);
  }
}
