import type { Env } from '@floe/runtime';
import { expect, test } from 'vitest';
import { parseConfig, parseKeySettings } from './config.ts';
import { USAGE } from './usage.ts';

test('--help names each setting that is read, and no other', () => {
  const read = new Set<string>();
  const env: Env = new Proxy<Record<string, string>>(
    {
      FLOE_REPOSITORY_URL: 'https://git.example.org/fleet.git',
      FLOE_REPOSITORY_BRANCH: 'main',
      FLOE_PUBLIC_URL: 'https://floe.example.org',
      DATABASE_URL: 'postgres://floe@localhost/floe',
      FLOE_SSH_SIGNERS_FILE: '/run/signers',
    },
    {
      get(target, name) {
        read.add(String(name));
        return Reflect.get(target, name) as unknown;
      },
    },
  );
  parseConfig(env, () => 'text');
  read.delete('PATH');
  // The manager of the service sets it.
  read.delete('FLOE_CONFIGURED_BY');
  const own = USAGE.replace("the server's FLOE_BUILDER_KEYS_FILE", '');
  expect([...read].toSorted()).toEqual([...new Set(own.match(/FLOE_[A-Z_]+[A-Z]|DATABASE_URL/g))].toSorted());
});

test('a key in a file beside a command that signs is a mistake', () => {
  const env: Env = {
    FLOE_REPOSITORY_URL: 'https://git.example.org/fleet.git',
    FLOE_REPOSITORY_BRANCH: 'main',
    FLOE_PUBLIC_URL: 'https://floe.example.org',
    DATABASE_URL: 'postgres://floe@localhost/floe',
    FLOE_SIGN_COMMAND: '/run/current-system/sw/bin/sign',
    FLOE_SIGN_PUBLIC_KEY: Buffer.alloc(32, 1).toString('base64'),
  };
  expect(() => parseConfig({ ...env, FLOE_RELEASE_KEY_FILE: '/run/key' }, () => 'text')).toThrow(
    'FLOE_RELEASE_KEY_FILE is set, and FLOE_SIGN_COMMAND: set one of them',
  );
  expect(() => parseKeySettings({ ...env, FLOE_RELEASE_KEY_FILE: '/run/key' })).toThrow('set one of them');
  expect(parseConfig(env, () => 'text').signCommand?.command).toEqual(['/run/current-system/sw/bin/sign']);
});
