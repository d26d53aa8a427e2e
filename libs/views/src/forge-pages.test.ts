import { handoverSha } from '@floe/model';
import { expect, test } from 'vitest';
import { commitPage } from './forge-pages.ts';

test.each([
  ['https://github.com/it/fleet.git', 'https://github.com/it/fleet/commit/abc'],
  ['https://me:secret@gitlab.com/it/a/fleet', 'https://gitlab.com/it/a/fleet/-/commit/abc'],
  ['https://codeberg.org/it/fleet/', 'https://codeberg.org/it/fleet/commit/abc'],
  ['git@github.com:it/fleet.git', 'https://github.com/it/fleet/commit/abc'],
  ['ssh://git@gitlab.com:22/it/a/fleet.git/', 'https://gitlab.com/it/a/fleet/-/commit/abc'],
  ['git@git.example.org:it/fleet.git', null],
  ['https://git.example.org/it/fleet.git', null],
  ['http://github.com/it/fleet', null],
  ['https://constructor/it/fleet', null],
  ['no url', null],
])('the commit of %s is at %s', (url, page) => {
  expect(commitPage(url, 'abc')).toBe(page);
});

test('what was submitted without a commit is nowhere on the forge', () => {
  expect(commitPage('https://github.com/it/fleet', handoverSha('ab'.repeat(32)))).toBeNull();
});
