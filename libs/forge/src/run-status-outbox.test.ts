import { setImmediate } from 'node:timers/promises';
import type { CommitSha } from '@floe/model';
import { createLogger, FloeError, type Clock } from '@floe/runtime';
import { describe, expect, it } from 'vitest';
import { runStatusOutbox } from './run-status-outbox.ts';
import type { CommitStatuses, OutgoingStatus, PostOutcome, ReadOutcome } from './status.ts';
import { MemoryOutbox } from './test/memory-outbox.ts';

const SHA = '6113728f27ae82c7b1a177c8d03f9e96e0adf246' as CommitSha;

/** Time that passes only in `sleep`, which takes as long as it says and no real time at all. */
class FakeClock implements Clock {
  time = 1_000_000;
  readonly slept: number[] = [];
  readonly now = (): number => this.time;
  readonly monotonic = (): number => this.time;
  readonly sinceBoot = (): number => this.time;
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await setImmediate();
    if (signal?.aborted === true) return;
    this.slept.push(ms);
    this.time += ms;
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
  async read({ sha, context }: Pick<OutgoingStatus, 'sha' | 'context'>): Promise<ReadOutcome> {
    return { kind: 'read', status: this.shown.get(`${sha} ${context}`) };
  }
  isSame(read: Omit<OutgoingStatus, 'sha' | 'context'>, status: OutgoingStatus): boolean {
    return read.state === status.state && read.description === status.description;
  }
}

function away(afterMs?: number): Exclude<PostOutcome, { kind: 'sent' }> {
  return { kind: 'retry', code: 'FORGE_FAILED', message: 'GitHub failed (500)', afterMs, isMissed: false };
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
  const outbox = new MemoryOutbox(clock.now);
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
    for (const description of ['0 of 3', '1 of 3', '2 of 3']) outbox.put('floe/rollout', { state: 'pending', description });
    outbox.put('floe/rollout', { state: 'success', description: 'all 3' });
    await drain();
    expect(forge.taken).toEqual(['floe/rollout all 3']);
  });

  it('of a status that changed while it was under way is done again, with the newer after the older', async () => {
    const { outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', { state: 'pending', description: '1 of 3' });
    forge.during = ({ description }) => {
      if (description === '1 of 3') outbox.put('floe/rollout', { state: 'success', description: 'all 3' });
    };
    await drain();
    expect(forge.taken).toEqual(['floe/rollout 1 of 3', 'floe/rollout all 3']);
  });
});

describe('a forge that fails', () => {
  it('is tried again with growing pauses, and gets what stands by then', async () => {
    const { clock, outbox, forge, drain } = setUp();
    outbox.put('floe/rollout', { state: 'pending', description: '1 of 3' });
    forge.answers = Array.from({ length: 12 }, () => away());
    forge.during = () => {
      if (forge.answers.length === 5) outbox.put('floe/rollout', { state: 'failure', description: 'bob rolled back' });
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
    if (poisoned !== undefined) poisoned.entry = { ...poisoned.entry, attempts: 20 };
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
    expect(outbox.entry('floe/evaluate').lastError).toBe('No commit found');
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
    // Once more than needed: that the forge had it could not be recorded.
    expect(new Set(forge.taken)).toEqual(new Set(['floe/rollout success']));
    expect(outbox.entry('floe/rollout')).toMatchObject({ sentVersion: 1, dueAt: undefined });
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
        return { kind: 'retry', code: 'FORGE_UNREACHABLE', message: 'aborted', afterMs: undefined, isMissed: true };
      },
      read: async () => ({ kind: 'unknown', message: 'not asked' }),
      isSame: () => false,
    };
    await runStatusOutbox({ outbox, statuses, clock, random, logger, wake: async () => undefined }, stop.signal);
    expect(outbox.nextDueAt).toBe(clock.now());
    await drain();
    expect(forge.taken).toEqual(['floe/rollout success']);
  });
});
