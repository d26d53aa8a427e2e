import { SignedAuditHead, signedBytes, type ExportLineOf } from '@floe/protocol';
import { auditContent, auditHash, verifySignature } from '@floe/runtime';
import * as v from 'valibot';
import type { Facts } from './facts.ts';
import type { Findings } from './findings.ts';
import type { PinnedKeys } from './pinned-keys.ts';

const DAY_MS = 24 * 3600_000;

/** Follows the chain of the audit log. After an entry that does not fit it goes on from that one, so that each is named. */
export class AuditChain {
  readonly #findings: Findings;
  readonly #heads = new Map<number, { readonly line: number; readonly hash: string; readonly at: number }>();
  #prunedBefore = Infinity;
  #previous: { readonly id: number; readonly hash: string } | undefined;
  #first: number | undefined;
  #lastId = -1;
  entries = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Entries from before `time` may be gone. */
  begin(time: number): void {
    this.#prunedBefore = time;
  }

  head(line: number, { keyId, signature, signed }: ExportLineOf<'audit-head'>, keys: PinnedKeys, facts: Facts): void {
    const bytes = signedBytes('floe/audit-head', Buffer.from(signed));
    const trusted = [...keys.server, ...keys.release].filter((key) => key.keyId === keyId);
    const head = v.safeParse(v.pipe(v.string(), v.parseJson(), SignedAuditHead), signed);
    if (!trusted.some((key) => verifySignature(key.publicKey, bytes, signature)) || !head.success)
      return this.#findings.bend(line, `this end of the audit log is not what a pinned key signed (key ${keyId})`);
    const { id, hash, at } = head.output;
    const before = this.#heads.get(id);
    if (before !== undefined && before.hash !== hash)
      return this.#findings.bend(line, `the entry ${id} of the audit log was signed with another hash on line ${before.line}`);
    facts.keep();
    this.#heads.set(id, { line, hash, at });
  }

  take(line: number, entry: ExportLineOf<'audit'>): void {
    const { id, at, hash } = entry;
    const findings = this.#findings;
    if (id <= this.#lastId) findings.bend(line, `the entry ${id} of the audit log comes after the entry ${this.#lastId}`);
    this.#lastId = id;
    if (hash === null) {
      if (this.#previous !== undefined)
        findings.bend(line, `the entry ${id} of the audit log is not chained: it was put in, or its hash was removed`);
      return;
    }
    this.entries += 1;
    const fits = auditHash(this.#previous?.hash ?? '', auditContent(entry)) === hash;
    if (this.#previous === undefined) {
      this.#first = id;
      if (!fits && at >= this.#prunedBefore)
        findings.bend(line, `entries of the audit log before ${id} are missing, which are not old enough to be removed; or it was changed`);
    } else if (!fits) {
      findings.bend(line, `the entry ${id} of the audit log was changed, or entries before it were changed, removed, moved or put in`);
    }
    this.#previous = { id, hash };
    const head = this.#heads.get(id);
    if (head === undefined) return;
    this.#heads.delete(id);
    if (head.hash !== hash) findings.bend(line, `the entry ${id} of the audit log is another one than was signed (line ${head.line})`);
  }

  end(): void {
    for (const [id, { line, at }] of this.#heads) {
      const isRemovedByAge = at < this.#prunedBefore + DAY_MS && (this.#first === undefined || id < this.#first);
      if (!isRemovedByAge) this.#findings.bend(line, `the entry ${id} of the audit log was signed as its end, and is missing`);
    }
  }
}
