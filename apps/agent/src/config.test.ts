import type { Env } from '@floe/runtime';
import { expect, test } from 'vitest';
import { parseConfig } from './config.ts';

const KEY = `${'A'.repeat(43)}=`;
const env: Env = {
  FLOE_SERVER_URL: 'https://floe.example/',
  FLOE_HOST: 'ada',
  FLOE_TRUSTED_RELEASE_KEYS: `release-1:${KEY} release:2:${KEY}`,
  FLOE_TRUSTED_SERVER_KEYS: `server-1:${KEY}`,
  FLOE_SUBSTITUTERS: 'https://cache.example',
  FLOE_TRUSTED_PUBLIC_KEYS: `cache-1:${KEY}`,
};

function problems(changes: Env): string {
  try {
    parseConfig({ ...env, ...changes });
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

test('settings are read, with defaults of a real machine', () => {
  expect(parseConfig(env)).toMatchObject({
    serverUrl: 'https://floe.example',
    host: 'ada',
    root: undefined,
    stateDir: '/var/lib/floe-agent',
    logLevel: 'info',
    healthGraceMs: 30_000,
    switchLimitMs: 900_000,
    socketGroup: undefined,
    releaseKeys: [
      { keyId: 'release-1', publicKey: KEY },
      { keyId: 'release:2', publicKey: KEY },
    ],
    substituters: ['https://cache.example'],
  });
});

test('how long a switch may take and who may use the socket are read', () => {
  expect(parseConfig({ ...env, FLOE_SWITCH_TIMEOUT_SECONDS: '120', FLOE_SOCKET_GROUP: 'wheel' })).toMatchObject({
    switchLimitMs: 120_000,
    socketGroup: 'wheel',
  });
});

test('where the boot loader keeps its kernels is /boot, if nothing else is said', () => {
  expect(parseConfig(env).bootMountPoint).toBe('/boot');
  expect(parseConfig({ ...env, FLOE_BOOT_MOUNT_POINT: '/efi' }).bootMountPoint).toBe('/efi');
  expect(() => parseConfig({ ...env, FLOE_BOOT_MOUNT_POINT: 'efi' })).toThrow('FLOE_BOOT_MOUNT_POINT is "efi": set it to an absolute path');
});

test('a folder has its state in it, by FLOE_ROOT or --root', () => {
  expect(parseConfig({ ...env, FLOE_ROOT: '/tmp/ada' })).toMatchObject({
    root: '/tmp/ada',
    stateDir: '/tmp/ada/var/lib/floe-agent',
    healthGraceMs: 0,
  });
  expect(parseConfig(env, { root: '/tmp/bob' }).stateDir).toBe('/tmp/bob/var/lib/floe-agent');
});

test('all that is missing is said at once, with what to do', () => {
  let message = '';
  try {
    parseConfig({});
  } catch (error) {
    message = (error as Error).message;
  }
  for (const name of Object.keys(env)) expect(message).toContain(`${name} is missing: set it to`);
});

test.each([
  ['FLOE_SERVER_URL', 'floe.example', 'the https:// URL of the server'],
  ['FLOE_HOST', 'ada lovelace', 'nixosConfigurations'],
  ['FLOE_TRUSTED_RELEASE_KEYS', KEY, 'KEYID:BASE64'],
  ['FLOE_TRUSTED_SERVER_KEYS', 'server-1:short', 'KEYID:BASE64'],
  ['FLOE_TRUSTED_PUBLIC_KEYS', 'nocolon', 'NAME:BASE64'],
  ['FLOE_LOG_LEVEL', 'loud', 'one of debug, info, warn, error'],
  ['FLOE_SWITCH_TIMEOUT_SECONDS', '0', '1 or more'],
  ['FLOE_SOCKET_GROUP', 'the wheel', 'the name of a group'],
  ['FLOE_CONTACT_TIMEOUT_SECONDS', 'soon', 'a whole number of seconds'],
])('%s = %s is refused with what to do', (name, value, hint) => {
  expect(problems({ [name]: value })).toContain(name);
  expect(problems({ [name]: value })).toContain(hint);
});
