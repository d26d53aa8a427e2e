import { expect, it } from 'vitest';
import { parseSshAddress } from './ssh-address.ts';

// libs/git/src/ssh-address.test.ts compares it with git, generated.

it.each([
  ['ssh://git@github.com/acme/fleet.git', { user: 'git', host: 'github.com', port: undefined, path: '/acme/fleet.git' }],
  ['ssh://git.example.org:2222/srv/fleet', { user: undefined, host: 'git.example.org', port: 2222, path: '/srv/fleet' }],
  ['ssh://git@[fd00::1]:22/fleet.git', { user: 'git', host: 'fd00::1', port: 22, path: '/fleet.git' }],
  ['ssh://ada@host/~/fleet', { user: 'ada', host: 'host', port: undefined, path: '~/fleet' }],
  ['git@github.com:acme/fleet.git', { user: 'git', host: 'github.com', port: undefined, path: 'acme/fleet.git' }],
  ['host:/srv/fleet', { user: undefined, host: 'host', port: undefined, path: '/srv/fleet' }],
])('%s is read', (text, address) => {
  expect(parseSshAddress(text)).toEqual(address);
});

it.each([
  'https://github.com/acme/fleet.git',
  '/srv/fleet',
  'ssh://-oProxyCommand=touch/fleet',
  'ssh://-l@host/fleet',
  '-oProxyCommand=x:fleet',
  'git@host:-fleet',
  'ssh://git:secret@host/fleet',
  'ssh://host/fleet;id',
  "git@host:a'b",
  'git@host:a b',
  'git@host:a\nb',
  'git@host:$(id)',
  'git@host:../fleet',
  'ssh://host/a/../fleet',
  'ssh://host/a//b',
  'ssh://host:0/fleet',
  'ssh://host:70000/fleet',
  'ssh://host/',
  'ssh://host',
  'host:',
  'ssh://host/a%2fb',
  'git+ssh://host/fleet',
])('%j is none', (text) => {
  expect(parseSshAddress(text)).toBeUndefined();
});
