import { Secret, type SecretSource } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accessOf, belongingsFor, type InputAccess } from './input-access.ts';
import { remoteOf } from './input-remote.ts';

const token = (text: string): SecretSource => ({ setting: 'tokenFile', read: async () => await Promise.resolve(new Secret(text)) });
const access = (host: string, text = `of-${host}`): InputAccess => ({ host, user: 'x-access-token', token: token(text), ssh: undefined });
const ALL = [access('github.com'), access('git.example.org'), access('git.example.org:8443')];
const hostOf = (locked: Parameters<typeof remoteOf>[0]): string | undefined => accessOf(remoteOf(locked), ALL)?.host;

describe('the login for an input', () => {
  it.each([
    [{ type: 'github', owner: 'o', repo: 'r' }, 'github.com'],
    [{ type: 'github', host: 'git.example.org', owner: 'o', repo: 'r' }, 'git.example.org'],
    [{ type: 'gitlab', owner: 'o', repo: 'r' }, undefined],
    [{ type: 'git', url: 'https://git.example.org/o/r.git' }, 'git.example.org'],
    [{ type: 'git', url: 'https://GIT.Example.org:443/o/r.git' }, 'git.example.org'],
    [{ type: 'git', url: 'https://git.example.org:8443/o/r.git' }, 'git.example.org:8443'],
    [{ type: 'tarball', url: 'https://git.example.org/r.tar.gz' }, 'git.example.org'],
    [{ type: 'file', url: 'https://git.example.org/r' }, 'git.example.org'],
    [{ type: 'git', url: 'ssh://git@git.example.org/o/r.git' }, 'git.example.org'],
    [{ type: 'git', url: 'ssh://git@git.example.org:2222/o/r.git' }, 'git.example.org'],
    // Anybody may listen there, and read.
    [{ type: 'git', url: 'https://git.example.org:9443/o/r.git' }, undefined],
    [{ type: 'git', url: 'http://git.example.org/o/r.git' }, undefined],
    [{ type: 'tarball', url: 'http://github.com/r.tar.gz' }, undefined],
    // Nothing on this machine.
    [{ type: 'path', path: '/etc', url: 'https://github.com/o/r' }, undefined],
    [{ type: 'git', url: 'file://github.com/o/r' }, undefined],
    [{ type: 'git', url: 'ext::cat /etc/passwd' }, undefined],
    [{ type: 'hg', url: 'https://github.com/o/r' }, undefined],
    // What only looks like the host.
    [{ type: 'git', url: 'https://github.com@evil.example.org/o/r' }, undefined],
    [{ type: 'git', url: 'https://github.com.evil.example.org/o/r' }, undefined],
    [{ type: 'github', host: 'github.com@evil.example.org', owner: 'o', repo: 'r' }, undefined],
    [{ type: 'github', host: 'evil.example.org/github.com', owner: 'o', repo: 'r' }, undefined],
    [{ type: 'github', host: 5, owner: 'o', repo: 'r' }, undefined],
    [{ type: 'git' }, undefined],
  ])('%j: %s', (locked, host) => {
    expect(hostOf(locked)).toBe(host);
  });

  it('names no host but its own, whatever a lock file says', async () => {
    const host = fc.oneof(fc.constantFrom('github.com', 'git.example.org', 'evil.example.org'), fc.domain(), fc.string());
    const url = fc.oneof(
      fc
        .tuple(
          fc.constantFrom('https', 'ssh', 'http', 'git+ssh', 'file'),
          fc.string(),
          host,
          fc.constantFrom('', ':443', ':8443', ':2222'),
          fc.string(),
        )
        .map(([scheme, user, name, port, path]) => `${scheme}://${user}@${name}${port}/${path}`),
      fc.webUrl(),
      fc.string(),
    );
    const locked = fc.record({
      type: fc.constantFrom('git', 'tarball', 'file', 'github', 'gitlab', 'sourcehut', 'path', 'hg', 'indirect'),
      url,
      host,
      owner: fc.string(),
      repo: fc.string(),
    });
    await fc.assert(
      fc.asyncProperty(locked, async (attributes) => {
        const remote = remoteOf(attributes);
        const found = accessOf(remote, ALL);
        if (remote === undefined || found === undefined) return;
        const { files, env, settings } = await belongingsFor(remote, found);
        const text = [...Object.values(files), ...settings('/home'), ...Object.values(env('/home'))].join('\n');
        const others = ALL.filter((each) => each !== found).map((each) => `of-${each.host}`);
        for (const line of text.split('\n')) for (const other of others) expect(line.split(/[\s=]/)).not.toContain(other);
        expect(found.host.replace(/:\d+$/, '')).toBe(remote.hostname);
        for (const [name, content] of Object.entries(files)) {
          const login = remote.isGit
            ? ['.git-login', `username=x-access-token\npassword=of-${found.host}\n`]
            : ['.netrc', `machine ${remote.hostname}\nlogin x-access-token\npassword of-${found.host}\n`];
          expect([name, content]).toEqual(login);
        }
        // No line of the lock file's own gets into the settings.
        for (const line of settings('/home')) expect(line).toMatch(/^(?:netrc-file = \/home\/\.netrc|extra-access-tokens = \S+)$/);
      }),
      { numRuns: 500 },
    );
  });

  it.each(['a b', 'a\nb', 'a"b', "a'b", 'a#b', 'a\\b', '', 'ä'])('refuses a token that would be more than a token: %j', async (text) => {
    const remote = remoteOf({ type: 'git', url: 'https://github.com/o/r' });
    if (remote === undefined) throw new Error('no remote');
    await expect(belongingsFor(remote, access('github.com', text))).rejects.toMatchObject({
      code: 'INPUT_TOKEN_INVALID',
      message: expect.not.stringContaining(text || 'x') as string,
    });
  });
});
