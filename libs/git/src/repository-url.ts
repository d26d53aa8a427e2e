import { parseSshAddress, type CommitSha } from '@floe/model';
import { withoutTrailingSlashes } from '@floe/runtime';
import { gitError } from './errors.ts';

const SCP_LIKE = /^(?:[^/@\s]+@)?[^/:\s]+:(?!\/\/)/;

/**
 * Normalises the address of a repository. An SSH address is taken where there is a login for it. Throws `REPOSITORY_URL_UNSUPPORTED` for others than
 * those and HTTP(S), and for an address with a password, which would end up in logs and in the mirror's configuration.
 */
export function parseRepositoryUrl(text: string, { hasSshLogin = false } = {}): string {
  const trimmed = text.trim();
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined;
  if (url?.protocol === 'ssh:' || url?.protocol === 'git+ssh:' || SCP_LIKE.test(trimmed)) return sshAddress(trimmed, hasSshLogin);
  if (url === undefined) throw unsupported('it is not a URL: use the https:// address of the repository');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw unsupported(`${url.protocol}// is not supported: use the https:// address of the repository`);
  }
  if (url.username !== '' || url.password !== '') {
    throw unsupported('it has credentials in it: remove them, and put the token into the file named by FLOE_REPOSITORY_TOKEN_FILE');
  }
  if (url.search !== '' || url.hash !== '') throw unsupported('it has a query or a fragment: use the address that "git clone" takes');
  return withoutTrailingSlashes(url.href);
}

function sshAddress(text: string, hasLogin: boolean): string {
  if (!hasLogin) {
    throw unsupported(
      `it is an SSH address: ${insteadOfSsh(text)}, or a key for ssh in FLOE_REPOSITORY_SSH_KEY_FILE and the host's key in FLOE_REPOSITORY_KNOWN_HOSTS_FILE`,
    );
  }
  const address = withoutTrailingSlashes(text);
  if (parseSshAddress(address) !== undefined) return address;
  throw unsupported(
    `it is an SSH address that ssh or a shell could misread: write it as ssh://user@host:port/path or user@host:path, of letters, digits and . _ ~ + = , @ - and without a password, or ${insteadOfSsh(text)}`,
  );
}

/** What to do instead of using an SSH address, and where the same repository is at the forges that people use, where that can be said. */
export function insteadOfSsh(text: string): string {
  const https = httpsForm(text);
  return `use the https:// address of the repository${https === undefined ? '' : `, probably ${https}`}, and a token in FLOE_REPOSITORY_TOKEN_FILE when it is private`;
}

/** Of the login nothing is told, and nothing at all of what may have a password in it. */
function httpsForm(text: string): string | undefined {
  const url = URL.parse(text.trim());
  const isUrl = url !== null && url.hostname !== '';
  if (isUrl && url.password !== '') return undefined;
  const [, host, path] = isUrl ? ['', url.hostname, url.pathname] : (/^(?:[^/@:\s]+@)?([^/@:\s]+):(.*)$/.exec(text.trim()) ?? []);
  if (host === undefined || path === undefined || !/^[\w.-]+$/.test(host) || !/^\/*[\w.-]+(?:\/[\w.-]+)*$/.test(path)) return undefined;
  return `https://${host}/${path.replace(/^\/+/, '')}`;
}

// Neither the message nor the data contain the address, because it may contain a password.
function unsupported(reason: string): Error {
  return gitError('REPOSITORY_URL_UNSUPPORTED', `the repository's URL cannot be used: ${reason}`);
}

/** Checks a branch name by git's rules (git-check-ref-format), except the rarest. Throws `BRANCH_NAME_INVALID`. */
export function parseBranchName(text: string): string {
  const parts = text.split('/');
  const isValid =
    text !== '@' &&
    // oxlint-disable-next-line no-control-regex -- git forbids control characters in names of refs
    !/[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{/.test(text) &&
    !text.startsWith('-') &&
    parts.every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.') && !part.endsWith('.lock'));
  if (isValid) return text;
  throw gitError('BRANCH_NAME_INVALID', `"${text}" is not a valid branch name: set FLOE_REPOSITORY_BRANCH to one, such as main`, {
    data: { branch: text },
  });
}

/** The flake URL of a commit of the mirror. The commit must be on the mirror's branch. */
export function flakeUrl(dir: string, branch: string, sha: CommitSha, directory?: string): string {
  const path = dir.split('/').map(encodeURIComponent).join('/');
  const ref = branch.split('/').map(encodeURIComponent).join('/');
  const folder = directory === undefined ? '' : `&dir=${directory.split('/').map(encodeURIComponent).join('/')}`;
  return `git+file://${path}?ref=${ref}&rev=${sha}${folder}`;
}
