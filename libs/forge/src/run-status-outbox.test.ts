import { setImmediate } from 'node:timers/promises';
import type { CommitSha, StatusState } from '@floe/model';
import { createLogger, FloeError, type Clock } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runStatusOutbox } from './run-status-outbox.ts';
import type { ClaimedStatus, StatusOutbox } from './status-outbox.ts';
import type { CommitStatuses, OutgoingStatus, PostOutcome } from './status.ts';

const SHA = '6113728f27ae82c7b1a177c8d03f9e96e0adf246' as CommitSha;

/** Time that passes only in `sleep`, which takes as long as it says and no real time at all. */
class FakeClock implements Clock {
  time = 1_000_000;
  /** While above 0 no time passes: something is at work that takes less than a lease. */
  held = 0;
  readonly slept: number[] = [];
  readonly now = (): number => this.time;
  readonly monotonic = (): number => this.time;
  readonly sinceBoot = (): number => this.time;
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    await setImmediate();
    while (this.held > 0) await setImmediate();
    this.slept.push(ms);
    this.time += ms;
  }
}

interface Row {
  status: OutgoingStatus;
  version: number;
  sentVersion: number;
  attempts: number;
  dueAt: number | undefined;
  error: string | undefined;
}

/** The rules of `StatusOutbox`, in memory. */
class FakeOutbox implements StatusOutbox {
  readonly rows = new Map<string, Row>();
  readonly #now: () => number;
  /** Errors to throw, one per call, before anything works again. */
  readonly outage: Error[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  put(context: string, state: StatusState, description: string = state, sha: CommitSha = SHA): void {
    const id = `${sha} ${context}`;
    const row = this.rows.get(id) ?? {
      version: 0,
      sentVersion: 0,
      attempts: 0,
      dueAt: undefined,
      error: undefined,
      status: undefined as unknown as OutgoingStatus,
    };
    this.rows.set(id, {
      ...row,
      status: { sha, context, state, description, targetUrl: 'https://floe.example.org' },
      version: row.version + 1,
      dueAt: row.dueAt ?? this.#now(),
    });
  }

  get nextDueAt(): number | undefined {
    const times = [...this.rows.values()].flatMap((row) => (row.dueAt === undefined ? [] : [row.dueAt]));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  async claim(now: number, leaseMs: number): Promise<ClaimedStatus | undefined> {
    this.#work();
    const due = [...this.rows]
      .filter(([, row]) => row.dueAt !== undefined && row.dueAt <= now)
      .toSorted(([, a], [, b]) => (a.dueAt ?? 0) - (b.dueAt ?? 0));
    const [first] = due;
    if (first === undefined) return undefined;
    const [id, row] = first;
    row.dueAt = now + leaseMs;
    return { id, version: row.version, attempts: row.attempts, ...row.status };
  }

  async settle(id: string, version: number, now: number): Promise<void> {
    const row = this.#row(id);
    Object.assign(row, {
      sentVersion: Math.max(row.sentVersion, version),
      attempts: 0,
      error: undefined,
      dueAt: row.version === version ? undefined : now,
    });
  }

  async postpone(id: string, dueAt: number, error: string): Promise<void> {
    const row = this.#row(id);
    Object.assign(row, { attempts: row.attempts + 1, error, dueAt });
  }

  async abandon(id: string, version: number, now: number, error: string): Promise<void> {
    const row = this.#row(id);
    Object.assign(row, { attempts: 0, error, dueAt: row.version === version ? undefined : now });
  }

  #row(id: string): Row {
    this.#work();
    const row = this.rows.get(id);
    if (row === undefined) throw new Error(`no row ${id}`);
    return row;
  }

  #work(): void {
    const error = this.outage.shift();
    if (error !== undefined) throw error;
  }
}

/** A forge that shows the last status of each context, as GitHub's commit page does. */
class FakeForge implements CommitStatuses {
  readonly taken: string[] = [];
  readonly shown = new Map<string, OutgoingStatus>();
  /** What it answers instead of taking the status. */
  answers: (Exclude<PostOutcome, { kind: 'sent' }> | undefined)[] = [];
  during: (status: OutgoingStatus) => void | Promise<void> = () => undefined;
  async post(status: OutgoingStatus): Promise<PostOutcome> {
    await this.during(status);
    const answer = this.answers.shift();
    if (answer !== undefined) return answer;
    this.taken.push(`${status.context} ${status.description}`);
    this.shown.set(`${status.sha} ${status.context}`, status);
    return { kind: 'sent' };
  }
}

function away(afterMs?: number): Exclude<PostOutcome, { kind: 'sent' }> {
  return { kind: 'retry', code: 'FORGE_FAILED', message: 'GitHub failed (500)', afterMs };
}
function refusal(concerns: 'status' | 'access'): Exclude<PostOutcome, { kind: 'sent' }> {
  return concerns === 'status'
    ? { kind: 'refused', concerns, code: 'STATUS_REJECTED', message: 'No commit found' }
    : { kind: 'refused', concerns, code: 'CREDENTIALS_REFUSED', message: 'Bad credentials' };
}

function unreachable(): Error {
  return new FloeError('STORE_UNREACHABLE', 'away', { retryable: true });
}

function setUp(random: () => number = () => 0.5) {
  const clock = new FakeClock();
  const outbox = new FakeOutbox(clock.now);
  const forge = new FakeForge();
  const lines: { level: string; message: string }[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(JSON.parse(line) as { level: string; message: string }) });
  /** Runs the sender until the outbox holds nothing to send. */
  async function drain(): Promise<void> {
    const stop = new AbortController();
    const wake = async (signal: AbortSignal): Promise<void> => {
      const dueAt = outbox.nextDueAt;
      if (dueAt === undefined) stop.abort();
      else await clock.sleep(Math.max(0, dueAt - clock.now()), signal);
    };
    await runStatusOutbox({ outbox, statuses: forge, clock, random, logger, wake }, stop.signal);
  }
  return { clock, outbox, forge, lines, logger, random, drain };
}

describe('sending', () => {
  it('is in the order in which the statuses became due', async () => {
    const { clock, outbox, forge, drain } = setUp();
    for (const context of ['floe/evaluate', 'floe/build', 'floe/rollout']) {
      outbox.put(context, 'pending');
      clock.time += 1;
    }
    await drain();
    expect(forge.taken).toEqual(['floe/evaluate pending', 'floe/build pending', 'floe/rollout pending']);
  });

  it('of what was wanted in between is left out', async () => {
    const { outbox, forge, drain } = setUp();
    for (const description of ['0 of 3', '1 of 3', '2 of 3']) outbox.put('floe/rollout', 'pending', description);
    outbox.put('floe/rollout', 'success', 'all 3');
    await drain();
    expect(forge.taken).toEqual(['floe/rollout all 3']);
  });

  it('of a status that changed while it was under way is done again, with the newer after the older', async () => {
    const { outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', 'pending', '1 of 3');
    forge.during = ({ description }) => {
      if (description === '1 of 3') outbox.put('floe/rollout', 'success', 'all 3');
    };
    await drain();
    expect(forge.taken).toEqual(['floe/rollout 1 of 3', 'floe/rollout all 3']);
  });
});

describe('a forge that fails', () => {
  it('is tried again with growing pauses, and gets what stands by then', async () => {
    const { clock, outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', 'pending', '1 of 3');
    forge.answers = Array.from({ length: 12 }, () => away());
    forge.during = () => {
      if (forge.answers.length === 5) outbox.put('floe/rollout', 'failure', 'bob rolled back');
    };
    await drain();
    expect(forge.taken).toEqual(['floe/rollout bob rolled back']);
    expect(clock.slept.slice(0, 12)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000, 150_000]);
  });

  it('has its pause jittered over the whole range', async () => {
    const { clock, outbox, forge, drain } = setUp(() => 0);
    outbox.put('floe/rollout', 'pending');
    forge.answers = [away(), away(), away()];
    await drain();
    expect(clock.slept).toEqual([500, 500, 500]);
  });

  it('that says when is not asked before, for any status', async () => {
    const { clock, outbox, forge, drain } = setUp();
    outbox.put('floe/evaluate', 'success');
    outbox.put('floe/build', 'success');
    const asked: number[] = [];
    const start = clock.time;
    forge.during = () => void asked.push(clock.time - start);
    forge.answers = [away(60_000)];
    await drain();
    expect(asked[0]).toBe(0);
    expect(asked).toHaveLength(3);
    expect(Math.min(...asked.slice(1))).toBe(60_500);
  });

  it('on one status only does not hold up the others', async () => {
    const { clock, outbox, forge, drain } = setUp();
    outbox.put('floe/evaluate', 'success');
    const poisoned = outbox.rows.get(`${SHA} floe/evaluate`);
    if (poisoned !== undefined) poisoned.attempts = 20;
    outbox.put('floe/rollout', 'success');
    forge.answers = [away()];
    const start = clock.time;
    let rolloutAt = 0;
    forge.during = ({ context }) => {
      if (context === 'floe/rollout') rolloutAt = clock.time - start;
    };
    await drain();
    expect(rolloutAt).toBe(500);
    expect(forge.taken).toEqual(['floe/rollout success', 'floe/evaluate success']);
    expect(clock.time - start).toBeGreaterThan(100_000);
  });
});

describe('a refusal', () => {
  it('of our access is told, and everything waits until it is put right', async () => {
    const { clock, outbox, forge, lines, drain } = setUp();
    outbox.put('floe/evaluate', 'failure');
    outbox.put('floe/rollout', 'success');
    forge.answers = Array.from({ length: 8 }, () => refusal('access'));
    await drain();
    expect(forge.taken.toSorted()).toEqual(['floe/evaluate failure', 'floe/rollout success']);
    expect(clock.slept[0]).toBe(15_000);
    expect(Math.max(...clock.slept)).toBeLessThanOrEqual(15 * 60_000);
    expect(lines.filter((line) => line.level === 'error')).toHaveLength(8);
  });

  it('of one status drops that one, and the next for the same context is tried', async () => {
    const { clock, outbox, forge, lines, drain } = setUp();
    outbox.put('floe/evaluate', 'pending');
    outbox.put('floe/build', 'pending');
    forge.answers = [refusal('status')];
    await drain();
    expect(forge.taken).toEqual(['floe/build pending']);
    expect(clock.slept).toEqual([]);
    expect(outbox.rows.get(`${SHA} floe/evaluate`)?.error).toBe('No commit found');
    expect(lines.some((line) => line.level === 'error' && line.message.includes('rejected'))).toBe(true);

    outbox.put('floe/evaluate', 'success');
    await drain();
    expect(forge.taken.at(-1)).toBe('floe/evaluate success');
  });
});

describe('the sender', () => {
  it('waits for a store that is away, then goes on', async () => {
    const { outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', 'success');
    outbox.outage.push(unreachable(), unreachable());
    forge.during = () => void outbox.outage.push(...(forge.taken.length === 0 ? [unreachable()] : []));
    await drain();
    // Once more than needed: that the forge had it could not be written down.
    expect(new Set(forge.taken)).toEqual(new Set(['floe/rollout success']));
    expect(outbox.rows.get(`${SHA} floe/rollout`)).toMatchObject({ sentVersion: 1, dueAt: undefined });
  });

  it('sets a status aside that it cannot work on, and sends the others', async () => {
    const { outbox, forge, drain } = setUp();
    outbox.put('floe/build', 'success');
    outbox.put('floe/rollout', 'success');
    let posts = 0;
    forge.during = () => {
      posts += 1;
      if (posts === 1) throw new RangeError('Invalid time value');
    };
    await drain();
    expect(new Set(forge.taken)).toEqual(new Set(['floe/build success', 'floe/rollout success']));
  });

  it('stops on a bug instead of hiding it', async () => {
    const { outbox, drain } = setUp();
    outbox.outage.push(new TypeError('x is undefined'));
    await expect(drain()).rejects.toThrow('x is undefined');
  });

  it('that is stopped in the middle of a post leaves the status to the next one, at once', async () => {
    const { clock, outbox, forge, logger, random, drain } = setUp();
    outbox.put('floe/rollout', 'success');
    const stop = new AbortController();
    const statuses: CommitStatuses = {
      async post() {
        stop.abort();
        return { kind: 'retry', code: 'FORGE_UNREACHABLE', message: 'aborted', afterMs: undefined };
      },
    };
    await runStatusOutbox({ outbox, statuses, clock, random, logger, wake: async () => undefined }, stop.signal);
    expect(outbox.nextDueAt).toBe(clock.now());
    await drain();
    expect(forge.taken).toEqual(['floe/rollout success']);
    expect(clock.slept).toEqual([]);
  });

  it('that was killed in the middle of a post leaves the status to the next one, when its lease ends', async () => {
    const { clock, outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', 'success');
    await outbox.claim(clock.now(), 60_000);
    const start = clock.time;
    await drain();
    expect(forge.taken).toEqual(['floe/rollout success']);
    expect(clock.time - start).toBe(60_000);
  });
});

it('whatever is wanted and whatever fails: each context ends on what was wanted last, and never goes back', async () => {
  const contexts = ['floe/evaluate', 'floe/build', 'floe/rollout'] as const;
  const wishes = fc.array(fc.record({ context: fc.constantFrom(...contexts), atTurn: fc.nat(30) }), { minLength: 1, maxLength: 25 });
  const answers = fc.array(fc.option(fc.constantFrom(away(), away(0), away(30_000), refusal('access')), { nil: undefined }), { maxLength: 10 });
  const senders = fc.integer({ min: 1, max: 3 });
  const durations = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(fc.record({ wishes, answers, senders, durations }), async (given) => {
      const { clock, outbox, forge, random, logger } = setUp();
      forge.answers = [...given.answers];
      const queue = given.wishes.toSorted((a, b) => a.atTurn - b.atTurn);
      const shown = new Map<string, number>();
      let turn = 0;
      let wishCount = 0;
      let postCount = 0;
      /** Others get their turn, and what is to be wanted by then is wanted. */
      const takeTurn = async (): Promise<void> => {
        turn += 1;
        for (; queue[0] !== undefined && queue[0].atTurn < turn; wishCount += 1)
          outbox.put(queue.shift()?.context ?? '', 'pending', String(wishCount));
        await setImmediate();
      };
      forge.during = async ({ context, description }) => {
        const turns = given.durations[postCount++ % given.durations.length] ?? 1;
        clock.held += 1;
        for (let each = 0; each < turns; each += 1) await takeTurn();
        clock.held -= 1;
        expect(Number(description)).toBeGreaterThanOrEqual(shown.get(context) ?? 0);
        shown.set(context, Number(description));
      };
      const stop = new AbortController();
      const wake = async (): Promise<void> => {
        await takeTurn();
        const dueAt = outbox.nextDueAt;
        if (dueAt === undefined && queue.length === 0) stop.abort();
        else if (dueAt !== undefined && clock.held === 0) clock.time = Math.max(clock.time, dueAt);
      };
      await Promise.all(
        Array.from(
          { length: given.senders },
          async () => await runStatusOutbox({ outbox, statuses: forge, clock, random, logger, wake }, stop.signal),
        ),
      );
      for (const [id, row] of outbox.rows) expect(forge.shown.get(id)).toMatchObject(row.status);
    }),
  );
});
