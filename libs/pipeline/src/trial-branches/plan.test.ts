import type { CommitSha, HostName } from '@floe/model';
import type { TestingBranch } from '@floe/store';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { planTesting } from './plan.ts';

const HOSTS = ['ada', 'bob', 'web.example.org', 'WS1', 'zoe'] as HostName[];
const sha = fc.stringMatching(/^[0-9a-f]{40}$/).map((text) => text as CommitSha);
/** Names of hosts, and what else git allows: other folders, capitals, slashes, Unicode, other folders' beginnings. */
const name = fc.oneof(
  fc.constantFrom(...HOSTS).map((host) => `testing/${host}`),
  fc.constantFrom(...HOSTS).map((host) => `testing/${host}/more`),
  fc.constantFrom(
    'testing/ADA',
    'testing/ws1',
    'testing/é',
    'testing/',
    'testing/__proto__',
    'testing/constructor',
    'testingada',
    'main',
    'old/testing/ada',
  ),
  fc.string({ unit: 'grapheme' }).map((text) => `testing/${text}`),
  fc.nat(999).map((index) => `testing/host${index}`),
);
const branches = fc.uniqueArray(fc.record({ name, head: sha }), { selector: (each) => each.name, maxLength: 500 });
const rows = fc
  .uniqueArray(fc.constantFrom(...HOSTS), { maxLength: HOSTS.length })
  .chain((hosts) =>
    fc.tuple(
      ...hosts.map((host) =>
        fc.record({
          repositoryId: fc.constant('r'),
          host: fc.constant(host),
          head: sha,
          seenAt: fc.constant(1),
          state: fc.constantFrom('SEEN' as const, 'TRYING' as const, 'DONE' as const),
        }),
      ),
    ),
  )
  .map((each): TestingBranch[] => each);

test('of any branches only those of known hosts are followed, within the limit, and those that are followed already first', () => {
  fc.assert(
    fc.property(branches, rows, fc.boolean(), fc.integer({ min: 0, max: 100 }), (listed, followed, isComplete, limit) => {
      const plan = planTesting({ branches: listed, isComplete }, followed, new Set(HOSTS), limit);
      const names = new Set(listed.map((each) => each.name));
      expect(plan.follow.length).toBeLessThanOrEqual(limit);
      expect(plan.nameless.length).toBeLessThanOrEqual(limit);
      for (const { host, head } of plan.follow) {
        expect(HOSTS).toContain(host);
        expect(listed).toContainEqual({ name: `testing/${host}`, head });
      }
      expect(new Set(plan.follow.map(({ host }) => host)).size).toBe(plan.follow.length);
      for (const { name: nameless } of plan.nameless) expect(HOSTS).not.toContain(nameless);
      // Others take nobody's place.
      const kept = followed.filter(({ host }) => names.has(`testing/${host}`)).length;
      const keptInPlan = plan.follow.filter(({ host }) => followed.some((row) => row.host === host)).length;
      expect(keptInPlan).toBe(Math.min(kept, limit));
      // What a list that is not complete lacks may be there.
      expect(plan.gone).toEqual(isComplete ? followed.filter(({ host }) => !names.has(`testing/${host}`)) : []);
      expect(plan.follow.length + plan.leftOut).toBe(HOSTS.filter((host) => names.has(`testing/${host}`)).length);
    }),
  );
});

test('500 branches of one fleet are followed up to the limit, and in the same order each time', () => {
  const hosts = Array.from({ length: 500 }, (_, index) => `ws${index}` as HostName);
  const listed = hosts.map((host) => ({ name: `testing/${host}`, head: '0'.repeat(40) as CommitSha }));
  const plan = planTesting({ branches: listed, isComplete: true }, [], new Set(hosts), 100);
  expect([plan.follow.length, plan.leftOut]).toEqual([100, 400]);
  expect(planTesting({ branches: listed.toReversed(), isComplete: true }, [], new Set(hosts), 100)).toEqual(plan);
});
