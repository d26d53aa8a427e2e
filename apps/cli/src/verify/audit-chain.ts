import { AuditChainCheck, type AuditHead, type BrokenChain } from '@floe/model';
import { SignedAuditHead, signedBytes, type ExportLineOf } from '@floe/protocol';
import { auditContent, auditHash, verifySignature } from '@floe/runtime';
import * as v from 'valibot';
import type { Facts } from './facts.ts';
import type { Findings } from './findings.ts';
import type { PinnedKeys } from './pinned-keys.ts';

/** Housekeeping removes what is old from time to time. */
const DAY_MS = 24 * 3600_000;

const BROKEN_WORDS: Readonly<Record<BrokenChain['why'], (id: number) => string>> = {
  changed: (id) => `the entry ${id} of the audit log was changed, or entries before it were changed, removed, moved or put in`,
  'not-chained': (id) => `the entry ${id} of the audit log is not chained: it was put in, or its hash was removed`,
  'beginning-missing': (id) =>
    `entries of the audit log before ${id} are missing, which are not old enough to be removed, or the entry itself was changed`,
  'end-missing': (id) => `the entry ${id} of the audit log was signed as its end, and is missing`,
  'not-as-signed': (id) => `the entry ${id} of the audit log is another one than was signed here`,
};

/** The audit log of an export: its signed ends, which come first, and its entries. */
export class AuditChain {
  readonly #findings: Findings;
  readonly #heads = new Map<number, AuditHead & { readonly line: number }>();
  /** Where the log is read. */
  #line = 0;
  #prunedBefore = Infinity;
  #check: AuditChainCheck | undefined;
  #lastId = -1;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Entries from before `time` may be gone. */
  begin(time: number): void {
    this.#prunedBefore = time + DAY_MS;
  }

  head(line: number, { keyId, signature, signed }: ExportLineOf<'audit-head'>, keys: PinnedKeys, facts: Facts): void {
    const bytes = signedBytes('floe/audit-head', Buffer.from(signed));
    // Servers from before had one key for both.
    const trusted = [...keys.server, ...keys.release].filter((key) => key.keyId === keyId);
    const head = v.safeParse(v.pipe(v.string(), v.parseJson(), SignedAuditHead), signed);
    if (!trusted.some((key) => verifySignature(key.publicKey, bytes, signature)) || !head.success)
      return this.#findings.bend(line, `this end of the audit log is not what a pinned key signed (key ${keyId})`);
    const { id, hash } = head.output;
    const before = this.#heads.get(id);
    if (before !== undefined && before.hash !== hash)
      return this.#findings.bend(line, `the entry ${id} of the audit log was signed with another hash on line ${before.line}`);
    facts.keep();
    this.#heads.set(id, { ...head.output, line });
  }

  take(line: number, entry: ExportLineOf<'audit'>): void {
    const { id, at, hash } = entry;
    this.#line = line;
    if (id <= this.#lastId) this.#findings.bend(line, `the entry ${id} of the audit log comes after the entry ${this.#lastId}`);
    this.#lastId = id;
    this.#chain().take({ id, at, content: auditContent(entry), hash });
  }

  /** How many entries are chained. */
  end(): number {
    return this.#chain().end().entries;
  }

  #chain(): AuditChainCheck {
    this.#check ??= new AuditChainCheck({
      hash: auditHash,
      prunedBefore: this.#prunedBefore,
      heads: [...this.#heads.values()],
      onBroken: ({ id, why }) => {
        const isOfHead = why === 'end-missing' || why === 'not-as-signed';
        this.#findings.bend(isOfHead ? this.#heads.get(id)?.line : this.#line, BROKEN_WORDS[why](id));
      },
    });
    return this.#check;
  }
}
