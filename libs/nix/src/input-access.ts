import { FloeError, reveal, type SecretSource } from '@floe/runtime';
import type { Login } from './ask-remote.ts';
import { HTTPS_PORT, refsUrl, SSH_PORT, type InputRemote } from './input-remote.ts';
import type { Belongings } from './sandbox.ts';
import { sshCommand, sshFiles, type SshAccess } from './ssh-access.ts';

/** How private inputs of flakes at one git host are fetched. */
export interface InputAccess {
  /** As in an https:// URL, in lower case: `git.example.org`, or with a port that is not the usual one. */
  readonly host: string;
  /** The login for the token. */
  readonly user: string;
  readonly token: SecretSource | undefined;
  /** For SSH addresses. Without it git asks for them over https, with the token. */
  readonly ssh: SshAccess | undefined;
}

/** What a token may consist of: it is written into files that have no way to quote. */
export const TOKEN_FORM = /^[\w.~+/=:-]{1,4096}$/;

/**
 * The access for what is fetched from `remote`. A token is for one port: another one may be anybody's. SSH shows nothing to a server that
 * is not in the known hosts, so there any port of the host will do.
 */
export function accessOf(remote: InputRemote | undefined, all: readonly InputAccess[]): InputAccess | undefined {
  // Plain http would show a token to the network.
  if (remote === undefined || remote.protocol === 'http') return undefined;
  const { protocol, hostname, port } = remote;
  const exact = all.find(({ host }) => host === `${hostname}:${port}`);
  if (exact !== undefined) return exact;
  return protocol === 'ssh' || port === HTTPS_PORT ? all.find(({ host }) => host === hostname) : undefined;
}

const NETRC = '.netrc';
/** In the form in which helpers of git answer (git-credential(1)). */
const GIT_LOGIN = '.git-login';
/** Git runs it in a shell, with a word behind it. */
const LOGIN_HELPER = `!while read -r line; do printf '%s\\n' "$line"; done < "$HOME/${GIT_LOGIN}" #`;

/** The files, variables and settings with which Nix and git fetch from `remote`, and from no other host. Throws SECRET_UNREADABLE, INPUT_TOKEN_INVALID. */
export async function belongingsFor(remote: InputRemote, { host, user, token, ssh }: InputAccess): Promise<Belongings> {
  const config: (readonly [name: string, value: string])[] = [
    // A redirect or a submodule must not bring a login to where everybody can read it.
    ['protocol.http.allow', 'never'],
  ];
  if (remote.protocol === 'ssh' && ssh !== undefined) {
    const key = await reveal(ssh.key);
    const env = (home: string): Record<string, string> => ({ ...gitConfig(config), GIT_SSH_COMMAND: sshCommand(home), GIT_SSH_VARIANT: 'ssh' });
    return { files: sshFiles(key, ssh), env, settings: () => [], hidden: [] };
  }
  if (token === undefined) return { files: {}, env: () => gitConfig(config), settings: () => [], hidden: [] };
  const text = await reveal(token);
  if (!TOKEN_FORM.test(text)) throw new FloeError('INPUT_TOKEN_INVALID', `${token.setting}: what is in its file is no token`, { retryable: true });
  const { forge } = remote;
  const hidden = [text, Buffer.from(`${user}:${text}`).toString('base64')];
  if (forge !== undefined) {
    const form = forge === 'gitlab' && !/^(?:PAT|OAuth2):/.test(text) ? `PAT:${text}` : text;
    return { files: {}, env: () => gitConfig(config), settings: () => [`extra-access-tokens = ${host}=${form}`], hidden };
  }
  if (remote.isGit) {
    if (remote.protocol === 'ssh') config.push([`url.https://${host}/.insteadOf`, sshPrefix(remote)]);
    // Not by netrc, which knows neither protocols nor ports: the host may redirect to either.
    config.push(['credential.helper', ''], [`credential.https://${host}.helper`, LOGIN_HELPER]);
    return { files: { [GIT_LOGIN]: `username=${user}\npassword=${text}\n` }, env: () => gitConfig(config), settings: () => [], hidden };
  }
  return {
    files: { [NETRC]: `machine ${host.replace(/:\d+$/, '')}\nlogin ${user}\npassword ${text}\n` },
    env: () => gitConfig(config),
    settings: (home) => [`netrc-file = ${home}/${NETRC}`],
    hidden,
  };
}

/** What to ask of the server, and as whom, to know whether it lets us fetch. Throws SECRET_UNREADABLE. */
export async function questionFor(remote: InputRemote, access: InputAccess | undefined): Promise<{ remote: InputRemote; login: Login | undefined }> {
  if (access?.token === undefined || (remote.protocol === 'ssh' && access.ssh !== undefined)) return { remote, login: undefined };
  const login = { user: access.user, token: await reveal(access.token) };
  // What is fetched over https instead of SSH.
  return { remote: remote.protocol === 'ssh' ? { ...remote, askUrl: refsUrl(access.host, remote.path) } : remote, login };
}

/** As the lock file writes it, with the port only where that is another one. */
function sshPrefix({ hostname, port, user }: InputRemote): string {
  return `ssh://${user === '' ? '' : `${user}@`}${hostname}${port === SSH_PORT ? '' : `:${port}`}/`;
}

/** Settings of git as variables. */
function gitConfig(settings: readonly (readonly [name: string, value: string])[]): Record<string, string> {
  const each = settings.flatMap(([name, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, name],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return { GIT_CONFIG_COUNT: String(settings.length), ...Object.fromEntries(each) };
}
