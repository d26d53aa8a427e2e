import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { createNix, createRepositoryNix, type RepositoryNix } from '../index.ts';
import { sandboxInTest } from './sandbox-in-test.ts';

const PROJECT = join(import.meta.dirname, '../../../..');
const TRIXIE = join(PROJECT, '.tools/lab/trixie');
const SETTINGS = [
  'experimental-features = nix-command flakes ca-derivations',
  'substituters =',
  'sandbox = false',
  'build-users-group =',
  'download-attempts = 1',
];
export const SYSTEM = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
export const OTHER_SYSTEM = process.arch === 'arm64' ? 'x86_64-linux' : 'aarch64-linux';

/** A version of Nix, and how it reaches its store: messages, statuses and logs differ between them. */
export interface World {
  readonly nix: RepositoryNix;
  readonly dir: string;
  /** The same Nix with other settings. */
  with(...settings: readonly string[]): RepositoryNix;
  /** Runs one of Nix's programs. */
  run(file: string, ...args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

export const WORLDS = [
  { name: 'the installed Nix', isMissing: false, isDaemon: false, open: async () => await open(undefined, false) },
  { name: 'the installed Nix through its daemon', isMissing: false, isDaemon: true, open: async () => await open(undefined, true) },
  {
    name: 'Nix 2.26',
    isMissing: !existsSync(join(TRIXIE, 'usr/bin/nix')) || process.getuid?.() !== 0,
    isDaemon: false,
    open: async () => await open(TRIXIE, false),
  },
] as const;

async function open(rootfs: string | undefined, hasDaemon: boolean): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-nix-'));
  const bin = join(dir, 'bin');
  await mkdir(bin);
  if (rootfs !== undefined) {
    // The other system's programs, on this machine's store, home and temporary files.
    const binds = ['--bind', rootfs, '/', '--bind', '/nix', '/nix', '--bind', '/tmp', '/tmp', '--proc', '/proc', '--dev', '/dev'].join(' ');
    for (const name of ['nix', 'nix-store', 'nix-env', 'prlimit']) {
      await writeFile(join(bin, name), `#!/bin/sh\nPATH=/usr/bin:/bin exec /usr/bin/bwrap ${binds} /usr/bin/${name} "$@"\n`);
      await chmod(join(bin, name), 0o755);
    }
  }
  const env = (settings: readonly string[]): NodeJS.ProcessEnv => ({
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: dir,
    NIX_CONFIG: [...SETTINGS, ...settings].join('\n'),
    GIT_CONFIG_GLOBAL: '/dev/null',
    ...(hasDaemon ? { NIX_REMOTE: 'daemon', NIX_DAEMON_SOCKET_PATH: join(dir, 'socket') } : {}),
  });
  const daemon = hasDaemon ? spawn('nix-daemon', [], { env: { ...env([]), NIX_REMOTE: '' }, stdio: 'ignore' }) : undefined;
  const create = (...settings: readonly string[]): RepositoryNix => {
    const deps = { exec, logger: silentLogger };
    // No sandbox: the answers of Nix are the same, and this one already runs inside another system.
    const sandbox = sandboxInTest(dir, (file, args) => ({ file, args, env: { ...env(settings), LC_ALL: 'C' } }));
    return createRepositoryNix({ ...deps, sandbox }, createNix({ ...deps, env: env(settings) }));
  };
  return {
    nix: create(),
    dir,
    with: create,
    async run(file, ...args) {
      const result = await execInTest(file, args, { env: env([]) });
      if (result.exitCode !== 0) throw new Error(`${file} ${args.join(' ')} failed: ${result.stderr}`);
      return result.stdout.trim();
    },
    async close() {
      if (daemon !== undefined) {
        daemon.kill('SIGKILL');
        await once(daemon, 'exit');
      }
      await execInTest('chmod', ['-R', 'u+w', dir]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Commits files to a new repository. Resolves to its flake URL. */
export async function commitFlake(dir: string, files: Readonly<Record<string, string>>): Promise<string> {
  const repository = await mkdtemp(join(dir, 'repository-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(repository, name, '..'), { recursive: true });
    await writeFile(join(repository, name), content);
  }
  const identity = ['AUTHOR', 'COMMITTER'].flatMap((who) => [[`GIT_${who}_NAME`, 'a'] as const, [`GIT_${who}_EMAIL`, 'a@b'] as const]);
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', ...Object.fromEntries(identity) };
  const git = async (...args: string[]): Promise<string> => {
    const result = await execInTest('git', ['-C', repository, ...args], { env });
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-q', '--allow-empty', '-m', 'x');
  return `git+file://${repository}?ref=main&rev=${await git('rev-parse', 'HEAD')}`;
}
