import { createHash } from 'node:crypto';
import { acceptedSequence, isTerminalAgentState, isWaiting, type AgentJournal, type AgentRelease, type AgentWait, type HostName } from '@floe/model';
import { describeError, fullJitter, isFloeError, type Clock, type Logger } from '@floe/runtime';
import { lackOfRoom, type RoomDeps } from '../jobs/room.ts';
import type { Machine } from '../machines/machine.ts';

/** What was downloaded ahead is kept for so long after the newest hint at it. */
const KEPT_MS = 7 * 24 * 3600_000;
/** Retries are seldom: nobody waits for what is downloaded ahead. */
const RETRY = { baseMs: 60_000, capMs: 60 * 60_000 } as const;
/** How often a condition without a known end is looked at again, and everything without a reason. */
const LOOK_MS = 5 * 60_000;
const MAX_LOOK_MS = 3600_000;

export interface StagerDeps {
  readonly host: HostName;
  readonly machine: Machine;
  readonly settings: RoomDeps['settings'] & { readonly cachePublicKeys: readonly string[]; readonly maxBytesPerSecond: number | undefined };
  readonly journal: () => AgentJournal;
  /** Why a download must wait; null: it need not. */
  readonly holdDownload: (journal: AgentJournal) => Promise<AgentWait | null>;
  /** The system is in the store. */
  readonly onStaged: (toplevel: AgentRelease['toplevel']) => void;
  /** The server's clock where it is known, ms. */
  readonly now: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

interface Wanted {
  readonly release: AgentRelease;
  /** When it may begin, by the monotonic clock. */
  readonly startAt: number;
  readonly failures: number;
  /** The server was told. */
  readonly isDone: boolean;
}

/**
 * Downloads what the server hints at, while no directive needs the machine: nothing of it is in the journal, is reported or changes
 * what runs. The root of the garbage collector is all that is kept of it on disk: which system, and since when.
 */
export class Stager {
  readonly #deps: StagerDeps;
  #wanted: Wanted | undefined;
  #attempt: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined;
  #wake = new AbortController();

  constructor(deps: StagerDeps) {
    this.#deps = deps;
  }

  /** A hint that was judged. It replaces an older one. `spreadMs`: downloads of the fleet begin spread over so much time. */
  hint(release: AgentRelease, spreadMs: number): void {
    const { clock, logger, host } = this.#deps;
    const before = this.#wanted;
    if (before?.release.toplevel === release.toplevel) {
      // Said on each new connection: it neither begins nor waits again.
      this.#wanted = { ...before, release, isDone: false };
    } else {
      const waitMs = Math.floor(spreadMs * shareOf(`${host} ${release.toplevel}`));
      logger.info('a system may be downloaded ahead', { toplevel: release.toplevel, sequence: release.sequence, waitMs });
      this.#wanted = { release, startAt: clock.monotonic() + waitMs, failures: 0, isDone: false };
      this.#attempt?.stop.abort();
    }
    this.#wakeUp();
  }

  /** After a step of the state machine: its directive comes first. */
  looked(): void {
    if (!this.#isFree()) this.#attempt?.stop.abort();
    this.#wakeUp();
  }

  /** Ends what is under way, before a directive's download: that finds all that has arrived. */
  async yield(): Promise<void> {
    this.#attempt?.stop.abort();
    await this.#attempt?.done;
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const stop = new AbortController();
      const attempt = this.#look(AbortSignal.any([signal, stop.signal]));
      this.#attempt = { stop, done: attempt };
      const waitMs = await attempt;
      this.#attempt = undefined;
      await clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  #wakeUp(): void {
    this.#wake.abort();
  }

  /** No directive is under way, or it waits for people and conditions. */
  #isFree(): boolean {
    const { state } = this.#deps.journal();
    return state === 'IDLE' || isTerminalAgentState(state) || isWaiting(state);
  }

  /** Does what is due. Returns when to look again, in ms. Never throws. */
  async #look(signal: AbortSignal): Promise<number> {
    const { logger, random } = this.#deps;
    try {
      await this.#tidy();
      return await this.#stage(signal);
    } catch (error) {
      const wanted = this.#wanted;
      // A directive or a newer hint ended it.
      if (signal.aborted || wanted === undefined) return signal.aborted ? 0 : MAX_LOOK_MS;
      const facts = { toplevel: wanted.release.toplevel, why: describeError(error) };
      if (isFloeError(error) && !error.retryable) {
        // The directive will meet the same, and report it.
        this.#wanted = { ...wanted, isDone: true };
        logger.warn('a system cannot be downloaded ahead', facts);
        return MAX_LOOK_MS;
      }
      const retryMs = fullJitter(wanted.failures, RETRY, random);
      this.#wanted = { ...wanted, failures: wanted.failures + 1 };
      logger.warn('a system cannot be downloaded ahead yet', { ...facts, retryMs });
      return retryMs;
    }
  }

  /** Lets go of what runs, was refused, or was not hinted at for long. */
  async #tidy(): Promise<void> {
    const { machine, now, logger, journal } = this.#deps;
    const kept = await machine.kept('ahead');
    if (kept === undefined) return;
    const { state, directive, quarantined } = journal();
    const isOver = (state === 'IDLE' || isTerminalAgentState(state)) && directive?.release.toplevel === kept.path;
    // Also of a clock that was far ahead.
    if (!isOver && !quarantined.includes(kept.path) && Math.abs(now() - kept.since) <= KEPT_MS) return;
    await machine.letGo('ahead');
    logger.info('what was downloaded ahead is not kept any more', { toplevel: kept.path });
  }

  async #stage(signal: AbortSignal): Promise<number> {
    const { machine, settings, clock, logger, journal } = this.#deps;
    const wanted = this.#wanted;
    // The next step of the state machine wakes it.
    if (wanted === undefined || wanted.isDone || !this.#isFree() || this.#isOvertaken(wanted)) return MAX_LOOK_MS;
    const { toplevel, closureSizeBytes } = wanted.release;
    if (await machine.isValid(toplevel)) {
      signal.throwIfAborted();
      await machine.keep('ahead', toplevel);
      this.#say(wanted);
      return MAX_LOOK_MS;
    }
    const earlyMs = wanted.startAt - clock.monotonic();
    if (earlyMs > 0) return earlyMs;
    const held = await this.#deps.holdDownload({ ...journal(), directive: null, deferral: null });
    if (held !== null) return LOOK_MS;
    const full = await lackOfRoom({ machine, settings }, { toplevel, closureSizeBytes, signal });
    signal.throwIfAborted();
    if (full !== null) {
      logger.warn('no room to download a system ahead', { toplevel, why: full.message });
      return LOOK_MS;
    }
    // One system at a time: an older one is not what comes next.
    if ((await machine.kept('ahead')) !== undefined) await machine.letGo('ahead');
    signal.throwIfAborted();
    await machine.download(toplevel, {
      keptAs: 'ahead',
      substituters: settings.substituters,
      trustedPublicKeys: settings.cachePublicKeys,
      maxBytes: closureSizeBytes,
      maxBytesPerSecond: settings.maxBytesPerSecond,
      signal,
      onProgress: () => undefined,
    });
    logger.info('a system was downloaded ahead', { toplevel });
    this.#say(wanted);
    return MAX_LOOK_MS;
  }

  /** The directive has come, for it or for something newer; or it was rolled back meanwhile. */
  #isOvertaken({ release }: Wanted): boolean {
    const { quarantined, directive, pending, ...journal } = this.#deps.journal();
    const isDirected = [directive, pending].some((each) => each?.release.toplevel === release.toplevel);
    const isNewer = acceptedSequence({ ...journal, quarantined, directive, pending }, release.repository, release.ref) > release.sequence;
    return isDirected || isNewer || quarantined.includes(release.toplevel);
  }

  #say(wanted: Wanted): void {
    // Unless another hint came meanwhile.
    if (this.#wanted?.release.toplevel === wanted.release.toplevel) this.#wanted = { ...wanted, failures: 0, isDone: true };
    this.#deps.onStaged(wanted.release.toplevel);
  }
}

/** A number from 0 to 1 that is always the same for a text, and spread evenly over texts. */
function shareOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}
