import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig, type Config } from './config.ts';

const ENV = { FLOE_REPOSITORY_URL: 'https://forge.example.org/fleet.git', FLOE_INPUTS_FILE: '/inputs.json' };
/** Of no use: only the beginning is read, which names the cipher. */
const keyWith = (cipher: string): string => {
  const body = Buffer.concat([Buffer.from('openssh-key-v1\0'), Buffer.from([0, 0, 0, cipher.length]), Buffer.from(cipher), Buffer.alloc(60)]);
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
};
const [KEY, LOCKED_KEY] = [keyWith('none'), keyWith('aes256-ctr')];
function configOf(file: unknown): Config {
  const files: Readonly<Record<string, string>> = {
    '/inputs.json': typeof file === 'string' ? file : JSON.stringify(file),
    '/run/token': 'a-token\n',
    '/run/key': KEY,
    '/run/locked': LOCKED_KEY,
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
      { host: 'git.example.org:8443', user: 'ada', ssh: undefined },
    ]);
    // The sandbox is seen not to show these.
    expect(config.secretFiles).toEqual(['/run/token', '/run/token']);
    expect(JSON.stringify(config)).not.toContain('a-token');
  });

  test('is read of an SSH key, with whom it is for', () => {
    const line = 'git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG';
    for (const knownHosts of [
      [line],
      [`${line} a comment`],
      ['|1|abc=|def= ssh-rsa AAAA=='],
      ['[git.example.org]:2222 ecdsa-sha2-nistp256 AAAA', line],
    ]) {
      const config = configOf({ inputs: { 'git.example.org': { sshKeyFile: '/run/key', knownHosts } } });
      expect(config.inputAccess).toMatchObject([
        { token: undefined, ssh: { key: { setting: 'FLOE_INPUTS_FILE: inputs.git.example.org.sshKeyFile' }, knownHosts } },
      ]);
      expect(config.secretFiles).toEqual(['/run/key']);
    }
  });

  test.each([
    ['no JSON', '{', 'FLOE_INPUTS_FILE: not JSON'],
    ['a URL for a host', { inputs: { 'https://github.com': TOKEN } }, 'a git host as in a URL'],
    ['capitals', { inputs: { 'GitHub.com': TOKEN } }, 'in lower case'],
    ['the usual port', { inputs: { 'github.com:443': TOKEN } }, 'where https has another port than 443'],
    ['a word too many', { inputs: { 'github.com': { ...TOKEN, token: 'a-token' } } }, 'inputs.github.com.token'],
    ['nothing', { inputs: { 'github.com': {} } }, 'inputs.github.com: set tokenFile, or sshKeyFile and knownHosts'],
    ['a key for any host', { inputs: { 'github.com': { sshKeyFile: '/run/key' } } }, '"ssh-keyscan github.com" prints its lines'],
    [
      'hosts without a key',
      { inputs: { 'github.com': { ...TOKEN, knownHosts: ['github.com ssh-rsa AAAA'] } } },
      'set sshKeyFile and knownHosts, or neither',
    ],
    ['a host that is none', { inputs: { 'github.com': { sshKeyFile: '/run/key', knownHosts: ['ssh-rsa AAAA\nx'] } } }, 'a line of known_hosts'],
    [
      'a key with a passphrase',
      { inputs: { 'github.com': { sshKeyFile: '/run/locked', knownHosts: ['github.com ssh-rsa AAAA'] } } },
      'holds a key with a passphrase',
    ],
    [
      'a key that is none',
      { inputs: { 'github.com': { sshKeyFile: '/run/token', knownHosts: ['github.com ssh-rsa AAAA'] } } },
      'holds no private SSH key',
    ],
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
