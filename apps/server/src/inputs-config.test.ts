import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig, type Config } from './config.ts';

const ENV = { FLOE_REPOSITORY_URL: 'https://forge.example.org/fleet.git', FLOE_INPUTS_FILE: '/inputs.json' };
function configOf(file: unknown): Config {
  const files: Readonly<Record<string, string>> = {
    '/inputs.json': typeof file === 'string' ? file : JSON.stringify(file),
    '/run/token': 'a-token\n',
    '/run/netrc': 'machine git.example.org\nlogin ada',
  };
  return parseConfig(ENV, (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error('none'), { code: 'ENOENT' });
    return text;
  });
}
function problemsOf(file: unknown): string {
  try {
    configOf(file);
  } catch (error) {
    if (isFloeError(error, 'CONFIG_INVALID')) return error.message;
    throw error;
  }
  return '';
}
const TOKEN = { tokenFile: '/run/token' };

describe('access to private inputs', () => {
  test('is none without a file', () => {
    expect(parseConfig({ FLOE_REPOSITORY_URL: ENV.FLOE_REPOSITORY_URL }).inputAccess).toEqual([]);
  });

  test('is read by host', () => {
    const config = configOf({ inputs: { 'github.com': TOKEN, 'git.example.org:8443': { ...TOKEN, user: 'ada' } } });
    expect(config.inputAccess).toMatchObject([
      { host: 'github.com', user: 'x-access-token', token: { setting: 'FLOE_INPUTS_FILE: inputs.github.com.tokenFile' } },
      { host: 'git.example.org:8443', user: 'ada' },
    ]);
    // The sandbox is seen not to show these.
    expect(config.secretFiles).toEqual(['/run/token', '/run/token']);
    expect(JSON.stringify(config)).not.toContain('a-token');
  });

  test.each([
    ['no JSON', '{', 'FLOE_INPUTS_FILE: not JSON'],
    ['a URL for a host', { inputs: { 'https://github.com': TOKEN } }, 'a git host as in a URL'],
    ['capitals', { inputs: { 'GitHub.com': TOKEN } }, 'in lower case'],
    ['the usual port', { inputs: { 'github.com:443': TOKEN } }, 'where https has another port than 443'],
    ['a word too many', { inputs: { 'github.com': { ...TOKEN, token: 'a-token' } } }, 'inputs.github.com.token'],
    ['nothing', { inputs: { 'github.com': {} } }, 'inputs.github.com.tokenFile'],
    ['a token that is away', { inputs: { 'github.com': { tokenFile: '/run/none' } } }, 'tokenFile: the file /run/none cannot be read (ENOENT)'],
    ['more than a token', { inputs: { 'github.com': { tokenFile: '/run/netrc' } } }, 'tokenFile: the file /run/netrc holds no token'],
    ['an odd user', { inputs: { 'github.com': { ...TOKEN, user: 'a b' } } }, 'inputs.github.com.user: a login of letters'],
    ['too many', { inputs: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`h${n}`, TOKEN])) }, 'at most 50 hosts'],
  ])('with %s is refused', (_what, file, message) => {
    expect(problemsOf(file)).toContain(message);
    expect(problemsOf(file)).not.toContain('ada');
  });

  test('says what is wrong with any file, and fails at none', () => {
    const input = fc.oneof(fc.jsonValue(), fc.constant(TOKEN));
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.record({ inputs: fc.dictionary(fc.oneof(fc.string(), fc.domain()), input) })),
        (file) => void problemsOf(file),
      ),
      { numRuns: 200 },
    );
  });
});
