import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ignores, parseIgnored } from './ignored-paths.ts';

test.each([
  ['docs/**', 'docs/a.md', true],
  ['docs/**', 'docs/a/b/c', true],
  ['docs/**', 'docs', false],
  ['docs/**', 'hosts/docs/a.md', false],
  ['**/*.md', 'README.md', true],
  ['**/*.md', 'hosts/ada/notes.md', true],
  ['*.md', 'hosts/notes.md', false],
  ['*.md', '.md', true],
  ['hosts/*/README', 'hosts/ada/README', true],
  ['hosts/*/README', 'hosts/README', false],
  ['.github/**', '.github/workflows/ci.yml', true],
  ['**/docs/**', 'docs/a', true],
  ['**/docs/**', 'a/docs/b/c', true],
  ['**', 'flake.nix', true],
])('%s ignores %s: %s', (pattern, path, is) => {
  expect(ignores([pattern], path)).toBe(is);
});

test.each(['/docs', 'docs/', 'a//b', '../x', 'a/./b', 'a**', '**/**/**/**', 'x'.repeat(201)])('%s is no pattern', (text) => {
  expect(parseIgnored(text)).toBeUndefined();
});

test('patterns are listed with commas or spaces between', () => {
  expect(parseIgnored(' docs/**, .github/**\n**/*.md ')).toEqual(['docs/**', '.github/**', '**/*.md']);
  expect(parseIgnored('')).toEqual([]);
});

test('any pattern ignores what a regular expression of it finds', () => {
  const name = fc.stringMatching(/^[ab.]{1,3}$/).filter((text) => text !== '.' && text !== '..');
  const part = fc.oneof(name, fc.constantFrom('**', '*', '?', 'a*', '*.b'));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), fc.array(name, { minLength: 1, maxLength: 4 }), (parts, names) => {
      const [pattern, path] = [parts.join('/'), names.join('/')];
      const texts = parts.map((text, index) => {
        const isLast = index === parts.length - 1;
        if (text === '**') return isLast ? '.+' : '(?:[^/]+/)*';
        return `${text.replaceAll('.', '\\.').replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}${isLast ? '' : '/'}`;
      });
      expect(ignores([pattern], path)).toBe(new RegExp(`^${texts.join('')}$`).test(path));
    }),
  );
});
