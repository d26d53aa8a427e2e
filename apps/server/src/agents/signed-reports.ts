import { isTerminalAgentState, type HostName } from '@floe/model';
import { HostReport, open, type Envelope } from '@floe/protocol';
import { isAboutSubject, narrow, verifySignature, type Clock, type Logger } from '@floe/runtime';
import type { SavedHostStatement, StorePart } from '@floe/store';

/** So long one waits for others, in ms: a fleet that comes back says all at once. */
const GATHER_MS = 200;
const RETRY_MS = 5_000;
const MAX_BATCH = 500;
/** What waits while the database does not answer, in characters: of hosts that fill it, the last ones say theirs again later. */
const MAX_WAITING_CHARACTERS = 64 * 1024 * 1024;

/** Whose words are judged. */
export interface Speaker {
  readonly host: HostName;
  /** The agent's name for itself. */
  readonly calledAs: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly nonce: string;
  /** Enrolled. */
  readonly publicKey: string;
}

export type JudgedReport = { readonly kind: 'taken'; readonly report: HostReport } | { readonly kind: 'refused'; readonly why: string };

/** Whether the report is this host's own, of this connection. Pure. */
export function judgeReport(envelope: Envelope, { calledAs, machineId, bootId, nonce, publicKey }: Speaker): JudgedReport {
  const opened = open(envelope, 'floe/report', HostReport, [{ keyId: envelope.keyId, publicKey }], verifySignature);
  if (opened.kind === 'refused') return { kind: 'refused', why: opened.message };
  const report = opened.statement;
  const own = { host: calledAs, machineId, bootId, nonce };
  for (const key of ['host', 'machineId', 'bootId', 'nonce'] as const)
    if (report[key] !== own[key]) return { kind: 'refused', why: `its ${key} is not that of this connection` };
  return { kind: 'taken', report };
}

export interface SignedReportWriterDeps {
  readonly store: StorePart<{ hostStatements: 'save' }>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn' | 'debug'>;
}

/**
 * Stores what hosts signed: of each host the newest, and one of each directive that ended. In batches, and of what waits of one host and directive
 * only the newest, so that what waits is bounded by the fleet. Nothing is acknowledged: a host says it again when it comes back.
 */
export class SignedReportWriter implements AsyncDisposable {
  readonly #deps: SignedReportWriterDeps;
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<string, SavedHostStatement>();
  #characters = 0;
  #flushing: Promise<void> | undefined;

  constructor(deps: SignedReportWriterDeps) {
    this.#deps = deps;
  }

  /** Judges and takes one. It ends no connection: what is refused is logged, and nothing else depends on it. */
  take(envelope: Envelope, speaker: Speaker): JudgedReport['kind'] {
    const judged = judgeReport(envelope, speaker);
    const { host, publicKey } = speaker;
    if (judged.kind === 'refused') {
      this.#deps.logger.warn('a signed report is not taken', { host, why: judged.why });
      return 'refused';
    }
    const { seq, epoch, state } = judged.report;
    const saved = { host, seq, publicKey, envelope: JSON.stringify(envelope), at: this.#deps.clock.now() };
    this.#add({ ...saved, kind: 'newest', epoch: 0 });
    if (isTerminalAgentState(state)) this.#add({ ...saved, kind: 'end', epoch });
    return 'taken';
  }

  #add(statement: SavedHostStatement): void {
    const key = `${statement.host} ${statement.kind} ${statement.kind === 'end' ? statement.epoch : ''}`;
    const before = this.#waiting.get(key);
    if (before !== undefined && before.publicKey === statement.publicKey && statement.seq < before.seq) return;
    if (this.#characters + statement.envelope.length > MAX_WAITING_CHARACTERS) return;
    this.#forget(key);
    this.#waiting.set(key, statement);
    this.#characters += statement.envelope.length;
    this.#flushing ??= this.#flushAll();
  }

  #forget(key: string): void {
    this.#characters -= this.#waiting.get(key)?.envelope.length ?? 0;
    this.#waiting.delete(key);
  }

  async #flushAll(): Promise<void> {
    const { store, clock, logger } = this.#deps;
    const { signal } = this.#stopping;
    await clock.sleep(GATHER_MS, signal);
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, MAX_BATCH);
      try {
        const save = async (some: readonly (typeof batch)[number][]): Promise<void> =>
          await store.hostStatements.save(some.map(([, statement]) => statement));
        for (const { item, error } of await narrow(batch, save, isAboutSubject))
          logger.warn('the database does not take a signed report', { host: item[1].host, error });
        for (const [key, statement] of batch) if (this.#waiting.get(key) === statement) this.#forget(key);
      } catch (error) {
        if (signal.aborted) break; // Said again by the hosts.
        logger.warn('signed reports could not be stored; trying again', { waiting: this.#waiting.size, error });
        await clock.sleep(RETRY_MS, signal);
      }
    }
    this.#flushing = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#flushing;
  }
}
