import { isFloeError } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';

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
      pollMs: 180_000,
      repository: { url: minimal.FLOE_REPOSITORY_URL, branch: 'main' },
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
  test('a secret is called as its reader set it', () => {
    const env = { ...minimal, FLOE_REPOSITORY_TOKEN_FILE: '/run/token', FLOE_CONFIGURED_BY: 'nixos' };
    expect(parseConfig(env, readFile).repository.token?.setting).toBe('services.floe.server.repository.tokenFile');
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
});
