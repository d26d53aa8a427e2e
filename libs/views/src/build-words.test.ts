import { expect, test } from 'vitest';
import { buildLines } from './build-words.ts';
import { describeBuild } from './describe-revision.ts';

const NOW = 10_000_000;
const of = (host: string, minutes: number, texts: readonly [string | null, string | null] = [null, null]) =>
  ({ host, since: NOW - minutes * 60_000, derivation: texts[0], line: texts[1] }) as never;

const lines = (builds: never[]) => buildLines({ builds, checkBuilds: [] }, NOW);

test('builds that run are told with how long, what and its last line; many are counted', () => {
  expect(buildLines({ builds: [], checkBuilds: [] }, NOW)).toEqual([]);
  expect(lines([of('ada', 12, ['linux-6.6', 'CC net.o']), of('bob', 3, ['glibc-2.40', null]), of('cyd', -5)])).toEqual([
    'building ada for 12 min 0 s: linux-6.6: CC net.o',
    'building bob for 3 min 0 s: glibc-2.40',
    'building cyd for 1.0 s',
  ]);
  const many = Array.from({ length: 8 }, (_, index) => of(`host${index}`, 9 - index));
  expect(lines(many)).toHaveLength(6);
  expect(lines(many).at(-1)).toBe('and 3 other builds');
});

test('checks are told before hosts', () => {
  const check = { check: 'unit', since: NOW - 60_000, derivation: 'tests', line: 'test 3' };
  expect(buildLines({ builds: [of('ada', 12)], checkBuilds: [check as never] }, NOW)).toEqual([
    'building the check unit for 1 min 0 s: tests: test 3',
    'building ada for 12 min 0 s',
  ]);
});

test('a commit names the host whose build has run the longest', () => {
  const evaluations = ['ada', 'bob'].map((host) => ({ host, outcome: 'NEW' as const, builtAt: host === 'bob' ? 1 : undefined }));
  const facts = { revision: { state: 'BUILDING' as const }, evaluations };
  expect(describeBuild({ ...facts, longest: 'ada' }).description).toBe('1 of 2 built, ada still builds');
  expect(describeBuild({ ...facts, revision: { state: 'PUBLISHED' }, longest: 'ada' }).description).not.toContain('still');
});
