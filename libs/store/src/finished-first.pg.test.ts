import type { CommitSha, HostName } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEntry, Repository, Revision } from './records.ts';
import { newHost, newRelease, newRepository, path, unique, type World, WORLDS } from './test/test-store.ts';

const MINUTE = 60_000;
/** How often the builder looks. */
const STEP = 5 * MINUTE;
const ABOUT = { subject: 's', authorName: 'a', authorEmail: 'a@b', committedAt: 1 };

/** `partial`: one host is released at once, the other one is slow. */
const KINDS = ['slow', 'partial', 'refused', 'broken'] as const;
type Kind = (typeof KINDS)[number];
interface Pushes {
  /** What is pushed at each step, over and over. */
  readonly pushed: readonly (readonly Kind[])[];
  readonly buildMs: number;
}

describe.each(WORLDS)('which revision is finished first on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  /** A repository with two hosts, and a builder that does one revision after the other. */
  class Builder {
    now = 1_000;
    readonly repository: Repository;
    readonly #fast = newHost();
    readonly #slow = newHost();
    readonly #kinds = new Map<CommitSha, Kind>();
    #running: Revision | undefined;
    #startedAt = 0;

    constructor(repository: Repository) {
      this.repository = repository;
    }

    static async open(): Promise<Builder> {
      const builder = new Builder(await newRepository(world.store));
      await world.store.hosts.ensure(builder.repository.id, [builder.#fast, builder.#slow]);
      return builder;
    }

    async push(kind: Kind): Promise<Revision> {
      const sha = String(this.#kinds.size + 1).padStart(40, '0') as CommitSha;
      this.#kinds.set(sha, kind);
      return await world.store.revisions.receive(this.repository.id, { sha, ...ABOUT, receivedAt: this.now, fetchedAt: this.now });
    }

    /** True: one was released with all its hosts. */
    async work(buildMs: number): Promise<boolean> {
      const { revisions } = world.store;
      await revisions.endOverdue(this.repository.id, this.now);
      for (;;) {
        const next = await revisions.nextUnfinished(this.repository.id);
        if (next === undefined) return false;
        if (next.id !== this.#running?.id) {
          this.#startedAt = this.now;
          this.#running = next;
          if (await this.#start(next)) return false;
        } else if (this.now - this.#startedAt >= buildMs) {
          await this.#release(next, this.#slow, 'publish');
          return true;
        } else return false;
      }
    }

    /** True: it is being built from now on. */
    async #start({ id, sha, ...revision }: Revision): Promise<boolean> {
      const { revisions } = world.store;
      const kind = this.#kinds.get(sha);
      await revisions.advance(id, 'accepted', this.now);
      if (kind === 'refused') {
        await revisions.advance(id, 'refused', this.now);
        return false;
      }
      await revisions.advance(id, 'verified', this.now);
      if (kind === 'broken') {
        await revisions.advance(id, 'evaluation-failed', this.now);
        return false;
      }
      await revisions.advance(id, 'evaluated', this.now);
      if (kind === 'partial') await this.#release({ id, sha, ...revision }, this.#fast, 'handOut');
      return true;
    }

    async #release(revision: Revision, host: HostName, by: 'publish' | 'handOut'): Promise<void> {
      await world.store.releases[by](revision.id, [newRelease(revision, host, path(revision.sha))], this.now);
    }
  }

  const isSlow = (kind: Kind | undefined): boolean => kind === 'slow' || kind === 'partial';
  /** Of those that are pushed between two looks, the first and the newest may have their turn; a newer one replaces any other (SPEC R2). */
  const hasTurn = (step: readonly Kind[]): boolean => isSlow(step[0]) || isSlow(step.at(-1));
  const anyPushes: fc.Arbitrary<Pushes> = fc.record({
    pushed: fc.array(fc.array(fc.constantFrom(...KINDS), { maxLength: 4 }), { minLength: 1, maxLength: 4 }).filter((steps) => steps.some(hasTurn)),
    buildMs: fc.integer({ min: 16, max: 60 }).map((minutes) => minutes * MINUTE),
  });
  const samples: readonly Pushes[] = [
    { pushed: [['partial']], buildMs: 40 * MINUTE },
    { pushed: [['slow'], ['refused']], buildMs: 40 * MINUTE },
    { pushed: [['slow'], ['broken']], buildMs: 40 * MINUTE },
    { pushed: [['slow', 'slow', 'slow', 'slow']], buildMs: 40 * MINUTE },
    {
      pushed: [
        ['refused', 'slow', 'refused'],
        ['slow', 'broken'],
      ],
      buildMs: 60 * MINUTE,
    },
  ];

  test('a host that takes an hour to build is released in the end, whatever is pushed, refused and released in part in between', async () => {
    await fc.assert(
      fc.asyncProperty(anyPushes, async ({ pushed, buildMs }) => {
        const builder = await Builder.open();
        for (let step = 0; step < 120; step += 1) {
          for (const kind of pushed[step % pushed.length] ?? []) await builder.push(kind);
          if (await builder.work(buildMs)) return;
          builder.now += STEP;
        }
        expect.fail('after ten hours it still has no release');
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 8, examples: samples.map((each) => [each]) },
    );
  }, 600_000);

  test('a push starts the time after which a build is ended, and not what was submitted', async () => {
    const builder = await Builder.open();
    const running = await builder.push('slow');
    await builder.work(60 * MINUTE);
    const { handovers, revisions } = world.store;
    const asked = { repositoryId: builder.repository.id, contentHash: 'one', by: 'ci', person: 'ada', at: builder.now, systems: new Map() };
    const requested = await handovers.request(asked);
    if (requested.kind !== 'requested') throw new Error('too many wait');
    await handovers.take(requested.id, { ...ABOUT, sha: 'a'.repeat(40) as CommitSha }, new Map(), builder.now);
    builder.now += 20 * MINUTE;
    const pushed = await builder.push('slow');
    expect(await revisions.endOverdue(builder.repository.id, builder.now + 14 * MINUTE)).toBe(false);
    expect(await revisions.get(running.id)).toMatchObject({ state: 'BUILDING' });
    expect(await revisions.endOverdue(builder.repository.id, builder.now + 15 * MINUTE)).toBe(true);
    expect(await revisions.get(running.id)).toMatchObject({ state: 'SUPERSEDED', supersededBy: pushed.sha });
  });

  test('a hotfix that ends a build is in the log of decisions, or ends none', async () => {
    const builder = await Builder.open();
    const { audit, revisions } = world.store;
    const running = await builder.push('slow');
    await builder.work(60 * MINUTE);
    builder.now += 4 * MINUTE;
    const pushed = await builder.push('slow');
    const actor = unique('ada');
    const entry = { at: builder.now, actor, action: 'hotfix-rollout', subject: pushed.sha, detail: 'why' };
    const logged = async () => (await audit.list({ limit: 100 })).filter((each) => each.actor === actor);
    // The log cannot take it: no time is so late.
    const end = async (noted: AuditEntry) =>
      await world.store.decide(async (decisions) => {
        const ended = await decisions.revisions.endOlder(builder.repository.id, pushed.sha, builder.now);
        return { result: ended, entries: ended.length === 0 ? [] : [noted] };
      });
    await expect(end({ ...entry, at: 1e300 })).rejects.toThrow();
    expect(await revisions.get(running.id)).toMatchObject({ state: 'BUILDING' });
    expect(await end(entry)).toEqual([running.sha]);
    expect(await revisions.get(running.id)).toMatchObject({ state: 'SUPERSEDED' });
    // Nothing is left to end, and nobody decided that.
    expect(await end(entry)).toEqual([]);
    expect(await logged()).toMatchObject([entry]);
  });
});
