import type { RepositoryCommand } from './command.ts';
import type { LockedInput } from './flake-lock.ts';
import type { InputAccess } from './input-access.ts';
import { HTTPS_PORT, SSH_PORT, type InputRemote } from './input-remote.ts';

/** What to do about an input that could not be fetched, and will not come by itself; undefined: it may. */
export async function refusalOf(command: RepositoryCommand, input: LockedInput, signal: AbortSignal): Promise<string | undefined> {
  const { remote, isFolder } = input;
  if (isFolder) {
    return 'it is a folder of the machine where flake.lock was written, which this server does not have: move it into the repository, or name it by the address of its git repository';
  }
  if (remote === undefined) return undefined;
  const access = command.accessOf(input);
  const how = loginFor(remote, access);
  // Without a key a server for SSH admits nobody.
  if (remote.protocol === 'ssh' && how === 'none') return `SSH needs a login: ${adviceFor(how, remote, access)}`;
  if (!(await command.isRefused(input, signal))) return undefined;
  return `${hostOf(remote)} gives no access to it, or has no such thing: ${adviceFor(how, remote, access)}`;
}

function loginFor({ protocol }: InputRemote, access: InputAccess | undefined): 'key' | 'token' | 'none' {
  if (protocol === 'ssh' && access?.ssh !== undefined) return 'key';
  return access?.token === undefined ? 'none' : 'token';
}

/** As a setting names it. */
function hostOf({ hostname, port, protocol }: InputRemote): string {
  return protocol === 'ssh' || port === HTTPS_PORT ? hostname : `${hostname}:${port}`;
}

const AGAIN =
  'and ask for the evaluation again (on NixOS restart floe-server first, or floe-builder where there is one; then floe evaluate COMMIT --reason "…")';

/** Settings are named as in their file, and in the NixOS module below services.floe.server. */
function adviceFor(how: 'key' | 'token' | 'none', remote: InputRemote, access: InputAccess | undefined): string {
  if (remote.protocol === 'http') return 'if it is private, use its https:// address in flake.nix: a token is not sent over http://';
  const settings = `inputs."${access?.host ?? hostOf(remote)}"`;
  if (how === 'token') return `see that the token of ${settings}.tokenFile may read it and has not expired, ${AGAIN}`;
  if (how === 'key') {
    const port = remote.port === SSH_PORT ? '' : `-p ${remote.port} `;
    const scan = `what "ssh-keyscan ${port}${remote.hostname}" prints, once you compared it with what the host publishes`;
    return `see that the key of ${settings}.sshKeyFile may read it, and that ${settings}.knownHosts has the key of the host (${scan}), ${AGAIN}`;
  }
  return remote.protocol === 'ssh'
    ? `if it is private, set ${settings}.sshKeyFile and knownHosts of this server, or its tokenFile to fetch it over https, ${AGAIN}`
    : `if it is private, set ${settings}.tokenFile of this server to a token that may read it, ${AGAIN}`;
}
