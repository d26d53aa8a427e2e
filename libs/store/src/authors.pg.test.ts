import { defaultGates, DEFAULT_POLICY, missingApprovals, type CommitSha, type RolloutPolicy } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newHost, newRelease, newRepository, path, receive, toBuilding, unique, type World, WORLDS } from './test/test-store.ts';

// Whoever pushed or signed a commit that a ring has not had approves nothing for it, also where the ring was passed over before.

const PEOPLE = ['ada', 'bob', 'cyd'] as const;
type Person = (typeof PEOPLE)[number];
/** Nobody's: no token names them. */
const STRANGERS = ['mallory'] as const;
const RINGS = ['canary', 'late'] as const;

const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const approvals = { count: 1, role: 'approver', notAuthor: true } as const;
const policy: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: RINGS.map((name, index) => ({ ...first, ...defaultGates(index, RINGS.length), name, approvals })),
};

const anyCommit = fc.record({
  pusher: fc.constantFrom<Person | 'mallory'>(...PEOPLE, ...PEOPLE, ...STRANGERS),
  signers: fc.uniqueArray(fc.constantFrom<Person | 'mallory'>(...PEOPLE, ...PEOPLE, ...STRANGERS), { maxLength: 2 }),
  /** What became of it, before the next one came: it was complete, perhaps without some rings, or was not. */
  fate: fc.oneof(
    fc.constant('superseded' as const),
    fc.subarray([0, 1]).map((without) => ({ without })),
  ),
  /** Its commits were asked about twice: the second time as new since itself. */
  isAskedAgain: fc.boolean(),
});

describe.each(WORLDS)('the authors of what a ring has not had, on $name', ({ name: database, open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
    for (const person of PEOPLE) {
      const token = { name: person, role: 'administrator', token: person, at: 1 } as const;
      await world.store.tokens.createApiToken({ ...token, forgeLogin: person, signer: `${person}@example.org` });
    }
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('are all who pushed or signed it, and none of them approves it', async () => {
    const seen = { older: 0, signedOnly: 0, unmapped: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommit, { minLength: 2, maxLength: 6 }), fc.nat(1), async (commits, ring) => {
        const { store } = world;
        const repository = await newRepository(store);
        const host = newHost();
        await store.hosts.ensure(repository.id, [host]);
        let before: CommitSha | undefined;
        let last: string | undefined;
        for (const [index, { pusher, signers, fate, isAskedAgain }] of commits.entries()) {
          const sha = unique('').padStart(40, '0') as CommitSha;
          const revision = await receive(store, repository, sha);
          await store.revisions.savePolicy(revision.id, policy);
          await store.revisions.noteSigners(
            revision.id,
            signers.map((each) => `${each}@example.org`),
          );
          if (isAskedAgain)
            await store.revisions.noteSigners(
              revision.id,
              signers.slice(0, 1).map((each) => `${each}@example.org`),
            );
          await toBuilding(store, revision.id);
          await store.releases.publish(revision.id, [newRelease(revision, host, path(`${host}-${index}`))], 50);
          const push = { id: unique('push'), forge: 'github', event: 'push', repositoryId: repository.id, before, after: sha, receivedAt: 1 };
          await store.deliveries.record({ ...push, pusher, outcome: 'accepted' });
          const { rollout } = await store.hosts.fleet(repository.id);
          if (rollout === undefined) throw new Error('there is a rollout');
          const isLast = index === commits.length - 1;
          if (fate !== 'superseded' && !isLast)
            await store.rollouts.save({ ...rollout, course: { ...rollout.course, state: 'COMPLETE', unapproved: fate.without } }, 60, []);
          before = sha;
          last = revision.id;
        }
        if (last === undefined) throw new Error('there is a last one');
        const name = RINGS[ring] ?? 'canary';
        const authors = await store.rollouts.authorsOf(last, 'github', { index: ring, name });
        // What git and the forge would say.
        const base = commits.slice(0, -1).findLastIndex(({ fate }) => fate !== 'superseded' && !fate.without.includes(ring));
        if (base === -1) {
          // The ring was never asked: who brought all of it is not known, but whoever brought the newest is.
          const newest = commits.slice(0, -1).findLastIndex(({ fate }) => fate !== 'superseded');
          if (newest === -1) expect(authors).toBeUndefined();
          else expect([authors?.isUntold, new Set(authors?.pushers)]).toEqual([true, new Set(commits.slice(newest + 1).map(({ pusher }) => pusher))]);
          return;
        }
        const fresh = commits.slice(base + 1);
        const writers = new Set(fresh.flatMap(({ pusher, signers }) => [pusher, ...signers]));
        expect(new Set(authors?.pushers)).toEqual(new Set(fresh.map(({ pusher }) => pusher)));
        expect(new Set(authors?.signers)).toEqual(new Set(fresh.flatMap(({ signers }) => signers.map((each) => `${each}@example.org`))));
        if (commits.slice(base + 1, -1).some(({ fate }) => fate !== 'superseded')) seen.older += 1;
        if (fresh.some(({ signers }) => signers.some((each) => !fresh.some(({ pusher }) => pusher === each)))) seen.signedOnly += 1;

        const { rollout } = await store.hosts.fleet(repository.id);
        if (rollout === undefined) throw new Error('there is a rollout');
        expect(await store.rollouts.save({ ...rollout, authors }, 70, [])).toBe(true);
        const now = (await store.hosts.fleet(repository.id)).rollout;
        if (now?.people === undefined) throw new Error('the authors are known');
        expect(now.authors).toEqual(authors);
        const { people } = now;
        const hasUnknownAuthor = people.isUntold || people.unmapped.length > 0 || people.unmappedSigners.length > 0;
        if (writers.has('mallory')) seen.unmapped += 1;
        expect(hasUnknownAuthor).toBe(writers.has('mallory'));
        for (const person of [...PEOPLE, 'eve']) {
          const approval = { by: person, person, role: 'administrator', reason: '', at: 1, ring, loosens: [] } as const;
          const orders = { ...now.orders, approvals: [approval] };
          const { authors: known, hasOtherAdministrator } = people;
          const facts = { policy, orders, authors: known, hasUnknownAuthor, hasOtherAdministrator, weaker: [], binds: undefined };
          const isMissing = missingApprovals({ ring, provedRing: ring }, facts) !== undefined;
          expect(isMissing).toBe(hasUnknownAuthor || writers.has(person as Person));
        }
      }),
      // The embedded database is many times slower, and does the same.
      { numRuns: database === 'PGlite' ? 10 : Math.max(40, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
    );
    if (database !== 'PGlite') expect(Math.min(...Object.values(seen))).toBeGreaterThan(0);
  });

  test('what was noted of signers and cannot be read makes nobody known', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const [stable, next] = [unique('').padStart(40, '0') as CommitSha, unique('').padStart(40, '0') as CommitSha];
    const host = newHost();
    await store.hosts.ensure(repository.id, [host]);
    for (const [index, sha] of [stable, next].entries()) {
      const revision = await receive(store, repository, sha);
      await toBuilding(store, revision.id);
      await store.releases.publish(revision.id, [newRelease(revision, host, path(`${host}-${index}`))], 50);
      const { rollout } = await store.hosts.fleet(repository.id);
      if (rollout !== undefined && index === 0) await store.rollouts.save({ ...rollout, course: { ...rollout.course, state: 'COMPLETE' } }, 60, []);
    }
    const push = { id: unique('push'), forge: 'github', event: 'push', repositoryId: repository.id, before: stable, after: next, receivedAt: 1 };
    await store.deliveries.record({ ...push, pusher: 'ada', outcome: 'accepted' });
    const newest = await store.revisions.newest(repository.id);
    if (newest === undefined) throw new Error('there is a newest one');
    const asked = async () => await store.rollouts.authorsOf(newest.id, 'github', { index: 0, name: 'all' });
    expect(await asked()).toMatchObject({ pushers: ['ada'], signers: [] });
    const many = Array.from({ length: 201 }, (_, index) => `signer-${index}`);
    await store.revisions.noteSigners(newest.id, many.slice(0, 200));
    expect((await asked())?.signers).toHaveLength(200);
    await store.revisions.noteSigners(newest.id, many.slice(200));
    expect(await asked()).toBeUndefined();
  });
});

test('a rollout of which it cannot be read which rings were asked proves none of them', async () => {
  await using world = await WORLDS[1].open();
  const { store } = world;
  const repository = await newRepository(store);
  const host = newHost();
  await store.hosts.ensure(repository.id, [host]);
  const shas = Array.from({ length: 3 }, () => unique('').padStart(40, '0') as CommitSha);
  for (const [index, sha] of shas.entries()) {
    const revision = await receive(store, repository, sha);
    await toBuilding(store, revision.id);
    await store.releases.publish(revision.id, [newRelease(revision, host, path(`${host}-${index}`))], 50);
    const push = { id: unique('push'), forge: 'github', event: 'push', repositoryId: repository.id, after: sha, receivedAt: 1 };
    await store.deliveries.record({ ...push, before: shas[index - 1], pusher: ['cyd', 'bob', 'ada'][index], outcome: 'accepted' });
    const { rollout } = await store.hosts.fleet(repository.id);
    if (rollout !== undefined && index < 2) await store.rollouts.save({ ...rollout, course: { ...rollout.course, state: 'COMPLETE' } }, 60, []);
  }
  const newest = await store.revisions.newest(repository.id);
  if (newest === undefined) throw new Error('there is a newest one');
  const asked = async () => (await store.rollouts.authorsOf(newest.id, 'github', { index: 0, name: 'all' }))?.pushers;
  expect(await asked()).toEqual(['ada']);
  for (const unreadable of [{ 0: 0 }, ['0'], [-1], 'all', true]) {
    await world.query?.(`
      update rollouts set unapproved = '${JSON.stringify(unreadable)}'
      where revision_id in (select id from revisions where sha = '${shas[1]}')`);
    expect(await asked()).toEqual(['ada', 'bob']);
  }
});
