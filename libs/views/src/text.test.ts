import type { StorePath } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { ago, branchInWords, count, firstLine, percent, repositoryName, shortHash, withShortPaths, words } from './text.ts';

const NOW = 1_790_000_000_000;

describe('ago', () => {
  test.each([
    [-5_000, 'just now'],
    [1_000, 'just now'],
    [59_999, '59 s ago'],
    [60_000, '1 min ago'],
    [3_600_000, '1 h ago'],
    [47 * 3_600_000, '47 h ago'],
    [48 * 3_600_000, '2 d ago'],
  ])('%i ms reads %s', (passedMs, text) => {
    expect(ago(NOW - passedMs, NOW)).toBe(text);
  });
});

test('names are shortened to what tells them apart', () => {
  expect(shortHash('/nix/store/abcdefgh01234567890123456789abcd-nixos' as StorePath)).toBe('abcdefgh');
  expect(words('ROLLED_BACK')).toBe(words('rolled-back'));
  expect(firstLine('\n  error: a\nb')).toBe('error: a');
  expect([count(1, 'host'), count(10_000, 'host')]).toEqual(['1 host', '10,000 hosts']);
});

test('store paths in a sentence are shortened, and nothing else', () => {
  const hash = 'abcdefgh01234567890123456789abcd';
  expect(withShortPaths(`(/nix/store/${hash}-nixos-system-ws-26.05 runs), and /nix/store/${hash}: /nix/store/short`)).toBe(
    '(abcdefgh… runs), and abcdefgh…: /nix/store/short',
  );
});

test('the address of a repository never shows credentials', () => {
  expect(repositoryName('https://user:secret@git.example.org/it/fleet.git')).toBe('git.example.org/it/fleet');
  expect(repositoryName('http://127.0.0.1:4000/fleet')).toBe('127.0.0.1:4000/fleet');
});

test('a download whose size is unknown has no percentage', () => {
  expect(percent({ doneBytes: 10, expectedBytes: 0 })).toBeUndefined();
  expect(percent({ doneBytes: 30, expectedBytes: 20 })).toBe(100);
});

test('a branch has its name, and words before that is known', () => {
  expect(branchInWords({ branch: 'release/25.11' })).toBe('release/25.11');
  expect(branchInWords({ branch: '' })).toBe('its default branch');
});
