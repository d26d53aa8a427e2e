import { AsyncLocalStorage } from 'node:async_hooks';
import { PostgresLine, type PostgresAddress } from './postgres-line.ts';

/**
 * Not another connection for now: the server has no place (53300), or a pooler lets us wait for one, says so by its own
 * code, or hangs up. A pool that has some goes on with these.
 */
const CROWDED: ReadonlySet<string> = new Set(['53300', '08P01', 'CONNECT_TIMEOUT', 'CONNECTION_CLOSED']);
/** So long a crowded server is not asked for more. */
const CROWDED_MS = 30_000;

/** Of the connections, this share is for people's requests. */
const SHARE_OF_PEOPLE = 1 / 3;

/** What becomes of a caller that waited: a connection, or the place for one, which is counted already. */
type Turn = PostgresLine | 'connect';

/** Those who ask for connections, and how many of them these may have. */
interface Side {
  readonly most: number;
  inUse: number;
  /** First come, first served. */
  readonly waiting: { readonly go: (turn: Turn) => void; readonly fail: (error: Error) => void }[];
}

function sideOf(most: number): Side {
  return { most, inUse: 0, waiting: [] };
}

/**
 * At most so many connections; each serves one statement or one transaction at a time. Some are for what people ask ({@link forPeople}),
 * and the others for all else: a fleet that comes back at once has thousands of statements wait, and no person waits behind these. Nor does
 * the fleet wait behind people. A pool of one or two is shared.
 */
export class PostgresPool {
  readonly #address: PostgresAddress;
  readonly #max: number;
  readonly #people: Side;
  readonly #others: Side;
  readonly #isForPeople = new AsyncLocalStorage<true>();
  readonly #idle: PostgresLine[] = [];
  readonly #busy = new Set<PostgresLine>();
  /** Connections that are there or being made. */
  #open = 0;
  #users = 0;
  #isClosed = false;
  #crowdedUntil = 0;
  #servedLast: Side | undefined;
  #whenUnused: (() => void) | undefined;

  constructor(address: PostgresAddress, max: number) {
    this.#address = address;
    this.#max = max;
    const ofPeople = Math.floor(max * SHARE_OF_PEOPLE);
    this.#people = sideOf(ofPeople === 0 ? max : ofPeople);
    this.#others = sideOf(max - ofPeople);
  }

  /** What `work` asks gets the connections that are for people. */
  async forPeople<Result>(work: () => Promise<Result>): Promise<Result> {
    return await this.#isForPeople.run(true, work);
  }

  /** Runs `use` on a connection of its own. */
  async withLine<Result>(use: (line: PostgresLine) => Promise<Result>): Promise<Result> {
    const side = this.#isForPeople.getStore() === true ? this.#people : this.#others;
    this.#users += 1;
    try {
      const line = await this.#take(side);
      try {
        return await use(line);
      } finally {
        await this.#giveBack(line, side);
      }
    } finally {
      this.#users -= 1;
      if (this.#users === 0) this.#whenUnused?.();
    }
  }

  async #take(side: Side): Promise<PostgresLine> {
    for (let isNew = true; ; isNew = false) {
      if (this.#isClosed) throw closed();
      const turn = await new Promise<Turn>((go, fail) => {
        // Who had its turn in vain stays ahead of those who came later.
        side.waiting[isNew ? 'push' : 'unshift']({ go, fail });
        this.#serve();
      });
      const line = turn === 'connect' ? await this.#connect(side) : turn;
      if (line !== undefined && !line.isLost) {
        this.#busy.add(line);
        return line;
      }
      side.inUse -= 1;
      if (line !== undefined) this.#drop();
    }
  }

  /** Gives turns to those who wait, to both sides alternately, as long as there are connections or places for them. */
  #serve(): void {
    for (;;) {
      const sides = this.#servedLast === this.#people ? [this.#others, this.#people] : [this.#people, this.#others];
      const side = sides.find(({ waiting, inUse, most }) => waiting.length > 0 && inUse < most);
      if (side === undefined || (this.#idle.length === 0 && !this.#mayGrow())) return;
      const line = this.#idle.pop();
      if (line === undefined) this.#open += 1;
      side.inUse += 1;
      this.#servedLast = side;
      side.waiting.shift()?.go(line ?? 'connect');
    }
  }

  /** There is a place, and a connection is worth the try: the only one always is. */
  #mayGrow(): boolean {
    return this.#open < this.#max && (this.#open === 0 || performance.now() >= this.#crowdedUntil);
  }

  /** Undefined: there is no more room for now, but others have connections that come back. */
  async #connect(side: Side): Promise<PostgresLine | undefined> {
    try {
      return await PostgresLine.open(this.#address);
    } catch (error) {
      this.#open -= 1;
      const hasOthers = this.#busy.size + this.#idle.length > 0;
      if (hasOthers && error instanceof Error && 'code' in error && CROWDED.has(String(error.code))) {
        this.#crowdedUntil = performance.now() + CROWDED_MS;
        return undefined;
      }
      side.inUse -= 1;
      // Who waits for a place finds out by trying, too.
      this.#serve();
      throw error;
    }
  }

  /** One less: there is a place again. */
  #drop(): void {
    this.#open -= 1;
    this.#crowdedUntil = 0;
  }

  async #giveBack(line: PostgresLine, side: Side): Promise<void> {
    this.#busy.delete(line);
    side.inUse -= 1;
    if (this.#isClosed) return await line.close();
    if (line.isLost) this.#drop();
    else this.#idle.push(line);
    this.#serve();
  }

  /** Ends all connections. What runs gets `graceMs` to end, and then fails. */
  async close(graceMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { waiting } of [this.#people, this.#others]) for (const { fail } of waiting.splice(0)) fail(closed());
    await Promise.all(this.#idle.splice(0).map(async (line) => await line.close()));
    if (this.#users === 0) return;
    const unused = new Promise<void>((resolve) => (this.#whenUnused = resolve));
    const late = setTimeout(() => {
      for (const line of this.#busy) line.lose(closed());
    }, graceMs);
    await unused;
    clearTimeout(late);
  }
}

function closed(): Error {
  return Object.assign(new Error('the pool was closed'), { code: 'CONNECTION_ENDED' });
}
