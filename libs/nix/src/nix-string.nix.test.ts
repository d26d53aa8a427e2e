import { execInTest, nixString } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('Nix reads each string literal as the text that it was made of', async () => {
  const named = ['a"b\\c${d}', '$${x}', '\\${x}', "''${x}''", '\r\n\r\t', '$', '\\'];
  // Neither NUL nor half a character can be in a command line.
  const texts = [...named, ...fc.sample(fc.string({ unit: 'binary' }), 200).map((text) => text.replaceAll('\0', '').toWellFormed())];
  const expression = `[ ${texts.map(nixString).join(' ')} ]`;
  const { stdout } = await execInTest('nix', ['--extra-experimental-features', 'nix-command', 'eval', '--json', '--expr', expression]);
  expect(JSON.parse(stdout)).toEqual(texts);
});
