import { PostgresLine, type PostgresAddress } from './postgres-line.ts';

/**
 * Not another connection for now: the server has no place (53300), or a pooler lets us wait for one, says so by its own
 * code, or hangs up. A pool that has some goes on with these.
 */
const CROWDED: ReadonlySet<string> = new Set(['53300', '08P01', 'CONNECT_TIMEOUT', 'CONNECTION_CLOSED']);
/** So long a crowded server is not asked for more. */
const CROWDED_MS = 30_000;

/** At most so many connections; each serves one statement or one transaction at a time. */
export class PostgresPool {
  readonly #address: PostgresAddress;
  readonly #max: number;
  readonly #idle: PostgresLine[] = [];
  readonly #busy = new Set<PostgresLine>();
  /** Callers that found no place; woken one by one to look again. */
  readonly #waiting: (() => void)[] = [];
  /** Connections that are there or being made. */
  #open = 0;
  #users = 0;
  #isClosed = false;
  #crowdedUntil = 0;
  #whenUnused: (() => void) | undefined;

  constructor(address: PostgresAddress, max: number) {
    this.#address = address;
    this.#max = max;
  }

  /** Runs `use` on a connection of its own. */
  async withLine<Result>(use: (line: PostgresLine) => Promise<Result>): Promise<Result> {
    this.#users += 1;
    try {
      const line = await this.#take();
      try {
        return await use(line);
      } finally {
        await this.#giveBack(line);
      }
    } finally {
      this.#users -= 1;
      if (this.#users === 0) this.#whenUnused?.();
    }
  }

  async #take(): Promise<PostgresLine> {
    for (;;) {
      if (this.#isClosed) throw Object.assign(new Error('the pool was closed'), { code: 'CONNECTION_ENDED' });
      const line = this.#idle.pop() ?? (this.#mayGrow() ? await this.#connect() : undefined);
      if (line === undefined) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else if (line.isLost) this.#drop();
      else {
        this.#busy.add(line);
        return line;
      }
    }
  }

  /** There is a place, and a connection is worth the try: the only one always is. */
  #mayGrow(): boolean {
    return this.#open < this.#max && (this.#open === 0 || performance.now() >= this.#crowdedUntil);
  }

  /** Undefined: there is no more room for now, but others have connections that come back. */
  async #connect(): Promise<PostgresLine | undefined> {
    this.#open += 1;
    try {
      return await PostgresLine.open(this.#address);
    } catch (error) {
      this.#open -= 1;
      const hasOthers = this.#busy.size + this.#idle.length > 0;
      if (hasOthers && error instanceof Error && 'code' in error && CROWDED.has(String(error.code))) {
        this.#crowdedUntil = performance.now() + CROWDED_MS;
        return this.#idle.pop();
      }
      // Who waits for a place finds out by trying, too.
      this.#waiting.shift()?.();
      throw error;
    }
  }

  /** One less: there is a place again. */
  #drop(): void {
    this.#open -= 1;
    this.#crowdedUntil = 0;
  }

  async #giveBack(line: PostgresLine): Promise<void> {
    this.#busy.delete(line);
    if (this.#isClosed) return await line.close();
    if (line.isLost) this.#drop();
    else this.#idle.push(line);
    this.#waiting.shift()?.();
  }

  /** Ends all connections. What runs gets `graceMs` to end, and then fails. */
  async close(graceMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(this.#idle.splice(0).map(async (line) => await line.close()));
    if (this.#users === 0) return;
    const unused = new Promise<void>((resolve) => (this.#whenUnused = resolve));
    const late = setTimeout(() => {
      for (const line of this.#busy) line.lose(Object.assign(new Error('the pool was closed'), { code: 'CONNECTION_ENDED' }));
    }, graceMs);
    await unused;
    clearTimeout(late);
  }
}
