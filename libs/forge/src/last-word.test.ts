import type { CommitSha } from '@floe/model';
import { Secret, silentLogger, type Clock } from '@floe/runtime';
import { eventually, LocalForge } from '@floe/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGithubStatuses } from './github-statuses.ts';
import { runStatusOutbox } from './run-status-outbox.ts';
import type { CommitStatuses, OutgoingStatus, PostOutcome, ReadOutcome } from './status.ts';
import type { StatusOutbox } from './status-outbox.ts';
import { MemoryOutbox } from './test/memory-outbox.ts';
import { VirtualClock } from './test/virtual-clock.ts';

const SHA = 'a'.repeat(40) as CommitSha;
const MINUTE_MS = 60_000;

function missed(message: string): PostOutcome {
  return { kind: 'retry', code: 'FORGE_UNREACHABLE', message, afterMs: undefined, isMissed: true };
}

describe.each([{ isReadable: true }, { isReadable: false }])(
  'over HTTP, a forge (readable: $isReadable) that records a request after we gave up on it',
  ({ isReadable }) => {
    test.each([
      { name: 'without an answer', answer: undefined },
      { name: 'after a 502', answer: 502 },
    ])('ends on the newest status: $name', async ({ answer }) => {
      await using forge = new LocalForge({ projectRoot: '/nonexistent', repository: 'ice/fleet', webhookSecret: 'w', token: 't' });
      await forge.listen();
      forge.isReadable = isReadable;
      const late = Promise.withResolvers<void>();
      forge.faults.push({ recorded: late.promise, answer });
      const clock = new VirtualClock();
      const outbox = new MemoryOutbox(clock.now);
      outbox.put('floe/rollout', { state: 'pending', description: '1 of 3' }, SHA);
      const statuses = createGithubStatuses({
        apiUrl: forge.origin,
        repository: 'ice/fleet',
        auth: { kind: 'token', token: new Secret('t') },
        userAgent: 'floe',
        timeoutMs: 200,
      });
      const stop = new AbortController();
      const running = runStatusOutbox(
        { outbox, statuses, clock, random: () => 0.5, logger: silentLogger, wake: async (signal) => await clock.sleep(1_000, signal) },
        stop.signal,
      );
      const shown = (): string | undefined => forge.statusOf(SHA, 'floe/rollout')?.description;
      const comes = async (description: string): Promise<void> => {
        await eventually(description, async () => {
          await clock.advance(500);
          return shown() === description || undefined;
        });
      };
      await eventually('its answer was missed', () => outbox.entry('floe/rollout', SHA).unsureSince);
      await comes('1 of 3');
      outbox.put('floe/rollout', { state: 'success', description: 'all 3' }, SHA);
      await comes('all 3');
      late.resolve();
      await eventually('the late record is on top', () => shown() === '1 of 3' || undefined);
      await comes('all 3');
      await eventually('nothing more is looked for', async () => {
        await clock.advance(5_000);
        return outbox.nextDueAt === undefined || undefined;
      });
      expect(shown()).toBe('all 3');
      stop.abort();
      await running;
    });
  },
);

interface PostPlan {
  readonly kind: 'taken' | 'dropped' | 'limited' | 'refused';
  /** Until the answer, or what there is instead of one. */
  readonly answerMs: number;
  /** Until it is recorded; undefined: never. */
  readonly recordMs: number | undefined;
}

/** A forge in memory that does with each request what was planned for it. */
class PlannedForge implements CommitStatuses {
  readonly records = new Map<string, OutgoingStatus[]>();
  readonly #clock: Clock;
  readonly #plans: PostPlan[];
  readonly #isReadable: boolean;

  constructor(clock: Clock, plans: readonly PostPlan[], isReadable: boolean) {
    this.#clock = clock;
    this.#plans = [...plans];
    this.#isReadable = isReadable;
  }

  async post(status: OutgoingStatus, signal: AbortSignal): Promise<PostOutcome> {
    const { kind, recordMs, ...plan } = this.#plans.shift() ?? { kind: 'taken', answerMs: 50, recordMs: 20 };
    // What is answered for is recorded by then.
    const answerMs = kind === 'taken' ? Math.max(plan.answerMs, recordMs ?? 0) : plan.answerMs;
    if (kind === 'taken' || kind === 'dropped') void this.#recordAfter(recordMs, status);
    const willAnswer = kind !== 'dropped' && answerMs < 10_000;
    await this.#clock.sleep(Math.min(answerMs, 10_000), signal);
    if (signal.aborted || !willAnswer) return missed('no answer');
    if (kind === 'limited') return { kind: 'retry', code: 'RATE_LIMITED', message: 'too often', afterMs: 20_000, isMissed: false };
    if (kind === 'refused') return { kind: 'refused', concerns: 'access', code: 'CREDENTIALS_REFUSED', message: 'Bad credentials' };
    return { kind: 'sent' };
  }

  async #recordAfter(ms: number | undefined, status: OutgoingStatus): Promise<void> {
    if (ms === undefined) return;
    await this.#clock.sleep(ms);
    const id = `${status.sha} ${status.context}`;
    this.records.set(id, [...(this.records.get(id) ?? []), status]);
  }

  async read({ sha, context }: OutgoingStatus): Promise<ReadOutcome> {
    await this.#clock.sleep(30);
    if (!this.#isReadable) return { kind: 'unknown', message: 'not found' };
    return { kind: 'read', status: this.records.get(`${sha} ${context}`)?.at(-1) };
  }

  isSame(read: Omit<OutgoingStatus, 'sha' | 'context'>, status: OutgoingStatus): boolean {
    return read.state === status.state && read.description === status.description;
  }
}

/** A server of which all stands still: for a while, or permanently. */
class Process {
  #isDead = false;
  #frozenUntil = 0;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  freeze(ms: number): void {
    this.#frozenUntil = this.#clock.now() + ms;
  }

  kill(): void {
    this.#isDead = true;
  }

  /** Whatever the process waits for comes to it only while it runs. */
  async #run<Result>(call: () => Promise<Result>): Promise<Result> {
    await this.#still();
    const result = await call();
    await this.#still();
    return result;
  }

  async #still(): Promise<void> {
    while (this.#frozenUntil > this.#clock.now()) await this.#clock.sleep(this.#frozenUntil - this.#clock.now());
    if (this.#isDead) await new Promise<never>(() => undefined);
  }

  start(
    outbox: StatusOutbox & { readonly nextDueAt: number | undefined },
    forge: CommitStatuses,
    random: () => number,
    signal: AbortSignal,
  ): Promise<void> {
    const clock: Clock = {
      now: this.#clock.now,
      monotonic: this.#clock.monotonic,
      sinceBoot: this.#clock.sinceBoot,
      sleep: async (ms, until) => await this.#run(async () => await this.#clock.sleep(ms, until)),
    };
    const kept: StatusOutbox = {
      claimDue: async (options) => await this.#run(async () => await outbox.claimDue(options)),
      renew: async (...args) => await this.#run(async () => await outbox.renew(...args)),
      markSent: async (...args) => await this.#run(async () => await outbox.markSent(...args)),
      markSeen: async (...args) => await this.#run(async () => await outbox.markSeen(...args)),
      markRetry: async (...args) => await this.#run(async () => await outbox.markRetry(...args)),
      markFailed: async (...args) => await this.#run(async () => await outbox.markFailed(...args)),
    };
    const statuses: CommitStatuses = {
      post: async (...args) => await this.#run(async () => await forge.post(...args)),
      read: async (...args) => await this.#run(async () => await forge.read(...args)),
      isSame: (...args) => forge.isSame(...args),
    };
    const wake = async (until: AbortSignal): Promise<void> => {
      const waitMs = (outbox.nextDueAt ?? Infinity) - this.#clock.now();
      await clock.sleep(Math.min(30_000, Math.max(1, waitMs)), until);
    };
    return runStatusOutbox({ outbox: kept, statuses, clock, random, logger: silentLogger, wake }, signal);
  }
}

describe('whatever is delayed, dropped or recorded late, and whichever servers die or stand still', () => {
  const context = fc.constantFrom('floe/evaluate', 'floe/build', 'floe/rollout');
  const ms = (max: number) => fc.integer({ min: 1, max });
  const plan: fc.Arbitrary<PostPlan> = fc.oneof(
    fc.record({ kind: fc.constant('taken' as const), answerMs: ms(15_000), recordMs: ms(30_000) }),
    fc.record({ kind: fc.constant('dropped' as const), answerMs: ms(12_000), recordMs: fc.option(ms(5 * MINUTE_MS), { nil: undefined }) }),
    fc.record({ kind: fc.constantFrom('limited' as const, 'refused' as const), answerMs: ms(3_000), recordMs: fc.constant(undefined) }),
  );
  const event = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('want' as const), context, state: fc.constantFrom('pending', 'success', 'failure') }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), server: fc.nat(2), backMs: ms(20_000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('freeze' as const), server: fc.nat(2), ms: ms(4 * MINUTE_MS) }) },
  );
  const story = fc.record({
    servers: fc.integer({ min: 1, max: 3 }),
    isReadable: fc.boolean(),
    plans: fc.array(plan, { maxLength: 25 }),
    events: fc.array(fc.record({ afterMs: ms(20_000), event }), { minLength: 1, maxLength: 30 }),
    random: fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
  });

  test('the last word on each commit and context is the newest status, of few', async () => {
    await fc.assert(
      fc.asyncProperty(story, async (given) => {
        const clock = new VirtualClock();
        const outbox = new MemoryOutbox(clock.now);
        const forge = new PlannedForge(clock, given.plans, given.isReadable);
        const stop = new AbortController();
        const running: Promise<void>[] = [];
        const start = (): Process => {
          const made = new Process(clock);
          running.push(made.start(outbox, forge, () => given.random.next().value ?? 0, stop.signal));
          return made;
        };
        const servers = Array.from({ length: given.servers }, start);
        const frozen = new Set<Process>();
        for (const [index, { afterMs, event: each }] of given.events.entries()) {
          await clock.advance(afterMs);
          if (each.kind === 'want') {
            outbox.put(each.context, { state: each.state, description: String(index) }, SHA);
            continue;
          }
          const number = each.server % servers.length;
          const server = servers[number];
          if (each.kind === 'freeze' && server !== undefined && !frozen.has(server)) {
            frozen.add(server);
            server.freeze(each.ms);
          } else if (each.kind === 'kill') {
            server?.kill();
            void clock.sleep(each.backMs).then(() => (servers[number] = start()));
          }
        }
        for (let minutes = 0; outbox.nextDueAt !== undefined; minutes += 1) {
          expect(minutes).toBeLessThan(600);
          await clock.advance(MINUTE_MS);
        }
        for (const [id, { entry }] of outbox.rows) {
          const records = forge.records.get(id) ?? [];
          expect(records.at(-1)).toMatchObject({ state: entry.state, description: entry.description });
          expect(entry).toMatchObject({ sentVersion: entry.version, claimedUntil: undefined, unsureSince: undefined });
          // Each missed answer costs at most the looks of ten minutes, and those only where nothing can be read.
          expect(records.length).toBeLessThan(given.isReadable ? 100 : 400);
        }
        stop.abort();
        await clock.advance(5 * MINUTE_MS);
      }),
    );
  });
});

describe('a sender', () => {
  test('that was killed leaves its status to another one for ten seconds', async () => {
    const clock = new VirtualClock();
    const outbox = new MemoryOutbox(clock.now);
    const forge = new PlannedForge(clock, [{ kind: 'dropped', answerMs: 9_000, recordMs: undefined }], true);
    outbox.put('floe/rollout', { state: 'success', description: 'all 3' }, SHA);
    const stop = new AbortController();
    const killed = new Process(clock);
    void killed.start(outbox, forge, () => 0.5, stop.signal);
    await clock.advance(4_000);
    killed.kill();
    const started = clock.now();
    const next = new Process(clock).start(outbox, forge, () => 0.5, stop.signal);
    while (forge.records.size === 0 && clock.now() - started < MINUTE_MS) await clock.advance(500);
    expect(clock.now() - started).toBeLessThanOrEqual(12_000);
    stop.abort();
    await next;
  });

  test('keeps its claim while it waits for a slow forge, and others leave the row to it', async () => {
    const clock = new VirtualClock();
    const outbox = new MemoryOutbox(clock.now);
    let posts = 0;
    const statuses: CommitStatuses = {
      async post() {
        posts += 1;
        await clock.sleep(MINUTE_MS);
        return { kind: 'sent' };
      },
      read: async () => ({ kind: 'unknown', message: '' }),
      isSame: () => false,
    };
    outbox.put('floe/rollout', { state: 'success', description: 'all 3' }, SHA);
    const stop = new AbortController();
    const senders = [1, 2].map(async () => await new Process(clock).start(outbox, statuses, () => 0.5, stop.signal));
    await clock.advance(2 * MINUTE_MS);
    expect(posts).toBe(1);
    expect(outbox.nextDueAt).toBeUndefined();
    stop.abort();
    await Promise.all(senders);
  });
});
