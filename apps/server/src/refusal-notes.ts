import type { AuditEntry, StorePart } from '@floe/store';

/**
 * Writes refusals into the audit log. While one of an actor and an action is written, further ones are only counted, and
 * written together: a flood of them costs one write at a time.
 */
export class RefusalNotes {
  readonly #audit: StorePart<{ audit: 'countRefusals' }>['audit'];
  /** How many more are to be written, of those that are being written. */
  readonly #waiting = new Map<string, { count: number; latest: AuditEntry }>();

  constructor(audit: StorePart<{ audit: 'countRefusals' }>['audit']) {
    this.#audit = audit;
  }

  /** Resolves when it is written, or when another call has promised to write it. */
  async note(refusal: AuditEntry): Promise<void> {
    const key = JSON.stringify([refusal.actor, refusal.action]);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.count += 1;
      waiting.latest = refusal;
      return;
    }
    const own = { count: 1, latest: refusal };
    this.#waiting.set(key, own);
    try {
      while (own.count > 0) {
        const { count, latest } = own;
        own.count = 0;
        await this.#audit.countRefusals(latest, count);
      }
    } finally {
      this.#waiting.delete(key);
    }
  }
}
