import { access, constants, lstat, mkdir, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { CERTIFICATE_VARIABLES } from './sandbox-env.ts';

/** How Nix is reached, and which parts of /nix that needs. */
export interface NixAccess {
  /** `single-user`: Nix writes the store itself, and builders run in the sandbox, too. `daemon`: the daemon builds, outside of the sandbox. */
  readonly mode: 'single-user' | 'daemon';
  readonly remote: string | undefined;
  readonly mounts: readonly string[];
}

const STATE_DIR = '/nix/var/nix';
const DEFAULT_SOCKET = `${STATE_DIR}/daemon-socket/socket`;
const DAEMON_URL = 'unix://';

/** The system's top-level folders, or links into /usr. */
const TOP_LEVEL = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
/**
 * Files for name resolution, certificates and loading programs. All of them are world-readable and not secret. No more than
 * needed: each takes a fifth of a millisecond at every start.
 */
const IN_ETC = [
  'passwd',
  'group',
  'nsswitch.conf',
  'hosts',
  'resolv.conf',
  'ssl/certs',
  'pki/tls/certs',
  'pki/ca-trust/extracted',
  'static',
  'alternatives',
  'ld.so.cache',
];
/** The system's programs, certificates and name resolution, and the PATH inside. */
export async function machineMounts(env: NodeJS.ProcessEnv): Promise<{ readonly mounts: readonly string[]; readonly path: string }> {
  const mounts: string[] = [];
  const folders = ['/nix/store'];
  for (const name of TOP_LEVEL) {
    const about = await lstat(`/${name}`).catch(() => undefined);
    if (about?.isSymbolicLink() === true) mounts.push('--symlink', await readlink(`/${name}`), `/${name}`);
    else if (about?.isDirectory() === true) {
      mounts.push('--ro-bind', `/${name}`, `/${name}`);
      folders.push(`/${name}`);
    }
  }
  if (await isFolder('/usr')) {
    mounts.push('--ro-bind', '/usr', '/usr');
    folders.push('/usr');
    // Not owned by packages, so its content is unknown.
    if (await isFolder('/usr/local')) mounts.push('--size', '4096', '--tmpfs', '/usr/local');
  }
  for (const path of IN_ETC.map((name) => `/etc/${name}`)) mounts.push('--ro-bind-try', path, path);
  for (const path of await publicNixSettings()) mounts.push('--ro-bind-try', path, path);
  for (const name of CERTIFICATE_VARIABLES) {
    const path = env[name];
    if (path?.startsWith('/') === true) mounts.push('--ro-bind-try', path, path);
  }
  return { mounts, path: await pathInside(env['PATH'] ?? '', folders) };
}

/**
 * Nix's configuration without files that only some may read: people keep netrc files, signing keys and access tokens beside it,
 * which a single-user Nix of root could read.
 */
async function publicNixSettings(): Promise<string[]> {
  const names = await readdir('/etc/nix').catch(() => []);
  const paths = names.filter((name) => name.endsWith('.conf') || name === 'registry.json').map((name) => `/etc/nix/${name}`);
  const isPublic = await Promise.all(
    paths.map(async (path) => {
      const about = await stat(path).catch(() => undefined);
      return about?.isFile() === true && (about.mode & constants.S_IROTH) !== 0;
    }),
  );
  return paths.filter((_, index) => isPublic[index]);
}

/** The folders of `path` that exist inside, with their real names: profiles are links into the store. */
async function pathInside(path: string, folders: readonly string[]): Promise<string> {
  const real = await Promise.all(path.split(delimiter).map(async (folder) => await realpath(folder).catch(() => '')));
  return [
    ...new Set(
      real.filter((folder) => folders.some((known) => folder === known || folder.startsWith(`${known}/`)) && !folder.startsWith('/usr/local/')),
    ),
  ].join(delimiter);
}

/**
 * As Nix decides (nix: src/libstore/store-api.cc, openFromNonUri): the store directly for a user who may write its state,
 * otherwise the daemon; NIX_REMOTE overrides it.
 */
export async function nixMounts(env: NodeJS.ProcessEnv): Promise<NixAccess> {
  const remote = env['NIX_REMOTE'];
  const socket = remote?.startsWith(DAEMON_URL) === true ? remote.slice(DAEMON_URL.length) : (env['NIX_DAEMON_SOCKET_PATH'] ?? DEFAULT_SOCKET);
  const isAutomatic = remote === undefined || remote === '' || remote === 'auto';
  const isDaemon = isAutomatic ? !(await mayUse(STATE_DIR, constants.R_OK | constants.W_OK)) && (await mayUse(socket)) : !/^local\b/.test(remote);
  if (!isDaemon) {
    // A Nix that was never used creates its folders at its first start, which is impossible inside.
    await mkdir('/nix', { recursive: true }).catch(() => undefined);
    return { mode: 'single-user', remote, mounts: ['--bind', '/nix', '/nix'] };
  }
  // The folder and not the socket, so that a restarted daemon is found.
  const folder = dirname(socket);
  return { mode: 'daemon', remote: `${DAEMON_URL}${socket}`, mounts: ['--ro-bind', '/nix/store', '/nix/store', '--ro-bind', folder, folder] };
}

async function mayUse(path: string, mode: number = constants.F_OK): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

/** Where `name` is found in PATH, with links resolved; undefined: nowhere. */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, name);
    if (await mayUse(file, constants.X_OK)) return await realpath(file);
  }
  return undefined;
}
