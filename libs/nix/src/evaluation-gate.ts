/** Approximate memory of a NixOS host's evaluation, in bytes, until one was measured. */
const FIRST_GUESS_BYTES = 0.8 * 1024 ** 3;
/** The next evaluation is expected to take as much as the largest of so many before it. */
const REMEMBERED = 16;
/** Other programs free memory, too. */
const LOOK_MS = 500;

export interface GateDeps {
  /** So many run together at most, whatever the memory is. */
  readonly most: number;
  /** Bytes that programs can still have of this machine's memory, without swapping. */
  readonly availableBytes: () => number;
}

/** A run reports how its memory can be read while it is under way. */
type OnRunning = (memoryBytes: () => number) => void;

interface Running {
  memoryBytes: () => number;
}

/** It has taken nothing yet. */
function notBegun(): Running {
  return { memoryBytes: () => 0 };
}

/**
 * Admits as many evaluations at the same time as the machine has memory for: the next one begins when what is free suffices for
 * it, beside what those under way will still take, judged by what evaluations before them took. One may always run. Those that wait
 * go in the order in which they came.
 */
export class EvaluationGate {
  readonly #deps: GateDeps;
  readonly #peaks: number[] = [];
  readonly #running = new Set<Running>();
  readonly #waiting: ((running: Running) => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: GateDeps) {
    this.#deps = deps;
  }

  /** Bytes that an evaluation is expected to take. */
  get expectedBytes(): number {
    return this.#peaks.length === 0 ? FIRST_GUESS_BYTES : Math.max(...this.#peaks);
  }

  /**
   * Waits for its turn and runs `evaluate`, which returns the most bytes that it took, where that is known. One that is not whole ended early: it is remembered
   * only where it took more than is expected, since many small failures would hide what a host takes. When the signal aborts meanwhile, `evaluate`
   * runs at once, for the same signal to end it.
   */
  async pass<T>(
    signal: AbortSignal | undefined,
    evaluate: (onRunning: OnRunning) => Promise<{ readonly result: T; readonly peakBytes: number | undefined; readonly isWhole: boolean }>,
  ): Promise<T> {
    const turn = Promise.withResolvers<Running>();
    this.#waiting.push(turn.resolve);
    const leave = (): void => {
      const place = this.#waiting.indexOf(turn.resolve);
      if (place >= 0) this.#waiting.splice(place, 1);
      turn.resolve(notBegun());
    };
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted === true) leave();
    this.#admit();
    const running = await turn.promise;
    signal?.removeEventListener('abort', leave);
    try {
      const { result, peakBytes, isWhole } = await evaluate((memoryBytes) => (running.memoryBytes = memoryBytes));
      if (peakBytes !== undefined && (isWhole || peakBytes > this.expectedBytes)) this.#remember(peakBytes);
      return result;
    } finally {
      this.#running.delete(running);
      this.#admit();
    }
  }

  #remember(bytes: number): void {
    this.#peaks.push(bytes);
    if (this.#peaks.length > REMEMBERED) this.#peaks.shift();
  }

  #admit(): void {
    clearTimeout(this.#timer);
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoom(); next = this.#waiting[0]) {
      this.#waiting.shift();
      const running = notBegun();
      this.#running.add(running);
      next(running);
    }
    // What runs keeps the process, so the timer need not.
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#admit(), LOOK_MS).unref();
  }

  #hasRoom(): boolean {
    if (this.#running.size === 0) return true;
    if (this.#running.size >= this.#deps.most) return false;
    const expected = this.expectedBytes;
    const stillTaken = [...this.#running].reduce((sum, { memoryBytes }) => sum + Math.max(0, expected - memoryBytes()), 0);
    return this.#deps.availableBytes() - stillTaken >= expected;
  }
}
