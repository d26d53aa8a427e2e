import { describe, expect, test } from 'vitest';
import { parseTarget, type AgentAccount } from './config.ts';

const ROOT: AgentAccount = { platform: 'linux', user: 'root', home: '/root', root: undefined };
const ALICE: AgentAccount = { platform: 'linux', user: 'alice', home: '/home/alice', root: undefined };

function target(env: Record<string, string>, agent: AgentAccount) {
  const parsed = parseTarget(env, agent);
  expect(parsed.problems).toEqual([]);
  return parsed.target;
}

test('the default target is NixOS', () => {
  expect(target({}, ROOT)).toEqual({ kind: 'nixos' });
  expect(target({ FLOE_TARGET: ' nixos ' }, ROOT)).toEqual({ kind: 'nixos' });
});

test("nix-darwin has the system profile, and a main user only when it's said", () => {
  const mac = { ...ROOT, platform: 'darwin', home: '/var/root' } as const;
  expect(target({ FLOE_TARGET: 'darwin' }, mac)).toEqual({ kind: 'darwin', profile: '/nix/var/nix/profiles/system', account: null });
  expect(target({ FLOE_TARGET: 'darwin', FLOE_PROFILE: '/nix/var/nix/profiles/system-profiles/lab' }, mac)).toMatchObject({
    profile: '/nix/var/nix/profiles/system-profiles/lab',
  });
  expect(target({ FLOE_TARGET: 'darwin', FLOE_USER: 'alice' }, mac)).toMatchObject({
    account: { name: 'alice', home: '/Users/alice', isOwn: false },
  });
});

test("Home Manager is the agent's own user's, or another's when root is told whose", () => {
  expect(target({ FLOE_TARGET: 'home-manager', XDG_STATE_HOME: '/data/state' }, ALICE)).toEqual({
    kind: 'home-manager',
    profile: null,
    account: { name: 'alice', home: '/home/alice', stateHome: '/data/state', isOwn: true },
  });
  expect(target({ FLOE_TARGET: 'home-manager', FLOE_USER: 'alice', FLOE_HOME: '/srv/alice', XDG_STATE_HOME: '/root/state' }, ROOT)).toEqual({
    kind: 'home-manager',
    profile: null,
    account: { name: 'alice', home: '/srv/alice', stateHome: '/srv/alice/.local/state', isOwn: false },
  });
});

test('a plain profile has a path, or a name below its user', () => {
  expect(target({ FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' }, ROOT)).toMatchObject({ profile: '/nix/var/nix/profiles/per-user/root/tools' });
  expect(target({ FLOE_TARGET: 'profile', FLOE_PROFILE: '/opt/tools', FLOE_USER: 'alice' }, ROOT)).toMatchObject({
    profile: '/opt/tools',
    account: { name: 'alice' },
  });
});

test('in a folder that plays the machine, all is below it', () => {
  expect(target({ FLOE_TARGET: 'home-manager' }, { ...ALICE, root: '/tmp/m' })).toMatchObject({
    account: { home: '/tmp/m/home/alice', stateHome: '/tmp/m/home/alice/.local/state' },
  });
  expect(target({ FLOE_TARGET: 'darwin' }, { ...ALICE, root: '/tmp/m' })).toMatchObject({ profile: '/tmp/m/nix/var/nix/profiles/system' });
});

describe('what cannot be is said with what to do', () => {
  test.each([
    [{ FLOE_TARGET: 'debian' }, ROOT, ['FLOE_TARGET is "debian": set it to one of nixos, darwin, home-manager, profile']],
    [{ FLOE_USER: 'alice' }, ROOT, ['FLOE_USER says nothing about a NixOS machine: remove it, or set FLOE_TARGET to another target']],
    [{ FLOE_TARGET: 'home-manager' }, ROOT, ['FLOE_USER is missing: set it to the user whose Home Manager this is']],
    [
      { FLOE_TARGET: 'home-manager', FLOE_USER: 'bob' },
      ALICE,
      ['FLOE_USER is "bob": only an agent that runs as root can act for another user than its own (alice)'],
    ],
    [{ FLOE_TARGET: 'darwin' }, ALICE, ['FLOE_TARGET is "darwin", which only root can switch: run floe-agent as root']],
    [{ FLOE_TARGET: 'profile' }, ALICE, ['FLOE_PROFILE is missing: set it to the absolute path of the profile, or to its name']],
    // An option in disguise, and ways out of where a profile belongs.
    [{ FLOE_TARGET: 'home-manager', FLOE_USER: '-u' }, ALICE, ['FLOE_USER is "-u": set it to the name of a user of this machine']],
    [
      { FLOE_TARGET: 'profile', FLOE_PROFILE: '/nix/../etc/x' },
      ALICE,
      [
        'FLOE_PROFILE is "/nix/../etc/x": set it to the absolute path of a profile, or its name',
        'FLOE_PROFILE is missing: set it to the absolute path of the profile, or to its name',
      ],
    ],
  ] as const)('%j', (env, agent, problems) => {
    expect(parseTarget(env, agent).problems).toEqual(problems);
  });
});
