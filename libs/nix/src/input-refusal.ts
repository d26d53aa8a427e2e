import type { RepositoryCommand } from './command.ts';
import type { LockedInput } from './flake-lock.ts';
import type { InputAccess } from './input-access.ts';
import { HTTPS_PORT, type InputRemote } from './input-remote.ts';

/** What to do about an input that could not be fetched, and will not come by itself; undefined: it may. */
export async function refusalOf(command: RepositoryCommand, input: LockedInput, signal: AbortSignal): Promise<string | undefined> {
  const { remote, isFolder } = input;
  if (isFolder) {
    return 'it is a folder of the machine where flake.lock was written, which this server does not have: move it into the repository, or name it by the address of its git repository';
  }
  if (remote === undefined) return undefined;
  const access = command.accessOf(input);
  // Without a key a server for SSH admits nobody.
  if (remote.protocol === 'ssh' && access === undefined) return `SSH needs a login: ${withoutAccess(remote)}`;
  if (!(await command.isRefused(input, signal))) return undefined;
  const what = `${hostOf(remote)} gives no access to it, or has no such thing`;
  return `${what}: ${access === undefined ? withoutAccess(remote) : withAccess(access)}`;
}

/** As a setting names it. */
function hostOf({ hostname, port, protocol }: InputRemote): string {
  return protocol === 'ssh' || port === HTTPS_PORT ? hostname : `${hostname}:${port}`;
}

/** The name of a setting in its file, and in the NixOS module below services.floe.server. */
function settingOf(host: string, name: string): string {
  return `inputs."${host}".${name}`;
}

function withoutAccess(remote: InputRemote): string {
  if (remote.protocol === 'http') return 'if it is private, use its https:// address in flake.nix: a token is not sent over http://';
  return `if it is private, set ${settingOf(hostOf(remote), 'tokenFile')} of this server to a token that may read it, and ask for the evaluation again (floe evaluate COMMIT)`;
}

function withAccess({ host }: InputAccess): string {
  return `see that the token of ${settingOf(host, 'tokenFile')} may read it and has not expired, and ask for the evaluation again (floe evaluate COMMIT)`;
}
