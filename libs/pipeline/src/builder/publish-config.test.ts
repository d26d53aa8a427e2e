import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePublish } from './publish-config.ts';
import { openSettings } from './settings-reader.ts';

const FILES: Readonly<Record<string, string>> = {
  '/aws': '[default]\naws_access_key_id=ID\naws_secret_access_key=KEY\n[other]\naws_access_key_id=ID2\naws_secret_access_key=KEY2',
  '/netrc': 'machine cache.example.org login floe password secret',
  '/key': '-----BEGIN OPENSSH PRIVATE KEY-----',
  '/environment': 'ATTIC_TOKEN=secret',
};
const CACHE = { FLOE_CACHE_URL: 'https://cache.example.org' };
const KEY = `attic-1:${Buffer.alloc(32).toString('base64')}`;

function parse(settings: Readonly<Record<string, string>>) {
  const read = openSettings({ ...settings }, 'floe-builder', (path) => {
    const text = FILES[path];
    if (text === undefined) throw Object.assign(new Error('missing'), { code: 'ENOENT' });
    return text;
  });
  const publish = parsePublish(read);
  return { publish, problems: read.problems, secretFiles: read.secretFiles };
}
const to = (url: string, credentials: string, more: Readonly<Record<string, string>> = {}) =>
  parse({ ...CACHE, FLOE_PUBLISH_TO: url, FLOE_PUBLISH_CREDENTIALS_FILE: credentials, ...more });

test('without settings closures stay in the folder', () => {
  expect(parse({})).toMatchObject({ problems: [], publish: { method: undefined, urls: [], publicKeys: [] } });
  // A mirror in front of the folder: what is in the folder is read back.
  expect(parse(CACHE)).toMatchObject({ problems: [], publish: { method: undefined, urls: [] } });
});

test.each([
  ['s3://fleet', { url: 'https://s3.us-east-1.amazonaws.com/fleet', region: 'us-east-1' }],
  ['s3://fleet/nix/?region=eu-central-1', { url: 'https://s3.eu-central-1.amazonaws.com/fleet/nix', place: 's3://fleet/nix' }],
  ['s3://fleet?endpoint=s3.example.org:9000&scheme=http&profile=other', { url: 'http://s3.example.org:9000/fleet', profile: 'other' }],
  ['s3://fleet?endpoint=https://s3.example.org/', { url: 'https://s3.example.org/fleet' }],
])('S3: %s', (url, target) => {
  const { publish, problems, secretFiles } = to(url, '/aws');
  expect(problems).toEqual([]);
  expect(secretFiles).toEqual(['/aws']);
  expect(publish).toMatchObject({ urls: [CACHE.FLOE_CACHE_URL], method: { kind: 'store', target: { kind: 's3', ...target } } });
});

test('HTTP, SSH and commands, each with its login', () => {
  expect(to('https://cache.example.org/nix/', '/netrc')).toMatchObject({
    problems: [],
    secretFiles: ['/netrc'],
    publish: { method: { target: { kind: 'http', url: 'https://cache.example.org/nix' } } },
  });
  expect(to('ssh://floe@cache.example.org:2222?compress=true', '/key', { FLOE_PUBLISH_KNOWN_HOSTS_FILE: '/etc/known' })).toMatchObject({
    problems: [],
    secretFiles: ['/key'],
    publish: { method: { keyFile: '/key', knownHostsFile: '/etc/known', target: { url: 'ssh://floe@cache.example.org?compress=true', port: 2222 } } },
  });
  const command = parse({
    ...CACHE,
    FLOE_PUBLISH_COMMAND: '["/bin/attic","push","--stdin","fleet"]',
    FLOE_PUBLISH_CREDENTIALS_FILE: '/environment',
    FLOE_PUBLISH_TIMEOUT_SECONDS: '60',
    FLOE_CACHE_PUBLIC_KEYS: KEY,
    FLOE_CACHE_UPSTREAM_URLS: 'https://cache.nixos.org/, https://other.example.org',
  });
  expect(command).toMatchObject({
    problems: [],
    secretFiles: ['/environment'],
    publish: {
      urls: ['https://cache.example.org', 'https://cache.nixos.org', 'https://other.example.org'],
      publicKeys: [KEY],
      method: { kind: 'command', command: { command: ['/bin/attic', 'push', '--stdin', 'fleet'], timeoutMs: 60_000 } },
    },
  });
});

test.each([
  [{ FLOE_PUBLISH_TO: 's3://fleet', FLOE_PUBLISH_CREDENTIALS_FILE: '/aws' }, /FLOE_CACHE_URL is missing/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 's3://fleet' }, /CREDENTIALS_FILE is missing/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 's3://fleet?profile=none', FLOE_PUBLISH_CREDENTIALS_FILE: '/aws' }, /no aws_access_key_id .* in \[none\]/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 's3://fleet?priority=1', FLOE_PUBLISH_CREDENTIALS_FILE: '/aws' }, /parameter that is not known/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 'https://other.example.org', FLOE_PUBLISH_CREDENTIALS_FILE: '/netrc' }, /no login for other\.example\.org/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 'file:///var/cache' }, /set FLOE_CACHE_DIR to it instead/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 'ftp://x' }, /begins with none of/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 'ssh://cache', FLOE_PUBLISH_CREDENTIALS_FILE: '/key' }, /KNOWN_HOSTS_FILE is missing/],
  [{ ...CACHE, FLOE_PUBLISH_TO: 'ssh://-oProxyCommand=x', FLOE_PUBLISH_CREDENTIALS_FILE: '/key' }, /is no URL|names no machine/],
  [{ ...CACHE, FLOE_PUBLISH_COMMAND: 'attic push' }, /absolute path of a program/],
  [{ ...CACHE, FLOE_PUBLISH_COMMAND: '/attic', FLOE_PUBLISH_TO: 's3://fleet' }, /set one of them/],
  [{ ...CACHE, FLOE_PUBLISH_COMMAND: '/attic', FLOE_PUBLISH_CREDENTIALS_FILE: '/netrc' }, /lines NAME=VALUE/],
  [{ ...CACHE, FLOE_PUBLISH_COMMAND: '/attic', FLOE_CACHE_PUBLIC_KEYS: 'nonsense' }, /public keys as name:base64/],
  [{ FLOE_CACHE_PUBLIC_KEYS: KEY }, /set FLOE_PUBLISH_TO or FLOE_PUBLISH_COMMAND, too/],
  [{ FLOE_PUBLISH_CREDENTIALS_FILE: '/aws' }, /set FLOE_PUBLISH_TO or FLOE_PUBLISH_COMMAND, too/],
])('%o is refused with what to do', (settings, problem) => {
  expect(parse(settings).problems).toEqual(expect.arrayContaining([expect.stringMatching(problem) as string]));
});

test('whatever URL is set, it is taken or refused, and no message quotes a password in it', () => {
  const text = fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.constantFrom('s3', 'ssh', 'ssh-ng', 'https', 'file', 'x'), fc.string()).map(([scheme, rest]) => `${scheme}://${rest}`),
  );
  fc.assert(
    fc.property(text, fc.constantFrom('s3', 'ssh', 'http', 'https'), (url, scheme) => {
      for (const each of [url, `${scheme}://floe:hunter-2@cache.example.org/${encodeURIComponent(url)}`]) {
        const { problems, publish } = to(each, '/netrc');
        if (each !== url) expect(problems.length).toBeGreaterThan(0);
        expect(problems.join('\n')).not.toContain('hunter-2');
        if (problems.length === 0 && each.trim() !== '') expect(publish.method).toBeDefined();
      }
    }),
  );
});
