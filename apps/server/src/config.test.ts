import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig, type Config } from './config.ts';
import { USAGE } from './usage.ts';

const minimal = { FLOE_REPOSITORY_URL: 'https://git.example.org/family/fleet.git' };
const files: Record<string, string> = { '/run/token': 'secret-token\n', '/run/empty': '' };

function readFile(path: string): string {
  const text = files[path];
  if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return text;
}

function problemsOf(env: Record<string, string>): string {
  try {
    parseConfig(env, readFile);
  } catch (error) {
    if (isFloeError(error, 'CONFIG_INVALID')) return error.message;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('the configuration', () => {
  test('needs only the repository; everything else has a default', () => {
    expect(parseConfig(minimal)).toMatchObject({
      listenHost: '127.0.0.1',
      listenPort: 8420,
      publicUrl: 'http://127.0.0.1:8420',
      dataDir: '/var/lib/floe',
      databaseUrl: undefined,
      substituter: 'http://127.0.0.1:8420/cache',
      cacheLimits: { unusedForMs: undefined, maxBytes: undefined },
      pollMs: 180_000,
      repository: { url: minimal.FLOE_REPOSITORY_URL, branch: undefined },
    });
  });
  test('says every problem at once, with what to do', () => {
    const message = problemsOf({
      FLOE_LISTEN: 'nowhere',
      FLOE_POLL_SECONDS: 'often',
      FLOE_WEBHOOK_SECRET_FILE: '/run/none',
      FLOE_REPOSITORY_TOKEN_FILE: '/run/empty',
      FLOE_GITHUB_REPOSITORY: 'family/fleet',
    });
    for (const part of [
      'FLOE_REPOSITORY_URL is missing',
      'FLOE_LISTEN is "nowhere"',
      'FLOE_POLL_SECONDS is "often"',
      '/run/none cannot be read (ENOENT)',
      '/run/empty is empty',
      'FLOE_GITHUB_TOKEN_FILE',
    ]) {
      expect(message).toContain(part);
    }
  });
  test('what leaves the cache by itself is a number of days, a size, or both', () => {
    expect(parseConfig({ ...minimal, FLOE_CACHE_KEEP_DAYS: '30', FLOE_CACHE_MAX_GIB: '2' }).cacheLimits).toEqual({
      unusedForMs: 30 * 24 * 3600_000,
      maxBytes: 2 * 1024 ** 3,
    });
    expect(problemsOf({ ...minimal, FLOE_CACHE_KEEP_DAYS: '0' })).toContain('FLOE_CACHE_KEEP_DAYS');
  });
  test('a repository is at one forge, GitHub unless another is said; its statuses go nowhere else', () => {
    expect(parseConfig(minimal, readFile)).toMatchObject({ forge: 'github', statuses: undefined });
    expect(parseConfig({ ...minimal, FLOE_FORGE: 'gitlab' }, readFile)).toMatchObject({ forge: 'gitlab' });
    expect(problemsOf({ ...minimal, FLOE_FORGE: 'codeberg' })).toContain('FLOE_FORGE is "codeberg"');
    const atGithub = { ...minimal, FLOE_GITHUB_REPOSITORY: 'family/fleet', FLOE_GITHUB_TOKEN_FILE: '/run/token' };
    expect(parseConfig(atGithub, readFile).statuses).toMatchObject({ kind: 'github', repository: 'family/fleet' });
    expect(problemsOf({ ...atGithub, FLOE_FORGE: 'forgejo' })).toContain('FLOE_FORGE is forgejo, and the settings of github are set');
  });
  test('a floor of the policy is read, and what is wrong with it is told with its path', () => {
    const floorOf = (text: string) => parseConfig({ ...minimal, FLOE_POLICY_FLOOR: text }, readFile).policyFloor;
    expect(floorOf('{"firstRing":{"soak":"1h"}}')).toMatchObject({ firstRing: { soakMs: 3_600_000 } });
    expect(parseConfig(minimal, readFile).policyFloor).toBeUndefined();
    expect(problemsOf({ ...minimal, FLOE_POLICY_FLOOR: '{"firstRing":{"sok":"1h"}}' })).toContain('FLOE_POLICY_FLOOR: firstRing.sok: unknown key');
  });
  test('files of signers are looked at, and stay files: they are read at each use', () => {
    const signersOf = (more: object) => parseConfig({ ...minimal, ...more }, readFile).signers;
    expect(signersOf({})).toBeUndefined();
    expect(signersOf({ FLOE_SSH_SIGNERS_FILE: '/run/token' })).toEqual({ sshFile: '/run/token', openPgpFile: undefined, path: undefined });
    expect(problemsOf({ ...minimal, FLOE_OPENPGP_SIGNERS_FILE: '/run/missing' })).toContain('FLOE_OPENPGP_SIGNERS_FILE: the file /run/missing');
    expect(problemsOf({ ...minimal, FLOE_SSH_SIGNERS_FILE: 'signers' })).toContain('FLOE_SSH_SIGNERS_FILE');
  });
  test('a secret is called as its reader set it', () => {
    const env = { ...minimal, FLOE_REPOSITORY_TOKEN_FILE: '/run/token', FLOE_CONFIGURED_BY: 'nixos' };
    expect(parseConfig(env, readFile).repository.token?.setting).toBe('services.floe.server.repository.tokenFile');
  });
  test('what of a commit is evaluated is all of it, or its files without those that are ignored', () => {
    const source = (more: Record<string, string>): unknown => parseConfig({ ...minimal, ...more }, readFile).repository.source;
    expect(source({})).toEqual({ kind: 'commit', ignored: [] });
    expect(source({ FLOE_EVALUATE_SOURCE: 'tree' })).toEqual({ kind: 'tree', ignored: [] });
    expect(source({ FLOE_EVALUATE_ATTRIBUTE: 'colmenaHive.nodes' })).toEqual({ kind: 'commit', ignored: [], attribute: 'colmenaHive.nodes' });
    expect(source({ FLOE_EVALUATE_IGNORE: 'docs/**' })).toEqual({ kind: 'commit', ignored: ['docs/**'] });
    expect(source({ FLOE_EVALUATE_SOURCE: 'tree', FLOE_EVALUATE_IGNORE: 'docs/**, **/*.md' })).toEqual({
      kind: 'tree',
      ignored: ['docs/**', '**/*.md'],
    });
    for (const [wrong, says] of [
      [{ FLOE_EVALUATE_SOURCE: 'files' }, /FLOE_EVALUATE_SOURCE/],
      [{ FLOE_EVALUATE_ATTRIBUTE: 'a..b' }, /FLOE_EVALUATE_ATTRIBUTE/],
      [{ FLOE_EVALUATE_ATTRIBUTE: 'a or (throw "x")' }, /FLOE_EVALUATE_ATTRIBUTE/],
      [{ FLOE_EVALUATE_IGNORE: 'nix/**', FLOE_REPOSITORY_DIRECTORY: 'nix' }, /ignores nix\/flake.nix/],
      [{ FLOE_EVALUATE_SOURCE: 'tree', FLOE_EVALUATE_IGNORE: '/docs' }, /FLOE_EVALUATE_IGNORE is not a list of patterns/],
      [{ FLOE_EVALUATE_SOURCE: 'tree', FLOE_EVALUATE_IGNORE: '*' }, /ignores flake.nix/],
      [{ FLOE_EVALUATE_SOURCE: 'tree', FLOE_EVALUATE_IGNORE: '**/*.lock' }, /ignores flake.lock/],
      [{ FLOE_EVALUATE_SOURCE: 'tree', FLOE_REPOSITORY_DIRECTORY: 'nix' }, /at the root of the repository/],
      [{ FLOE_REPOSITORY_SUBMODULES: 'yes', FLOE_REPOSITORY_DIRECTORY: 'nix' }, /FLOE_REPOSITORY_SUBMODULES=yes needs the flake.nix at the root/],
      ...['../hosts.nix', '/hosts.nix', 'a/../hosts.nix', 'hosts', '-x.nix', 'a b.nix'].map(
        (file) => [{ FLOE_EVALUATE_HOSTS_FILE: file }, /FLOE_EVALUATE_HOSTS_FILE/] as const,
      ),
      [{ FLOE_EVALUATE_HOSTS_FILE: 'nix/hosts.nix', FLOE_EVALUATE_IGNORE: 'nix/**' }, /ignores nix\/hosts.nix/],
      [{ FLOE_REPOSITORY_SUBMODULES: 'recursive' }, /FLOE_REPOSITORY_SUBMODULES.*yes or no/],
    ] as const)
      expect(problemsOf({ ...minimal, ...wrong })).toMatch(says);
  });

  test('a folder of the repository is a plain path in it', () => {
    const directoryOf = (text: string): string | undefined =>
      parseConfig({ ...minimal, FLOE_REPOSITORY_DIRECTORY: text }, readFile).repository.directory;
    expect(directoryOf('nix/fleet')).toBe('nix/fleet');
    expect(directoryOf('./nix/')).toBe('nix');
    expect(directoryOf('.')).toBeUndefined();
    for (const bad of [
      '..',
      'a/../..',
      '/etc',
      'a//b',
      'a b',
      'a?b',
      'a#b',
      'a&rev=x',
      '.git',
      'a/.git',
      '-x',
      'a/./b',
      '%2e%2e',
      'ä',
      'x'.repeat(501),
    ]) {
      expect(problemsOf({ ...minimal, FLOE_REPOSITORY_DIRECTORY: bad }), bad).toContain('FLOE_REPOSITORY_DIRECTORY');
    }
  });
  test('secrets come from files and never print', () => {
    const config = parseConfig({ ...minimal, FLOE_REPOSITORY_TOKEN_FILE: '/run/token', DATABASE_URL: 'postgres://floe:hidden@db/floe' }, readFile);
    expect(config.repository.token?.setting).toBe('FLOE_REPOSITORY_TOKEN_FILE');
    expect(JSON.stringify(config)).not.toMatch(/secret-token|hidden/);
  });
  test('an embedded database without the embedded builder is refused', () => {
    expect(problemsOf({ ...minimal, FLOE_EVALUATION_MEMORY_MIB: 'lots' })).toContain('a whole number of MiB');
  });
  test('an IPv6 address is taken in brackets', () => {
    expect(parseConfig({ ...minimal, FLOE_LISTEN: '[::1]:9000' })).toMatchObject({ listenHost: '::1', listenPort: 9000 });
  });
  test('an IPv6 address without a public URL makes one that is a URL', () => {
    expect(parseConfig({ ...minimal, FLOE_LISTEN: '[::]:8420' })).toMatchObject({ publicUrl: 'http://[::]:8420' });
  });
  test.each([
    ['FLOE_REPOSITORY_URL', 'git@github.com:acme/fleet.git'],
    ['FLOE_REPOSITORY_URL', 'https://ada:geheim@forge.example/fleet.git'],
    ['FLOE_REPOSITORY_BRANCH', 'a..b'],
    ['FLOE_REPOSITORY_BRANCH', 'x'.repeat(5_000)],
    ['FLOE_PUBLIC_URL', 'ftp://floe.example.org'],
    ['FLOE_CACHE_URL', `https://${'x'.repeat(100_000)}`],
    ['FLOE_DATA_DIR', 'relative/folder'],
    ['FLOE_POLL_SECONDS', '9'.repeat(400)],
    ['FLOE_POLL_SECONDS', '1e3'],
    ['FLOE_EVALUATION_MEMORY_MIB', '0'],
    ['FLOE_LISTEN', '127.0.0.1:99999'],
    ['DATABASE_URL', 'postgres://floe@/floe?host=/run/postgresql'],
    ['DATABASE_URL', 'postgres://floe:%zz@db/floe'],
    ['FLOE_TAKE_OVER_FROM', 'all of them'],
    ['FLOE_LOG_LEVEL', 'loud'],
  ])('%s that is wrong is refused by its name (%#)', (name, text) => {
    const message = problemsOf({ ...minimal, [name]: text });
    expect(message).toContain(`- ${name}`);
    expect(message).not.toContain('geheim');
    expect(message.split('\n')).toHaveLength(2);
  });
  describe('an SSH address', () => {
    const OPEN = `-----BEGIN OPENSSH PRIVATE KEY-----\n${Buffer.from('openssh-key-v1\0\0\0\0\u0004none').toString('base64')}\n-----END OPENSSH PRIVATE KEY-----`;
    const LOCKED = OPEN.replace(/\n.*\n/, `\n${Buffer.from('openssh-key-v1\0\0\0\0\u000aaes256-ctr').toString('base64')}\n`);
    const loginFiles = new Map([
      ['/run/key', OPEN],
      ['/run/locked', LOCKED],
      ['/run/token', 'token'],
      ['/run/hosts', 'github.com ssh-ed25519 A'],
    ]);
    const login = { FLOE_REPOSITORY_SSH_KEY_FILE: '/run/key', FLOE_REPOSITORY_KNOWN_HOSTS_FILE: '/run/hosts' };
    const parse = (env: Readonly<Record<string, string>>): Config =>
      parseConfig({ FLOE_REPOSITORY_URL: 'git@github.com:acme/fleet.git', PATH: '/bin', ...env }, (path) => {
        const text = loginFiles.get(path);
        if (text === undefined) throw Object.assign(new Error('none'), { code: 'ENOENT' });
        return text;
      });
    test('is taken with a key and known hosts, and the key is kept from repository code', () => {
      expect(parse(login)).toMatchObject({
        repository: {
          url: 'git@github.com:acme/fleet.git',
          ssh: { keyFile: '/run/key', knownHostsFile: '/run/hosts', searchPath: '/bin' },
        },
        secretFiles: ['/run/key'],
      });
      expect(parse({ ...login, FLOE_REPOSITORY_URL: 'ssh://git@github.com/acme/fleet/' }).repository.ssh).toBeDefined();
    });
    test.each([
      [
        'no login',
        {},
        'probably https://github.com/acme/fleet.git, and a token in FLOE_REPOSITORY_TOKEN_FILE when it is private, or a key for ssh in FLOE_REPOSITORY_SSH_KEY_FILE',
      ],
      [
        'no known hosts',
        { ...login, FLOE_REPOSITORY_KNOWN_HOSTS_FILE: '' },
        'FLOE_REPOSITORY_KNOWN_HOSTS_FILE is missing: set it to a file of known_hosts',
      ],
      ['no key', { ...login, FLOE_REPOSITORY_SSH_KEY_FILE: '' }, 'FLOE_REPOSITORY_SSH_KEY_FILE is missing: set it to a private key'],
      ['a key with a passphrase', { ...login, FLOE_REPOSITORY_SSH_KEY_FILE: '/run/locked' }, 'holds a key with a passphrase'],
      ['a key that is none', { ...login, FLOE_REPOSITORY_SSH_KEY_FILE: '/run/token' }, 'holds no private SSH key'],
      [
        'a file that is not there',
        { ...login, FLOE_REPOSITORY_KNOWN_HOSTS_FILE: '/run/none' },
        'FLOE_REPOSITORY_KNOWN_HOSTS_FILE: the file /run/none cannot be read',
      ],
      ['a path that ssh could misread', { ...login, FLOE_REPOSITORY_SSH_KEY_FILE: '/run/${X}' }, 'the absolute path of a file, without spaces'],
      ['a token beside it', { ...login, FLOE_REPOSITORY_TOKEN_FILE: '/run/token' }, 'FLOE_REPOSITORY_TOKEN_FILE is not for the SSH address'],
      ['an address over https', { ...login, ...minimal }, 'FLOE_REPOSITORY_SSH_KEY_FILE is for an SSH address: leave it out'],
      ['an address that ssh could misread', { ...login, FLOE_REPOSITORY_URL: 'git@-oProxyCommand=x:fleet' }, 'FLOE_REPOSITORY_URL'],
      ['a password', { ...login, FLOE_REPOSITORY_URL: 'ssh://git:geheim@host/fleet' }, 'FLOE_REPOSITORY_URL'],
    ])('with %s it is refused', (_what, env, words) => {
      expect(() => parse(env)).toThrow(words);
      expect(() => parse(env)).not.toThrow(/geheim/);
    });
    test('beside a builder of its own the server has no login for it', () => {
      loginFiles.set('/run/keys.json', '{}');
      const besides = { FLOE_BUILDER_KEYS_FILE: '/run/keys.json' };
      expect(() => parse(besides)).not.toThrow(/FLOE_REPOSITORY_URL/);
      expect(() => parse({ ...besides, ...login })).toThrow("FLOE_REPOSITORY_SSH_KEY_FILE is the builder's");
    });
  });
  test('a file without end is no secret', () => {
    const parse = (): unknown => parseConfig({ ...minimal, FLOE_REPOSITORY_TOKEN_FILE: '/dev/zero' });
    expect(parse).toThrow(/FLOE_REPOSITORY_TOKEN_FILE: the file \/dev\/zero cannot be read \(more than/);
  });

  test('whatever the environment holds: a configuration that can be used, or one line for each problem that names its setting', () => {
    const names = [...new Set(USAGE.match(/FLOE_[A-Z_]+|DATABASE_URL/g))];
    expect(names.length).toBeGreaterThan(15);
    const number = fc.oneof(fc.integer(), fc.double(), fc.bigInt()).map(String);
    const huge = fc.constantFrom(
      '1'.repeat(10_000),
      'x'.repeat(1_000_000),
      `https://${'a.'.repeat(50_000)}example`,
      '\n'.repeat(10_000),
      '[::'.repeat(10_000),
    );
    const almost = fc.constantFrom(
      'https://',
      'http://[',
      'postgres://',
      'postgres://%',
      '[::]:',
      ':8420',
      '/',
      'yes',
      '/dev/null',
      '/run/token',
      '-1',
      '0x10',
      '1e9',
      ' ',
      'https://u:p@h/r',
    );
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl(), fc.ipV6(), number, huge, almost, fc.stringMatching(/^[\w.:/[\]@%?#-]{0,40}$/));
    const environment = fc.dictionary(fc.constantFrom(...names), text, { maxKeys: 8 });
    fc.assert(
      fc.property(environment, (env) => {
        let config: Config;
        try {
          config = parseConfig({ ...minimal, ...env }, readFile);
        } catch (error) {
          if (!isFloeError(error, 'CONFIG_INVALID')) throw error;
          for (const line of error.message.split('\n').slice(1)) {
            expect(line).toMatch(/^ {2}- (FLOE_[A-Z_]+|DATABASE_URL)\b/);
            expect(line.length).toBeLessThan(700);
          }
          return;
        }
        for (const url of [config.publicUrl, config.substituter, config.repository.url]) expect(URL.canParse(url)).toBe(true);
        for (const limit of [config.pollMs, config.repository.silenceMs, ...Object.values(config.limits), ...Object.values(config.repository.limits)])
          expect(Number.isSafeInteger(limit) && limit > 0).toBe(true);
        expect(config.pollMs).toBeLessThan(2 ** 31);
        expect(config.listenPort).toBeLessThan(65_536);
        expect(config.dataDir.startsWith('/')).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a builder of its own process', () => {
  const env = {
    FLOE_REPOSITORY_URL: 'https://forge.example.org/fleet.git',
    DATABASE_URL: 'postgres://floe@localhost/floe?host=/run/postgresql',
    FLOE_BUILDER_KEYS_FILE: '/keys.json',
    FLOE_CACHE_DIR: '/var/cache/floe',
  };
  const key = `${'A'.repeat(43)}=`;
  const keys = JSON.stringify({ releaseKeys: [`release-1:${key}`], cachePublicKeys: [`vm-floe-1:${key}`] });
  const parse = (changed: Record<string, string | undefined>, file = keys) =>
    parseConfig({ ...env, ...changed }, (path) => (path === '/keys.json' ? file : 'secret'));

  test('its public keys are all that the server has of it', () => {
    const config = parse({});
    expect(config.builder).toEqual({ releaseKeys: [{ keyId: 'release-1', publicKey: key }], cachePublicKeys: [`vm-floe-1:${key}`] });
    expect(config.servedCache).toBe('/var/cache/floe');
    expect(parse({ FLOE_CACHE_DIR: undefined, FLOE_CACHE_URL: 'https://cache.example.org' }).servedCache).toBeUndefined();
    expect(parse({ FLOE_BUILDER_KEYS_FILE: undefined }).builder).toBeUndefined();
  });

  test('what the builder holds is refused here, and what both need is asked for', () => {
    for (const [name, value] of [
      ['FLOE_REPOSITORY_TOKEN_FILE', '/token'],
      ['FLOE_REPOSITORY_DIRECTORY', 'nix'],
      ['FLOE_REPOSITORY_SUBMODULES', 'yes'],
      ['FLOE_INPUTS_FILE', '/inputs'],
      ['FLOE_EVALUATE_SOURCE', 'tree'],
      ['FLOE_EVALUATE_IGNORE', 'docs/**'],
      ['FLOE_EVALUATE_SKIP', 'footprint'],
      ['FLOE_EVALUATE_ATTRIBUTE', 'colmenaHive.nodes'],
      ['FLOE_EVALUATE_HOSTS_FILE', 'hosts.nix'],
      ['FLOE_POLICY_FLOOR', '{}'],
      ['FLOE_SSH_SIGNERS_FILE', '/signers'],
      ['FLOE_OPENPGP_SIGNERS_FILE', '/keys'],
    ])
      expect(() => parse({ [name ?? '']: value })).toThrow(`${name} is the builder's`);
    expect(() => parse({ FLOE_EVALUATE_SOURCE: 'commit' })).not.toThrow();
    expect(() => parse({ DATABASE_URL: undefined })).toThrow(/DATABASE_URL is missing/);
    expect(() => parse({ FLOE_CACHE_DIR: undefined })).toThrow(/FLOE_CACHE_DIR is missing/);
    for (const file of ['nothing', '{}', JSON.stringify({ releaseKeys: ['release-1:short'], cachePublicKeys: [`a:${key}`] })])
      expect(() => parse({}, file)).toThrow(/not what a builder writes/);
  });
});

test('--help names each setting that is read, and no other', () => {
  const read = new Set<string>();
  const settings: Record<string, string> = {
    FLOE_REPOSITORY_URL: 'https://git.example.org/fleet.git',
    FLOE_SSH_SIGNERS_FILE: '/run/token',
    FLOE_GITHUB_REPOSITORY: 'ada/fleet',
    FLOE_GITHUB_APP_ID: '1',
    FLOE_GITHUB_APP_KEY_FILE: '/run/token',
    FLOE_GITHUB_INSTALLATION_ID: '2',
  };
  const noting: ProxyHandler<typeof settings> = {
    get(target, name) {
      read.add(String(name));
      return Reflect.get(target, name) as unknown;
    },
  };
  parseConfig(new Proxy(settings, noting), readFile);
  for (const name of ['PATH', 'FLOE_CONFIGURED_BY']) read.delete(name);
  expect([...read].toSorted()).toEqual([...new Set(USAGE.match(/FLOE_[A-Z_]+[A-Z]|DATABASE_URL/g))].toSorted());
});
