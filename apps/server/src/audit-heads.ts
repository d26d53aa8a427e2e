import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditCheck, AuditHead } from '@floe/model';
import { SignedAuditHead, signedBytes, type TrustedKey } from '@floe/protocol';
import { readFileIfPresent, verifySignature, writeFileDurably, type Clock, type Logger, type Signer } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import * as v from 'valibot';

const NOTE_EVERY_MS = 10 * 60_000;
const DAY_MS = 24 * 3600_000;
/** One file of each day, for as long as entries are kept. */
const MAX_FILES = 800;
const FILE_FORM = /^\d{6}\.json$/;

const HeadFile = v.strictObject({ keyId: v.string(), signature: v.string(), signed: v.string() });

function parseHeadFile(text: string | undefined): v.InferOutput<typeof HeadFile> | undefined {
  const file = v.safeParse(v.pipe(v.string(), v.parseJson(), HeadFile), text);
  return file.success ? file.output : undefined;
}

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

  /** The ends that were signed, as they lie beside the statements, whoever signed them; undefined for a file that is no such thing. */
  async signed(): Promise<readonly (v.InferOutput<typeof HeadFile> | undefined)[]> {
    const { dir } = this.#deps;
    return await Promise.all((await this.#files()).map(async (name) => parseHeadFile(await readFileIfPresent(join(dir, name)))));
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

  async #files(): Promise<readonly string[]> {
    const { dir } = this.#deps;
    // A folder that cannot be read is an error, never one without heads: they would be replaced unseen.
    await mkdir(dir, { recursive: true });
    return (await readdir(dir))
      .filter((name) => FILE_FORM.test(name))
      .toSorted()
      .slice(-MAX_FILES);
  }

  async #read(): Promise<{ readonly heads: readonly AuditHead[]; readonly unsigned: readonly string[] }> {
    const { dir, signer, formerKeys } = this.#deps;
    const trusted = [signer, ...formerKeys];
    const heads: AuditHead[] = [];
    const unsigned: string[] = [];
    for (const name of await this.#files()) {
      const file = parseHeadFile(await readFileIfPresent(join(dir, name)));
      const isSigned =
        file !== undefined &&
        trusted.some(({ publicKey }) => verifySignature(publicKey, signedBytes('floe/audit-head', Buffer.from(file.signed)), file.signature));
      const head = isSigned ? v.safeParse(v.pipe(v.string(), v.parseJson(), SignedAuditHead), file.signed) : undefined;
      if (head?.success === true) heads.push(head.output);
      else unsigned.push(name);
    }
    return { heads, unsigned };
  }
}
