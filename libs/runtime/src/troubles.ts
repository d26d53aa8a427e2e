import type { Clock } from './clock.ts';
import { describeError, isAbort, isFloeError } from './errors.ts';
import type { Logger } from './logger.ts';
import { narrow } from './narrow.ts';

/** What keeps a loop from doing its work for one subject, for people. */
export interface Trouble {
  readonly code: string;
  readonly message: string;
  /** When it began. */
  readonly since: number;
}

/** The same trouble is logged this often while it lasts. */
const LOG_AGAIN_MS = 10 * 60_000;
/** Above so many a subject's trouble is logged and not kept. */
const MAX_KEPT = 100_000;

/**
 * True for an error that is about what was being worked on. What may pass (a database that is away) and the end of the
 * process concern all.
 */
export function isAboutSubject(error: unknown): boolean {
  return !isAbort(error) && !(isFloeError(error) && error.retryable);
}

/**
 * The supervision of loops that look after many subjects (hosts, revisions, statuses): an error about one is that one's
 * trouble, kept here for people to see, and the loop goes on with the others. It ends by itself when the same work
 * succeeds. One instance serves all loops of a process.
 */
export class Troubles {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onChange: (subject: string) => void;
  /** By subject, then by the work that failed. */
  readonly #bySubject = new Map<string, Map<string, Trouble & { readonly loggedAt: number }>>();

  /** `onChange`: a subject's trouble began, became another, or ended. */
  constructor(deps: { readonly clock: Clock; readonly logger: Logger; readonly onChange?: (subject: string) => void }) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#onChange = deps.onChange ?? (() => undefined);
  }

  /** The oldest trouble of a subject. */
  of(subject: string): Trouble | undefined {
    const troubles = [...(this.#bySubject.get(subject)?.values() ?? [])].toSorted((left, right) => left.since - right.since);
    const [oldest] = troubles;
    return oldest === undefined ? undefined : { code: oldest.code, message: oldest.message, since: oldest.since };
  }

  /** Does `work` for each subject by itself. */
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
   * Does `work` for all subjects at once, which costs less than for each; when that fails for one of them it is found, and
   * the others are worked on without it. `work` must be one that can be repeated.
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

  /** Notes that `what` cannot be done for this subject. */
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

  /** `what` is done for this subject again. */
  end(what: string, subject: string): void {
    const troubles = this.#bySubject.get(subject);
    if (troubles?.delete(what) !== true) return;
    if (troubles.size === 0) this.#bySubject.delete(subject);
    this.#logger.info('what failed for one subject works again', { subject, what });
    this.#onChange(subject);
  }
}
