import type { SshAddress } from '@floe/model';
import type { ExecResult } from '@floe/runtime';
import { gitError, type GitError } from './errors.ts';
import { wordsOf } from './http-errors.ts';
import { insteadOfSsh } from './repository-url.ts';

const KEY = 'FLOE_REPOSITORY_SSH_KEY_FILE';
const HOSTS = 'FLOE_REPOSITORY_KNOWN_HOSTS_FILE';
/** ssh's own failures. Others are those of the program at the server. */
const SSH_FAILED = 255;

interface Asked {
  readonly url: string;
  readonly address: SshAddress;
}

/**
 * The error for an ssh that failed. It has one status for all that can go wrong, so that its words tell what to do; whatever it says, the server
 * gets nothing by it. `hasAnswered`: the server has sent something.
 */
export function translateSsh({ url, address }: Asked, { end, exitCode, stderr }: ExecResult, hasAnswered: boolean): GitError {
  const words = wordsOf(stderr);
  const said = words === '' ? '' : `; it says: ${words}`;
  const data = { url, exitCode };
  if (end === 'exited' && exitCode !== SSH_FAILED && !hasAnswered) {
    return gitError(
      'REPOSITORY_NOT_FOUND',
      `there is no repository at ${url}, or the key in ${KEY} may not read it: check FLOE_REPOSITORY_URL, and add the public part of the key at the server${said}`,
      { data },
    );
  }
  if (exitCode === SSH_FAILED && /^Host key verification failed\.\r?$|^No .{1,40} host key is known for /m.test(stderr)) {
    const { host, port } = address;
    const scan = `ssh-keyscan ${port === undefined ? '' : `-p ${port} `}${host}`;
    return gitError(
      'REPOSITORY_UNAUTHORIZED',
      `${url} was not asked: the key that its host shows is not in ${HOSTS}. Compare what "${scan}" prints with what the host publishes; if they are the same, put these lines into it${said}`,
      { data },
    );
  }
  if (exitCode === SSH_FAILED && /Permission denied \(|^Received disconnect .*Too many authentication failures/m.test(stderr)) {
    return gitError(
      'REPOSITORY_UNAUTHORIZED',
      `authentication failed: ${url} does not admit the key in ${KEY}: add its public part there, with the right to read; a new key is used at the next fetch, on NixOS after systemctl restart floe-server${said}`,
      { data },
    );
  }
  return gitError(
    'REPOSITORY_UNREACHABLE',
    hasAnswered
      ? `${url} ended the connection before it had sent everything; Floe tries again${said}`
      : `${url} could not be reached by ssh: check the network, the server and FLOE_REPOSITORY_URL${said}`,
    { data },
  );
}

/** The error where ssh cannot be started. */
export function withoutSsh(url: string, cause: unknown): GitError {
  return gitError(
    'REPOSITORY_URL_UNSUPPORTED',
    `ssh cannot be started, and ${url} is an SSH address: install OpenSSH so that ssh is in the PATH of the service, or ${insteadOfSsh(url)}`,
    { data: { url }, cause },
  );
}
