import { highestBelieved, isSequenceFarAhead, MAX_COUNTER, type CommitSha } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commit, newHost, newRepository, path, presence, unique, WORLDS, type World } from './test/test-store.ts';

const sequence = fc.oneof(
  fc.nat(30),
  fc.integer({ min: 9_990, max: 10_030 }),
  fc.constantFrom(49_999, 50_000, 50_001, 100_000, 900_000, MAX_COUNTER),
);
const fleet = fc.record({
  given: fc.nat(25),
  releases: fc.array(fc.record({ sequence: fc.nat(20), isSubmitted: fc.boolean() }), { maxLength: 3 }),
  hosts: fc.array(fc.record({ accepts: fc.array(sequence, { minLength: 1, maxLength: 3 }), isRevoked: fc.boolean(), isElsewhere: fc.boolean() }), {
    maxLength: 4,
  }),
  asks: fc.array(fc.constantFrom('commit', 'submission', 'handover'), { minLength: 1, maxLength: 3 }),
});

describe.each(WORLDS)('the next sequence, on $name,', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('is above all that was given, and what hosts accepted near the newest release, however often they say it', async () => {
    await fc.assert(
      fc.asyncProperty(fleet, async ({ given, releases, hosts, asks }) => {
        const { store } = world;
        const [repository, elsewhere] = [await newRepository(store), await newRepository(store)];
        const enrolled = newHost();
        await store.hosts.enrol({ host: enrolled, repositoryId: repository.id, machineId: 'm', publicKey: enrolled, at: 1 });
        await store.repositories.raiseSequence(repository.id, given);
        for (const release of releases) {
          const host = newHost();
          await store.hosts.ensure(repository.id, [host]);
          const signed = { toplevel: path('some'), commit: commit('1'), issuedAt: 1, envelope: '{}' };
          await store.releases.importStatement({ repositoryId: repository.id, host, ...signed, ...release });
        }
        for (const { accepts, isRevoked, isElsewhere } of hosts) {
          const host = newHost();
          const { id: repositoryId } = isElsewhere ? elsewhere : repository;
          await store.hosts.enrol({ host, repositoryId, machineId: 'm', publicKey: host, at: 1 });
          for (const accepted of accepts) await store.hosts.connect(host, presence({ sequence: accepted }));
          if (isRevoked) await store.hosts.revoke(host, 2);
        }
        const ofFleet = releases.flatMap((release) => (release.isSubmitted ? [] : [release.sequence]));
        const newest = ofFleet.length === 0 ? undefined : Math.max(...ofFleet);
        const said = hosts.flatMap(({ accepts, isRevoked, isElsewhere }) => (isRevoked || isElsewhere ? [] : (accepts.at(-1) ?? 0)));
        const believed = said.filter((each) => each <= highestBelieved(newest));
        let last = Math.max(given, ...believed);
        for (const ask of asks) {
          const name = unique('n');
          if (ask === 'commit') {
            const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
            const sha = name.slice(1).padStart(40, '0') as CommitSha;
            expect((await store.revisions.receive(repository.id, { sha, ...about })).sequence).toBe((last += 1));
          } else if (ask === 'submission') {
            const asked = {
              repositoryId: repository.id,
              host: enrolled,
              toplevel: path(name),
              by: 'ada',
              reason: 'why',
              at: 1,
              expiresAt: undefined,
            };
            expect(await store.submissions.number(await store.submissions.request(asked))).toBe((last += 1));
          } else {
            const systems = new Map([[enrolled, path(name)]]);
            const asked = { repositoryId: repository.id, contentHash: name, commit: undefined, systems, by: 'ci', person: 'ci', at: 1 };
            const requested = await store.handovers.request(asked);
            if (requested.kind !== 'requested') throw new Error(requested.kind);
            const named = { sha: commit('2'), subject: '', authorName: '', authorEmail: '', committedAt: 1 };
            const taken = await store.handovers.take(requested.id, named, new Map(), 1);
            if (typeof taken === 'object') expect(taken.sequence).toBe((last += 1));
            else expect(taken).toBe('busy');
          }
        }
        // From there a fleet has tens of thousands of commits before a builder refuses one.
        expect(isSequenceFarAhead(last + 40_000, newest ?? 0)).toBe(false);
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 15 },
    );
  });
});
