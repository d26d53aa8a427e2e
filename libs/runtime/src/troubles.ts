import type { Clock } from './clock.ts';
import { describeError, isAbort, isFloeError } from './errors.ts';
import type { Logger } from './logger.ts';
import { narrow } from './narrow.ts';

/** The error that a loop has with one subject, for people. */
export interface Trouble {
  readonly code: string;
  readonly message: string;
  /** When it began. */
  readonly since: number;
}

/** While an error lasts, it is logged at this interval. */
const LOG_AGAIN_MS = 10 * 60_000;
/** Errors of more subjects than this are logged, but not kept. */
const MAX_KEPT = 100_000;

/** True for an error about the subject being processed. A retryable error (the database does not answer) and an abort concern all subjects. */
export function isAboutSubject(error: unknown): boolean {
  return !isAbort(error) && !(isFloeError(error) && error.retryable);
}

/**
 * Supervises loops over many subjects (hosts, revisions, statuses): an error about one subject is recorded for that subject and
 * shown on it, and the loop continues with the others. It is cleared when the same work succeeds. One instance serves all loops
 * of a process.
 */
export class Troubles {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onChange: (subject: string) => void;
  /** By subject, then by the work that failed. */
  readonly #bySubject = new Map<string, Map<string, Trouble & { readonly loggedAt: number }>>();

  /** `onChange`: the error of a subject began, changed or ended. */
  constructor(deps: { readonly clock: Clock; readonly logger: Logger; readonly onChange?: (subject: string) => void }) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#onChange = deps.onChange ?? (() => undefined);
  }

  /** The oldest error of a subject. */
  of(subject: string): Trouble | undefined {
    const troubles = [...(this.#bySubject.get(subject)?.values() ?? [])].toSorted((left, right) => left.since - right.since);
    const [oldest] = troubles;
    return oldest === undefined ? undefined : { code: oldest.code, message: oldest.message, since: oldest.since };
  }

  /** Runs `work` for each subject separately. */
  async each<Subject>(
    what: string,
    subjects: Iterable<Subject>,
    keyOf: (subject: Subject) => string,
    work: (subject: Subject) => Promise<void>,
  ): Promise<void> {
    for (const subject of subjects) {
      try {
        await work(subject);
        this.end(what, keyOf(subject));
      } catch (error) {
        if (!isAboutSubject(error)) throw error;
        this.note(what, keyOf(subject), error);
      }
    }
  }

  /**
   * Runs `work` for all subjects together, which is cheaper. When it fails because of one subject, that one is found, and the
   * others are processed without it. `work` must be repeatable.
   */
  async together<Subject>(
    what: string,
    subjects: readonly Subject[],
    keyOf: (subject: Subject) => string,
    work: (some: readonly Subject[]) => Promise<void>,
  ): Promise<void> {
    const culprits = await narrow(subjects, work, isAboutSubject, subjects.length);
    for (const { item, error } of culprits) this.note(what, keyOf(item), error);
    if (this.#bySubject.size === 0) return;
    const failed = new Set(culprits.map(({ item }) => item));
    for (const subject of subjects) if (!failed.has(subject)) this.end(what, keyOf(subject));
  }

  /** Records that `what` failed for this subject. */
  note(what: string, subject: string, error: unknown): void {
    const now = this.#clock.now();
    const code = isFloeError(error) ? error.code : 'INTERNAL';
    const message = `${what} failed: ${describeError(error)}`;
    const troubles = this.#bySubject.get(subject) ?? new Map<string, Trouble & { loggedAt: number }>();
    const before = troubles.get(what);
    const isSame = before?.code === code && before.message === message;
    const isToLog = !isSame || now - before.loggedAt >= LOG_AGAIN_MS;
    if (isToLog) this.#logger.error('one subject failed; the others go on', { subject, what, error, ...(isFloeError(error) ? error.data : {}) });
    if (this.#bySubject.size >= MAX_KEPT && before === undefined) return;
    troubles.set(what, { code, message, since: isSame ? before.since : now, loggedAt: isToLog ? now : before.loggedAt });
    this.#bySubject.set(subject, troubles);
    if (!isSame) this.#onChange(subject);
  }

  /** Records that `what` succeeded for this subject again. */
  end(what: string, subject: string): void {
    const troubles = this.#bySubject.get(subject);
    if (troubles?.delete(what) !== true) return;
    if (troubles.size === 0) this.#bySubject.delete(subject);
    this.#logger.info('what failed for one subject works again', { subject, what });
    this.#onChange(subject);
  }
}
