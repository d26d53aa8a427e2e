import type { CommitSha } from '@floe/model';
import { describe, expect, it } from 'vitest';
import { flakeUrl, parseBranchName, parseRepositoryUrl } from './repository-url.ts';

function failureOf(run: () => unknown): { code: unknown; message: string; text: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return { code: error.code, message: error.message, text: JSON.stringify(error) };
    throw error;
  }
  throw new Error('it was accepted');
}

describe('parseRepositoryUrl', () => {
  it.each([
    ['https://github.com/acme/fleet.git', 'https://github.com/acme/fleet.git'],
    ['https://git.example.org:8443/acme/fleet/', 'https://git.example.org:8443/acme/fleet'],
    [' http://127.0.0.1:3000/fleet.git ', 'http://127.0.0.1:3000/fleet.git'],
  ])('takes %s', (text, url) => {
    expect(parseRepositoryUrl(text)).toBe(url);
  });

  it.each(['ssh://git@github.com/acme/fleet.git', 'git@github.com:acme/fleet.git', 'github.com:acme/fleet', 'git+ssh://host/fleet'])(
    'recommends https with a token for %s',
    (text) => {
      const failure = failureOf(() => parseRepositoryUrl(text));
      expect(failure.code).toBe('REPOSITORY_URL_UNSUPPORTED');
      expect(failure.message).toMatch(/https:\/\/.*token/);
    },
  );

  it('takes SSH addresses where there is a login, and refuses what ssh could misread without repeating it', () => {
    for (const text of ['ssh://git@github.com/acme/fleet.git', 'git@github.com:acme/fleet.git', 'ssh://host:2222/fleet'])
      expect(parseRepositoryUrl(` ${text}/ `, { hasSshLogin: true })).toBe(text);
    for (const text of ['ssh://git:s3cret@host/fleet', 'git@host:a b', 'ssh://-oProxyCommand=s3cret/fleet', 'git+ssh://host/fleet', "host:a'b"]) {
      const failure = failureOf(() => parseRepositoryUrl(text, { hasSshLogin: true }));
      expect(failure.code).toBe('REPOSITORY_URL_UNSUPPORTED');
      expect(failure.message).toContain('write it as ssh://user@host:port/path or user@host:path');
      expect(failure.message + failure.text).not.toContain('s3cret');
    }
  });

  it.each(['', 'fleet', '/srv/fleet.git', 'file:///srv/fleet.git', 'git://host/fleet.git', 'https://host/fleet?a=b', 'https://host/fleet#main'])(
    'refuses "%s"',
    (text) => {
      expect(failureOf(() => parseRepositoryUrl(text)).code).toBe('REPOSITORY_URL_UNSUPPORTED');
    },
  );

  it.each([
    ['ssh://git@github.com/acme/fleet.git', 'https://github.com/acme/fleet.git'],
    ['ssh://git@git.example.org:2222/acme/fleet', 'https://git.example.org/acme/fleet'],
    ['git@github.com:acme/fleet.git', 'https://github.com/acme/fleet.git'],
    ['github.com:acme/fleet', 'https://github.com/acme/fleet'],
    ['s3cret@host:acme/fleet', 'https://host/acme/fleet'],
  ])('names the https:// address that %s probably has', (address, https) => {
    const refused = (): unknown => parseRepositoryUrl(address);
    expect(refused).toThrow(`probably ${https}, and a token`);
    expect(refused).not.toThrow(/s3cret/);
  });

  it.each(['ssh://u:s3cret@host/fleet', 'u:s3cret@host:fleet', 'host:fleet?token=s3cret', 'host:a b'])('names none for %s', (address) => {
    const refused = (): unknown => parseRepositoryUrl(address);
    expect(refused).toThrow(/use the https:\/\/ address of the repository, and/);
    expect(refused).not.toThrow(/s3cret/);
  });

  it.each(['https://user:s3cret@host/fleet.git', 'https://s3cret@host/fleet.git', 'ssh://u:s3cret@host/fleet'])(
    'refuses credentials without repeating them (%#)',
    (text) => {
      const failure = failureOf(() => parseRepositoryUrl(text));
      expect(failure.code).toBe('REPOSITORY_URL_UNSUPPORTED');
      expect(failure.message + failure.text).not.toContain('s3cret');
    },
  );
});

describe('parseBranchName', () => {
  it.each(['main', 'release/25.05', 'feature/ünï', 'a@b'])('takes %s', (name) => {
    expect(parseBranchName(name)).toBe(name);
  });

  it.each(['', '@', '-x', '../x', 'a..b', 'a b', 'a:b', '/a', 'a/', 'a//b', '.a', 'a.lock', 'a\n', 'a@{1}'])('refuses "%s"', (name) => {
    expect(failureOf(() => parseBranchName(name)).code).toBe('BRANCH_NAME_INVALID');
  });
});

describe('flakeUrl', () => {
  it('encodes the folder and the branch', () => {
    const sha = 'a'.repeat(40) as CommitSha;
    expect(flakeUrl('/var/lib/my floe/50%#?', 'release/1&2', sha)).toBe(`git+file:///var/lib/my%20floe/50%25%23%3F?ref=release/1%262&rev=${sha}`);
  });
});
