import type { CommitSha, HostName } from '@floe/model';
import type { TestingBranch } from '@floe/store';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { planTesting } from './plan.ts';
import { MAX_TRIAL_MS } from './seal-trial.ts';

const NOW = 10 * MAX_TRIAL_MS;

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
          seenAt: fc.constantFrom(1, NOW - MAX_TRIAL_MS, NOW - MAX_TRIAL_MS + 1, NOW),
          state: fc.constantFrom('SEEN' as const, 'TRYING' as const, 'DONE' as const),
        }),
      ),
    ),
  )
  .map((each): TestingBranch[] => each);

test('of any branches only those of known hosts are followed, within the limit, and those that are followed already first', () => {
  fc.assert(
    fc.property(branches, rows, fc.boolean(), fc.integer({ min: 0, max: 100 }), (listed, followed, isComplete, limit) => {
      const plan = planTesting({ branches: listed, isComplete }, followed, new Set(HOSTS), { limit, now: NOW });
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
      const holding = followed.filter(({ state, seenAt }) => state !== 'DONE' || seenAt > NOW - MAX_TRIAL_MS);
      const kept = holding.filter(({ host }) => names.has(`testing/${host}`)).length;
      const keptInPlan = plan.follow.filter(({ host }) => holding.some((row) => row.host === host)).length;
      expect(keptInPlan).toBe(Math.min(kept, limit));
      // What a list that is not complete lacks may be there.
      expect(plan.gone).toEqual(isComplete ? followed.filter(({ host }) => !names.has(`testing/${host}`)) : []);
      // A head that had its last word long ago takes no place, and is not tried again.
      const takesNone = followed.filter(
        (row) => !holding.includes(row) && listed.some((each) => each.name === `testing/${row.host}` && each.head === row.head),
      );
      for (const { host } of takesNone) expect(plan.follow.map((each) => each.host)).not.toContain(host);
      expect(plan.follow.length + plan.leftOut).toBe(HOSTS.filter((host) => names.has(`testing/${host}`)).length - takesNone.length);
    }),
  );
});

test('500 branches of one fleet are followed up to the limit, and in the same order each time', () => {
  const hosts = Array.from({ length: 500 }, (_, index) => `ws${index}` as HostName);
  const listed = hosts.map((host) => ({ name: `testing/${host}`, head: '0'.repeat(40) as CommitSha }));
  const plan = planTesting({ branches: listed, isComplete: true }, [], new Set(hosts), { limit: 100, now: NOW });
  expect([plan.follow.length, plan.leftOut]).toEqual([100, 400]);
  expect(planTesting({ branches: listed.toReversed(), isComplete: true }, [], new Set(hosts), { limit: 100, now: NOW })).toEqual(plan);
});

test('a branch that nobody deletes makes place for others a day after its push, and is not tried again', () => {
  const [old, young] = ['ada', 'bob'] as [HostName, HostName];
  const head = '0'.repeat(40) as CommitSha;
  const listed = { branches: [old, young].map((host) => ({ name: `testing/${host}`, head })), isComplete: true };
  const row = (seenAt: number): TestingBranch => ({ repositoryId: 'r', host: old, head, seenAt, state: 'DONE' });
  const planned = (known: readonly TestingBranch[]) => planTesting(listed, known, new Set([old, young]), { limit: 1, now: NOW });
  expect(planned([row(NOW - 1)])).toMatchObject({ follow: [{ host: old }], leftOut: 1, gone: [] });
  const after = [row(NOW - MAX_TRIAL_MS)];
  expect(planned(after)).toEqual({ follow: [{ host: young, head }], nameless: [], gone: [], leftOut: 0 });
  // When the other one is done, too, neither begins again.
  expect(planned([...after, { ...row(1), host: young }])).toMatchObject({ follow: [], leftOut: 0, gone: [] });
  // A newer push to it is as new as any.
  const pushed = { ...listed, branches: [{ name: `testing/${old}`, head: '1'.repeat(40) as CommitSha }] };
  expect(planTesting(pushed, after, new Set([old]), { limit: 1, now: NOW }).follow).toMatchObject([{ host: old }]);
});
