import { createSettingsReader, type Env } from '@floe/runtime';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Account } from './account.ts';
import { TARGET_KINDS, type TargetKind } from '../shape.ts';

/** What this agent keeps up to date. Paths include the folder that stands for the machine. */
export type TargetConfig =
  | { readonly kind: 'nixos' }
  /** `account`: who runs the user part of systems from before nix-darwin 25.05; null: no user. */
  | { readonly kind: 'darwin'; readonly profile: string; readonly account: Account | null }
  /** `profile` null: where Home Manager itself looks for it. */
  | { readonly kind: 'home-manager'; readonly profile: string | null; readonly account: Account }
  | { readonly kind: 'profile'; readonly profile: string; readonly account: Account };

/** The account that the agent runs as. */
export interface AgentAccount {
  readonly platform: NodeJS.Platform;
  readonly user: string;
  readonly home: string;
  /** The folder that plays the machine; undefined: the machine itself. */
  readonly root: string | undefined;
}

/** `target` is of use only when there are no problems. */
export interface ParsedTarget {
  readonly target: TargetConfig;
  readonly problems: readonly string[];
}

// A name that begins with "-" would be read as an option by the programs that it is given to.
const UserName = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/));
const AbsolutePath = v.pipe(v.string(), v.regex(/^(?:\/(?!\.{1,2}(?:\/|$))[^/\s]+)+$/));
const ProfileName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/));

const PROFILES = '/nix/var/nix/profiles';

/** FLOE_TARGET, FLOE_PROFILE, FLOE_USER and FLOE_HOME, with every problem and what to do about it. */
export function parseTarget(env: Env, agent: AgentAccount): ParsedTarget {
  const problems: string[] = [];
  const root = agent.root ?? '';
  const isRoot = agent.user === 'root';

  const { value, checked } = createSettingsReader(env, (problem) => problems.push(problem));

  const kind = checked<TargetKind>('FLOE_TARGET', v.picklist(TARGET_KINDS), 'nixos', `one of ${TARGET_KINDS.join(', ')}`);
  const user = checked<string | undefined>('FLOE_USER', UserName, undefined, 'the name of a user of this machine');
  const home = checked<string | undefined>('FLOE_HOME', AbsolutePath, undefined, "the absolute path of the user's home folder");
  const profile = checked<string | undefined>(
    'FLOE_PROFILE',
    v.union([AbsolutePath, ProfileName]),
    undefined,
    'the absolute path of a profile, or its name',
  );

  function account(name: string): Account {
    const isOwn = name === agent.user;
    if (!isOwn && !isRoot)
      problems.push(`FLOE_USER is "${name}": only an agent that runs as root can act for another user than its own (${agent.user})`);
    const place = join('/', root, home ?? (isOwn && root === '' ? agent.home : defaultHome(name, agent.platform)));
    const ownState = isOwn && root === '' ? env['XDG_STATE_HOME'] : undefined;
    return { name, home: place, stateHome: ownState ?? join(place, '.local/state'), isOwn };
  }
  /** A profile by its path, or by its name below `folder`. */
  function profileAt(folder: string, text: string): string {
    return join('/', root, text.startsWith('/') ? text : join(folder, text));
  }
  function parseKind(): TargetConfig {
    switch (kind) {
      case 'nixos':
        for (const name of ['FLOE_USER', 'FLOE_HOME', 'FLOE_PROFILE']) {
          if (value(name) !== undefined) problems.push(`${name} says nothing about a NixOS machine: remove it, or set FLOE_TARGET to another target`);
        }
        return { kind };
      case 'darwin':
        if (!isRoot && root === '') problems.push('FLOE_TARGET is "darwin", which only root can switch: run floe-agent as root');
        return { kind, profile: profileAt(PROFILES, profile ?? 'system'), account: user === undefined ? null : account(user) };
      case 'home-manager':
        if (user === undefined && isRoot) problems.push('FLOE_USER is missing: set it to the user whose Home Manager this is');
        if (profile?.startsWith('/') === false) problems.push(`FLOE_PROFILE is "${profile}": set it to an absolute path, or remove it`);
        return { kind, profile: profile === undefined ? null : profileAt('/', profile), account: account(user ?? agent.user) };
      case 'profile': {
        if (profile === undefined) problems.push('FLOE_PROFILE is missing: set it to the absolute path of the profile, or to its name');
        const owner = account(user ?? agent.user);
        return { kind, profile: profileAt(`${PROFILES}/per-user/${owner.name}`, profile ?? 'missing'), account: owner };
      }
    }
  }

  return { target: parseKind(), problems };
}

/** Where a user's home is unless FLOE_HOME says otherwise. Home Manager refuses to run with a wrong one. */
function defaultHome(user: string, platform: NodeJS.Platform): string {
  if (platform === 'darwin') return user === 'root' ? '/var/root' : `/Users/${user}`;
  return user === 'root' ? '/root' : `/home/${user}`;
}
