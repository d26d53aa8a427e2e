import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditCheck, AuditHead } from '@floe/model';
import { Counter, signedBytes, Timestamp, type TrustedKey } from '@floe/protocol';
import { readFileIfPresent, verifySignature, writeFileDurably, type Clock, type Logger, type Signer } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import * as v from 'valibot';

const NOTE_EVERY_MS = 10 * 60_000;
const DAY_MS = 24 * 3600_000;
/** One file of each day, for as long as entries are kept. */
const MAX_FILES = 800;
const FILE_FORM = /^\d{6}\.json$/;

const Head = v.strictObject({ id: Counter, at: Timestamp, hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) });
const HeadFile = v.strictObject({ keyId: v.string(), signature: v.string(), signed: v.string() });

export interface AuditHeadDeps {
  readonly store: StorePart<{ audit: 'head' | 'check' }>;
  /** Beside the signed statements. */
  readonly dir: string;
  /** The server's own. */
  readonly signer: Signer;
  /** Keys that signed ends of the log before: the release key did. */
  readonly formerKeys: readonly TrustedKey[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long entries are kept. */
  readonly keepMs: number;
}

/** What a check of the audit log comes to. */
export interface AuditVerification extends AuditCheck {
  /** How many heads in the statement log were compared, and files there that nobody signed. */
  readonly heads: number;
  readonly unsigned: readonly string[];
}

/**
 * Signs the end of the audit log's chain and writes it beside the statements, every ten minutes while it grows. Who can write to the database, and
 * not to that folder, cannot cut the log off, nor make another chain of it: a file is replaced only while the chain holds with all that is signed.
 */
export class AuditHeads {
  readonly #deps: AuditHeadDeps;
  /** The hash of the last end that was signed. */
  #noted: string | undefined;
  #running: Promise<AuditVerification> | undefined;

  constructor(deps: AuditHeadDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    while (!signal.aborted) {
      await this.note().catch((error: unknown) => logger.warn('the end of the audit log could not be signed', { error }));
      await clock.sleep(NOTE_EVERY_MS, signal);
    }
  }

  async note(): Promise<void> {
    const { store, dir, signer, clock, logger } = this.#deps;
    if (this.#noted !== undefined && (await store.audit.head())?.hash === this.#noted) return;
    // Computed, not looked up: an end that is signed follows from all that were signed before, also by a server that ran before this one.
    const { head, broken } = await this.verify();
    if (broken !== undefined) {
      logger.error('the audit log does not fit its signed ends: they are kept, and no new one is signed; see floe log --verify', { broken });
      return;
    }
    if (head === undefined) return;
    const signed = JSON.stringify(head satisfies AuditHead);
    const signature = signer.sign(signedBytes('floe/audit-head', Buffer.from(signed)));
    const day = String(Math.floor(clock.now() / DAY_MS)).padStart(6, '0');
    await writeFileDurably(join(dir, `${day}.json`), JSON.stringify({ keyId: signer.keyId, signature, signed }), 0o644);
    this.#noted = head.hash;
  }

  /** Reads all of the log: one check at a time, which all who ask meanwhile get. */
  async verify(): Promise<AuditVerification> {
    this.#running ??= this.#verify().finally(() => (this.#running = undefined));
    return await this.#running;
  }

  async #verify(): Promise<AuditVerification> {
    const { store, clock, keepMs } = this.#deps;
    const { heads, unsigned } = await this.#read();
    // A day for housekeeping, which removes what is old from time to time.
    const checked = await store.audit.check({ prunedBefore: clock.now() - keepMs + DAY_MS, heads });
    return { ...checked, heads: heads.length, unsigned };
  }

  async #read(): Promise<{ readonly heads: readonly AuditHead[]; readonly unsigned: readonly string[] }> {
    const { dir, signer, formerKeys } = this.#deps;
    const trusted = [signer, ...formerKeys];
    // A folder that cannot be read is an error, never one without heads: they would be replaced unseen.
    await mkdir(dir, { recursive: true });
    const names = (await readdir(dir)).filter((name) => FILE_FORM.test(name)).toSorted();
    const heads: AuditHead[] = [];
    const unsigned: string[] = [];
    for (const name of names.slice(-MAX_FILES)) {
      const file = v.safeParse(v.pipe(v.string(), v.parseJson(), HeadFile), await readFileIfPresent(join(dir, name)));
      const isSigned =
        file.success &&
        trusted.some(({ publicKey }) =>
          verifySignature(publicKey, signedBytes('floe/audit-head', Buffer.from(file.output.signed)), file.output.signature),
        );
      const head = isSigned ? v.safeParse(v.pipe(v.string(), v.parseJson(), Head), file.output.signed) : undefined;
      if (head?.success === true) heads.push(head.output);
      else unsigned.push(name);
    }
    return { heads, unsigned };
  }
}
