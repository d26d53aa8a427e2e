import type { CommitSha } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { moveRollout, newHost, newRepository, publishNext, unique, type World, WORLDS, FIRST_RING } from './test/test-store.ts';

// The forge tells who moved the branch from where to where. Whoever brought a commit that is new since the last complete rollout is found,
// or it is said that not all are known; author lines play no part.

const LOGINS = ['ada', 'bob', 'renovate[bot]'] as const;

/** A push: it adds commits on top, or rewrites the branch from some commit of before. */
const anyPush = fc.record({
  by: fc.constantFrom(...LOGINS, undefined),
  /** On top of the head, or of the head so many pushes before. */
  back: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(3)),
  /** Back to the head of then, with no commit of its own. */
  isReset: fc.boolean(),
  added: fc.integer({ min: 1, max: 3 }),
  isTold: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, fc.constant(false)),
});
const anyHistory = fc.record({
  pushes: fc.array(anyPush, { minLength: 1, maxLength: 7 }),
  stableAt: fc.nat(6),
});

interface Pushed {
  readonly before: CommitSha;
  readonly after: CommitSha;
  readonly by: string | undefined;
  readonly isTold: boolean;
}

/** The pushes, and the parent of each commit. */
function play(history: typeof anyHistory extends fc.Arbitrary<infer T> ? T : never) {
  const parents = new Map<CommitSha, CommitSha | undefined>();
  const make = (parent: CommitSha | undefined): CommitSha => {
    const sha = unique('').padStart(40, '0') as CommitSha;
    parents.set(sha, parent);
    return sha;
  };
  const heads = [make(undefined)];
  const pushed = history.pushes.map(({ by, back, isReset, added, isTold }): Pushed => {
    const [before, from] = [heads.at(-1), heads.at(-1 - back) ?? heads[0]];
    if (before === undefined || from === undefined) throw new Error('there is a first head');
    let after = from;
    if (!isReset || from === before) for (let left = added; left > 0; left -= 1) after = make(after);
    heads.push(after);
    return { before, after, by, isTold };
  });
  const reach = (sha: CommitSha | undefined): Set<CommitSha> => {
    const all = new Set<CommitSha>();
    for (let at = sha; at !== undefined; at = parents.get(at)) all.add(at);
    return all;
  };
  return { heads, pushed, reach };
}

describe.each(WORLDS)('who pushed what is new on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function deliver(repositoryId: string, { before, after, by }: Pushed, outcome = 'accepted'): Promise<void> {
    const id = unique('delivery');
    await world.store.deliveries.record({ id, forge: 'github', event: 'push', repositoryId, before, after, pusher: by, outcome, receivedAt: 1 });
  }

  test('everybody who brought a new commit is named, or it is not known', async () => {
    let known = 0;
    await fc.assert(
      fc.asyncProperty(anyHistory, async (history) => {
        const { store } = world;
        const { heads, pushed, reach } = play(history);
        const [head, stable] = [heads.at(-1), heads[Math.min(history.stableAt, heads.length - 2)]];
        if (head === undefined || stable === undefined) throw new Error('there are heads');
        const repository = await newRepository(store);
        const host = newHost();
        await publishNext(store, repository, stable, [host]);
        await moveRollout(store, repository.id, 'COMPLETE', 60);
        const revision = await publishNext(store, repository, head, [host]);
        for (const push of pushed) if (push.isTold) await deliver(repository.id, push);
        const authors = await store.rollouts.authorsOf(revision.id, 'github', FIRST_RING);
        const found = authors?.pushers ?? [];
        // By what git would say: a commit was brought by the pushes that had it after and not before.
        const isNew = [...reach(head)].filter((sha) => !reach(stable).has(sha));
        const bringers = isNew.map((sha) => pushed.filter(({ before, after }) => reach(after).has(sha) && !reach(before).has(sha)));
        expect(LOGINS).toEqual(expect.arrayContaining([...found]));
        if (authors?.isUntold !== false) return;
        known += isNew.length;
        for (const brought of bringers) {
          // One of those who brought it is told of and named; of a commit that was taken away and brought again, that may be either.
          expect(brought.some(({ by, isTold }) => isTold && by !== undefined && found.includes(by))).toBe(true);
        }
      }),
      { numRuns: Math.max(40, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
    );
    expect(known).toBeGreaterThan(5);
  });

  test('a push that was not told of stays unknown, though later ones move the branch forth and back over what it brought', async () => {
    const { store } = world;
    const [stable, hidden, next, head] = ['', '', '', ''].map(() => unique('').padStart(40, '0') as CommitSha);
    if (stable === undefined || hidden === undefined || next === undefined || head === undefined) throw new Error('there are commits');
    const repository = await newRepository(store);
    const host = newHost();
    await publishNext(store, repository, stable, [host]);
    await moveRollout(store, repository.id, 'COMPLETE', 60);
    const revision = await publishNext(store, repository, head, [host]);
    for (const [before, after] of [
      [hidden, next],
      [next, hidden],
      [hidden, head],
    ] as const)
      await deliver(repository.id, { before, after, by: 'ada', isTold: true });
    expect(await store.rollouts.authorsOf(revision.id, 'github', FIRST_RING)).toMatchObject({ pushers: ['ada'], isUntold: true });
    await deliver(repository.id, { before: stable, after: hidden, by: 'bob', isTold: true });
    expect(await store.rollouts.authorsOf(revision.id, 'github', FIRST_RING)).toMatchObject({ pushers: ['ada', 'bob'], isUntold: false });
  });

  test('of a branch that only grew, it is known exactly when each push was told of, with its pusher', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...LOGINS, undefined), fc.boolean()), { minLength: 1, maxLength: 5 }), async (pushes) => {
        const { store } = world;
        const repository = await newRepository(store);
        const host = newHost();
        const [stable, ...heads] = ['', ...pushes].map(() => unique('').padStart(40, '0') as CommitSha);
        const head = heads.at(-1);
        if (stable === undefined || head === undefined) throw new Error('there are heads');
        await publishNext(store, repository, stable, [host]);
        await moveRollout(store, repository.id, 'COMPLETE', 60);
        const revision = await publishNext(store, repository, head, [host]);
        for (const [index, [by, isTold]] of pushes.entries()) {
          const push = { before: heads[index - 1] ?? stable, after: heads[index] ?? head, by, isTold };
          // What is said of another branch, or of none, is no push to this one.
          await deliver(repository.id, { ...push, by: 'ada' }, 'other-branch');
          if (isTold) await deliver(repository.id, push);
        }
        const isKnown = pushes.every(([by, isTold]) => by !== undefined && isTold);
        // The same login at another forge is somebody else.
        expect(await store.rollouts.authorsOf(revision.id, 'gitlab', FIRST_RING)).toMatchObject({ pushers: [], isUntold: true });
        const authors = await store.rollouts.authorsOf(revision.id, 'github', FIRST_RING);
        expect(authors?.isUntold).toBe(!isKnown);
        // Whoever pushed after one that was not told of is known all the same.
        const lastUntold = pushes.findLastIndex(([, isTold]) => !isTold);
        expect(authors?.pushers).toEqual([...new Set(pushes.slice(lastUntold + 1).flatMap(([by]) => by ?? []))].toSorted());
      }),
      { numRuns: Math.max(20, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
    );
  });

  test('without a complete rollout nobody is known: everything is new', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const revision = await publishNext(store, repository, '1'.repeat(40) as CommitSha, [newHost()]);
    expect(await store.rollouts.authorsOf(revision.id, 'github', FIRST_RING)).toBeUndefined();
  });

  test('the people are those of the tokens with the login; a login without a token is nobody’s', async () => {
    const { tokens, rollouts, hosts } = world.store;
    const repository = await newRepository(world.store);
    await publishNext(world.store, repository, '2'.repeat(40) as CommitSha, [newHost()]);
    const logins = [unique('login'), unique('login')] as const;
    const signers = [`${unique('signer')}@example.org`, unique('signer')] as const;
    const people = async () => (await hosts.fleet(repository.id)).rollout?.people;
    expect(await people()).toBeUndefined();
    const { rollout } = await hosts.fleet(repository.id);
    if (rollout === undefined) throw new Error('there is a rollout');
    await rollouts.save({ ...rollout, authors: { ring: 0, since: 0, pushers: logins, isUntold: true, signers } }, 70, []);
    expect(await people()).toEqual({
      authors: [],
      isUntold: true,
      unmapped: [...logins],
      unmappedSigners: [...signers],
      hasOtherAdministrator: false,
    });

    await tokens.createApiToken({ name: 'cyd', role: 'administrator', token: 'c', at: 1, forgeLogin: logins[0] });
    await tokens.createApiToken({ name: 'cyd-phone', role: 'viewer', token: 'p', at: 1, person: 'cyd', forgeLogin: logins[0] });
    expect(await people()).toEqual({
      authors: ['cyd'],
      isUntold: true,
      unmapped: [logins[1]],
      unmappedSigners: [...signers],
      hasOtherAdministrator: false,
    });
    await tokens.createApiToken({ name: 'dan', role: 'administrator', token: 'd', at: 1, expiresAt: 5 });
    expect(await tokens.describeApiToken({ name: 'dan', by: 'cyd', at: 1, forgeLogin: logins[1], person: 'daniel' })).toBe('described');
    await tokens.createApiToken({ name: 'fay', role: 'viewer', token: 'f', at: 1, signer: signers[0] });
    expect(await tokens.describeApiToken({ name: 'cyd-phone', by: 'cyd', at: 1, signer: signers[1] })).toBe('described');
    // What has ended still says whose the login is, but is no administrator any more.
    expect(await people()).toEqual({
      authors: ['cyd', 'daniel', 'fay'],
      isUntold: true,
      unmapped: [],
      unmappedSigners: [],
      hasOtherAdministrator: false,
    });
    await tokens.createApiToken({ name: 'eve', role: 'administrator', token: 'e', at: 1 });
    expect((await people())?.hasOtherAdministrator).toBe(true);
    // Of the same person as an author, it is no other administrator.
    expect(await tokens.describeApiToken({ name: 'eve', by: 'cyd', at: 1, person: 'cyd' })).toBe('described');
    expect((await people())?.hasOtherAdministrator).toBe(false);
    expect(await tokens.describeApiToken({ name: 'eve', by: 'cyd-phone', at: 1, person: null })).toBe('not-allowed');
    expect(await tokens.describeApiToken({ name: 'eve', by: 'cyd', at: 1, person: null })).toBe('described');
    expect((await tokens.findApiToken('e', 2))?.person).toBe('eve');
    expect(await tokens.describeApiToken({ name: 'nobody', by: 'cyd', at: 1, person: null })).toBe('unknown');
  });
});
