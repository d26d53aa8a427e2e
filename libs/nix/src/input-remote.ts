import { withoutTrailingSlashes } from '@floe/runtime';

/** Where an input of a flake is fetched from, when that is a server with logins. */
export interface InputRemote {
  readonly protocol: 'https' | 'http' | 'ssh';
  /** Nix has a way of its own to send a token there. */
  readonly forge: Forge | undefined;
  /** It is fetched by the git program. */
  readonly isGit: boolean;
  /** In lower case. */
  readonly hostname: string;
  readonly port: number;
  /** Of an SSH address; otherwise empty. */
  readonly user: string;
  /** In the URL. */
  readonly path: string;
  /** A URL whose status tells whether it may be read. Not of SSH. */
  readonly askUrl: string | undefined;
}

export type Forge = 'github' | 'gitlab' | 'sourcehut';
export type Locked = Readonly<Record<string, string | number | boolean>>;

const FORGE_HOSTS: Readonly<Record<Forge, string>> = { github: 'github.com', gitlab: 'gitlab.com', sourcehut: 'git.sr.ht' };
export const HTTPS_PORT = 443;
const HTTP_PORT = 80;
export const SSH_PORT = 22;
/** What a URL of git's smart HTTP has behind the repository. */
const REFS = 'info/refs?service=git-upload-pack';

/** Undefined for what is on no such server, as a folder. */
export function remoteOf(locked: Locked): InputRemote | undefined {
  const { type } = locked;
  if (type === 'github' || type === 'gitlab' || type === 'sourcehut') return ofForge(type, locked);
  if (type !== 'git' && type !== 'tarball' && type !== 'file') return undefined;
  const text = String(locked['url'] ?? '');
  const url = URL.parse(text);
  if (url === null || url.hostname === '') return undefined;
  const hostname = url.hostname.toLowerCase();
  const path = url.pathname;
  if (url.protocol === 'https:' || url.protocol === 'http:') {
    const isTls = url.protocol === 'https:';
    const askUrl = type === 'git' ? refsUrl(url.host, path, isTls) : `${url.origin}${path}${url.search}`;
    const port = Number(url.port || (isTls ? HTTPS_PORT : HTTP_PORT));
    return { protocol: isTls ? 'https' : 'http', forge: undefined, isGit: type === 'git', hostname, port, user: '', path, askUrl };
  }
  if (type !== 'git' || url.protocol !== 'ssh:') return undefined;
  return {
    protocol: 'ssh',
    forge: undefined,
    isGit: true,
    hostname,
    port: Number(url.port || SSH_PORT),
    user: url.username,
    path,
    askUrl: undefined,
  };
}

/** A git repository's URL that tells whether it may be read. */
export function refsUrl(host: string, path: string, isTls = true): string {
  return `${isTls ? 'https' : 'http'}://${host}${withoutTrailingSlashes(path)}/${REFS}`;
}

function ofForge(forge: Forge, { host = FORGE_HOSTS[forge], owner, repo }: Locked): InputRemote | undefined {
  // GitLab's groups have a slash in their names, which flake.lock writes as %2F.
  const url = URL.parse(`https://${String(host)}/${String(owner).replaceAll(/%2f/gi, '/')}/${String(repo)}/${REFS}`);
  if (url === null || url.host !== String(host).toLowerCase()) return undefined;
  return {
    protocol: 'https',
    forge,
    isGit: false,
    hostname: url.hostname,
    port: Number(url.port || HTTPS_PORT),
    user: '',
    path: url.pathname,
    askUrl: url.href,
  };
}
