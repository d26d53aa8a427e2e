import type { CommitSha, HostName, StorePath } from '@floe/model';
import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { parseWord, SignedWord, wordText, type OperatorWord } from './operator-words.ts';

const WORD: OperatorWord = {
  version: 1,
  repository: 'https://forge.example/fleet.git',
  ref: 'refs/heads/main',
  host: 'ada' as HostName,
  commit: 'c'.repeat(40) as CommitSha,
  sequence: 4,
  toplevel: `/nix/store/${'0'.repeat(32)}-ada` as StorePath,
  floor: 9,
  actor: 'grace',
  reason: 'why',
  issuedAt: 1,
  until: 2,
  nonce: 'n'.repeat(36),
};

test('what is signed is printable ASCII, whatever the reason, and says the same', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (reason) => {
      const text = wordText({ ...WORD, reason });
      expect(v.is(SignedWord.entries.statement, text)).toBe(true);
      expect(parseWord(text)?.reason).toBe(v.parse(v.string(), (JSON.parse(text) as OperatorWord).reason).replaceAll('\0', '\u{FFFD}'));
      expect((JSON.parse(text) as OperatorWord).reason).toBe(reason);
    }),
  );
});

test('a word with more in it, or less, is none', () => {
  expect(parseWord(JSON.stringify({ ...WORD, hosts: ['bob'] }))).toBeUndefined();
  for (const key of Object.keys(WORD)) expect(parseWord(JSON.stringify({ ...WORD, [key]: undefined })), key).toBeUndefined();
  expect(parseWord('no')).toBeUndefined();
});
