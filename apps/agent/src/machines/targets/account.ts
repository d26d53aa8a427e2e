import type { Exec } from '@floe/runtime';
import type { CommandPlace } from '../machine.ts';

/** The user whose profile and programs a target is about. */
export interface Account {
  readonly name: string;
  readonly home: string;
  /** XDG_STATE_HOME: below it are the user's Nix profiles. */
  readonly stateHome: string;
  /** True when the agent itself runs as this user. */
  readonly isOwn: boolean;
}

/**
 * What a user's programs get of the agent's environment. What is not named does not reach them, so neither do
 * HOME_MANAGER_BACKUP_EXT, DRY_RUN and SKIP_SANITY_CHECKS, which change what an activation does.
 */
const PASSED_ON = ['PATH', 'LANG', 'LOCALE_ARCHIVE', 'TZ', 'TERM', 'NIX_REMOTE', 'NIX_SSL_CERT_FILE', 'NIX_STATE_DIR', 'NIXOS_ROOT'];
/** Also passed on by an agent that runs as this user: its session and Nix settings. Root's may hold secrets. */
const OWN_ONLY = ['NIX_CONFIG', 'NIX_PATH', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'XDG_CACHE_HOME', 'DBUS_SESSION_BUS_ADDRESS'];

/** The whole environment of a program that runs as the account. */
export function accountEnv(account: Account, agentEnv: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = account.isOwn ? [...PASSED_ON, ...OWN_ONLY] : PASSED_ON;
  const passed = names.flatMap((name) => (agentEnv[name] === undefined ? [] : [[name, agentEnv[name]]]));
  return {
    ...Object.fromEntries(passed),
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    XDG_STATE_HOME: account.stateHome,
  };
}

/**
 * How a command is run as the account. `uid`, needed on macOS only, puts it into the user's login session, where launchd
 * has the user's agents.
 */
export function placeAs(
  account: Account,
  command: readonly [string, ...string[]],
  options: { readonly env: NodeJS.ProcessEnv; readonly platform: NodeJS.Platform; readonly uid?: string | undefined },
): CommandPlace {
  const { env, platform, uid } = options;
  const [file, ...args] = command;
  if (account.isOwn) return { file, args, env };
  // -m keeps the environment with HOME, where the agent looks for the result.
  if (platform !== 'darwin') return { file: 'runuser', args: ['-m', '-u', account.name, '--', ...command], env };
  // sudo clears the environment, so `env` sets it again. The shell in between prevents `env` from reading a program as a setting:
  // names in the store may contain "=".
  const settings = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const sudo = ['sudo', '-H', '-u', account.name, '--', '/usr/bin/env', ...settings, '/bin/sh', '-c', 'exec "$@"', 'sh', ...command] as const;
  const [first, ...rest] = uid === undefined ? sudo : (['launchctl', 'asuser', uid, ...sudo] as const);
  return { file: first, args: rest, env };
}

/** An {@link Exec} whose programs run as the account. */
export function execAs(exec: Exec, account: Account, options: { readonly env: NodeJS.ProcessEnv; readonly platform: NodeJS.Platform }): Exec {
  return async (file, args, execOptions) => {
    const place = placeAs(account, [file, ...args], { ...options, env: execOptions.env ?? options.env });
    return await exec(place.file, place.args, { ...execOptions, env: place.env });
  };
}
