import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SUBMODULES, readSubmodules, submoduleUrl } from './submodule-list.ts';

const BASE = 'https://git.example.org/fleets/home.git';
const SHA = 'a'.repeat(40);

function config(name: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `submodule.${name}.${key}\n${value}\0`)
    .join('');
}
const gitlink = (path: string): string => `160000 commit ${SHA}\t${path}\0`;

describe('the address of a submodule', () => {
  it.each([
    ['https://github.com/a/b.git', 'https://github.com/a/b.git'],
    ['http://10.0.0.1:8080/b', 'http://10.0.0.1:8080/b'],
    ['git@github.com:a/b.git', 'ssh://git@github.com/a/b.git'],
    ['ssh://git@git.example.org:2222/a', 'ssh://git@git.example.org:2222/a'],
    ['../secrets.git', 'https://git.example.org/fleets/secrets.git'],
    ['../../other/secrets.git', 'https://git.example.org/other/secrets.git'],
    ['./inner', 'https://git.example.org/fleets/home.git/inner'],
  ])('is %s', (text, url) => {
    expect(submoduleUrl(text, BASE, 'sub')).toBe(url);
  });

  it.each([
    ['git@git.example.org:fleets/home.git', '../secrets.git', 'ssh://git@git.example.org/fleets/secrets.git'],
    ['git.example.org:fleets/home.git/', '../../other/secrets', 'ssh://git.example.org/other/secrets'],
    ['ssh://git@git.example.org:2222/fleets/home', '../secrets', 'ssh://git@git.example.org:2222/fleets/secrets'],
  ])('of a repository at %s is, for %s, %s', (base, text, url) => {
    expect(submoduleUrl(text, base, 'sub')).toBe(url);
    expect(() => submoduleUrl('../../../up', base, 'sub')).toThrow('leads out of the repository');
  });

  it.each([
    'file:///etc',
    '/srv/git/a.git',
    'ext::sh -c id',
    'ext::sh%20-c%20id',
    'git://git.example.org/a',
    '--upload-pack=id',
    'ssh://-oProxyCommand=id/x',
    '-oProxyCommand=id@host:path',
    'ssh://git@-oProxyCommand=id/x',
    'https://user:secret@git.example.org/a',
    'https://token@git.example.org/a',
    'https://git.example.org',
    'https://git.example.org/a?x#y',
    '../../../up',
    'https://git.example.org/a\nhttps://b',
    '',
  ])('is refused by the name of the submodule: %j', (text) => {
    expect(() => submoduleUrl(text, BASE, 'the sub')).toThrow(/its submodules cannot be used: the submodule "the sub"/);
  });

  it('is one on a server, of no option and no other protocol, or an error, whatever the text is', () => {
    const parts = fc.constantFrom(
      '..',
      '.',
      '/',
      ':',
      '@',
      '-',
      'ssh://',
      'https://',
      'file://',
      'ext::',
      'git',
      'host',
      '%2e%2e',
      '\\',
      ' ',
      '?',
      '[::1]',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(parts, { maxLength: 8 }).map((each) => each.join('')),
        ),
        (text) => {
          let url: URL;
          try {
            url = new URL(submoduleUrl(text, BASE, 'sub'));
          } catch (error) {
            expect(isFloeError(error, 'SUBMODULES_REFUSED'), String(error)).toBe(true);
            return;
          }
          expect(['https:', 'http:', 'ssh:']).toContain(url.protocol);
          expect(url.password).toBe('');
          expect([url.username, url.hostname].some((part) => part.startsWith('-'))).toBe(false);
          if (/^\.\.?\//.test(text)) expect(url.host).toBe('git.example.org');
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('the submodules of a commit', () => {
  it('are those with a url and a commit', () => {
    const tree = `100644 blob ${SHA}\tflake.nix\0${gitlink('libs/a')}${gitlink('none')}${gitlink('stray')}`;
    const text = [
      config('a.b', { path: 'libs/a', url: '../a.git' }),
      config('gone', { path: 'gone', url: '../gone.git' }),
      config('none', { path: 'none', url: '../none.git', update: 'none' }),
    ].join('');
    expect(readSubmodules(tree, text, BASE)).toEqual([{ path: 'libs/a', sha: SHA, url: 'https://git.example.org/fleets/a.git' }]);
  });

  it.each([
    ['a name with ".."', config('../../x', { path: 'a', url: '../a' }), gitlink('a'), /"\.\.\/\.\.\/x" has a name with "\.\."/],
    [
      'two with one path',
      config('x', { path: 'a', url: '../a' }) + config('y', { path: 'a', url: '../b' }),
      gitlink('a'),
      /"x" and "y" have the same path/,
    ],
    [
      'too many',
      Array.from({ length: MAX_SUBMODULES + 1 }, (_, index) => config(`s${index}`, { path: `s${index}`, url: '../a' })).join(''),
      Array.from({ length: MAX_SUBMODULES + 1 }, (_, index) => gitlink(`s${index}`)).join(''),
      /there are 101 submodules: 100 are the most/,
    ],
  ])('are refused: %s', (_what, text, tree, message) => {
    expect(() => readSubmodules(tree, text, BASE)).toThrow(message);
  });
});
