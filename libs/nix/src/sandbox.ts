import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, type Exec } from '@floe/runtime';
import { sandboxEnv } from './sandbox-env.ts';
import { findProgram, machineMounts, nixMounts } from './sandbox-mounts.ts';
import { buildsOutsideNixSandbox, probeSandbox, programsInStore } from './sandbox-probe.ts';

export interface SandboxOptions {
  readonly exec: Exec;
  /** The caller's environment: what is on the list of sandbox-env.ts goes in, nothing else. */
  readonly env: NodeJS.ProcessEnv;
  /** A folder of the sandbox's own, for the home and temporary files inside. Foreign code may write there: nobody else may use it. */
  readonly dir: string;
  /** Folders and files that may be read inside, at the same path: the mirror. They need not exist yet. */
  readonly readable: readonly string[];
}

/** A command as it is to be started. */
export interface SandboxedCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where a sandbox tells of itself in the command's standard error: for one run. */
  readonly readStatus?: (() => SandboxStatus) | undefined;
}

/** What bubblewrap says of one run (bwrap(1), --json-status-fd), so that its own failure is not taken for the command's. */
export interface SandboxStatus {
  /** True when the line of standard error was bubblewrap's. */
  take(line: string): boolean;
  /** Whether the command itself was reached. */
  hasRun(): boolean;
}

/** Where Nix runs on what the repository says. */
export interface Sandbox {
  /** False when foreign code sees what this process's user sees. */
  readonly isIsolated: boolean;
  /** The home of the commands, as it is called outside too. */
  readonly home: string;
  command(file: string, args: readonly string[]): SandboxedCommand;
}

/**
 * New namespaces, so that there is nobody to signal, to trace or to talk to. `--cap-drop`: bubblewrap leaves root all
 * capabilities in its new user namespace, by which it could make what is bound read-only writable again.
 */
const ISOLATION = [
  '--unshare-user',
  '--unshare-pid',
  '--unshare-ipc',
  '--unshare-uts',
  '--die-with-parent',
  '--new-session',
  '--cap-drop',
  'ALL',
  '--json-status-fd',
  '3',
];

/**
 * What the kernel lets its root change, by the user id alone: root's of this namespace is the same one. With
 * /proc/sys/kernel/core_pattern that is a way out. (bubblewrap covers the rest of it, and not /proc/sys.)
 */
const KERNEL_SETTINGS = ['sys', 'fs', 'acpi', 'scsi', 'driver', 'mtrr', 'pressure'];

/** What is written there is memory, which counts for nobody where there is no control group. */
const SHARED_MEMORY = ['--size', String(64 * 1024 ** 2), '--tmpfs', '/dev/shm'];

/** Its status comes with the standard error, but the command must not lose its own. A shell costs a millisecond; all Linux systems have this one. */
const LAUNCH = ['/bin/sh', '-c', 'exec bwrap "$@" 3>&2', 'sh'] as const;

/** What {@link openSandbox} must make sure of. */
export interface SandboxChecks {
  /** Paths that must not exist inside. */
  readonly secrets: readonly string[];
  /** Programs that this process runs outside, by their paths: what foreign code writes must not become one of them. */
  readonly programs: readonly string[];
  /** A text that no start had before. */
  readonly nonce: string;
}

/**
 * A mount namespace made by bubblewrap that has the system's programs, Nix's store and configuration, what is
 * `readable`, and a home of its own: nothing that is worth to be stolen. The network is the machine's.
 * Throws SANDBOX_UNAVAILABLE when it does not work here, SANDBOX_LEAKS when a secret exists in it, and
 * BUILDS_NOT_ISOLATED when what is built reaches around it.
 */
export async function openSandbox(options: SandboxOptions, { secrets, programs, nonce }: SandboxChecks): Promise<Sandbox> {
  const { exec, readable } = options;
  const { home, temporary } = await ownFolders(options.dir);
  const machine = await machineMounts(options.env);
  const nix = await nixMounts(options.env);
  const env = sandboxEnv(options.env, {
    home,
    path: machine.path,
    nixRemote: nix.remote,
    // A single-user Nix signs what it builds with keys that it cannot see here.
    ...(nix.mode === 'single-user' ? { settings: 'secret-key-files =' } : {}),
  });
  const settings = (process.getuid?.() === 0 ? KERNEL_SETTINGS : []).flatMap((name) => ['--ro-bind-try', `/proc/${name}`, `/proc/${name}`]);
  const own = ['--proc', '/proc', ...settings, '--dev', '/dev', ...SHARED_MEMORY, '--bind', home, home];
  // Looked for by each start anew: what does not exist yet is left out.
  const readOnly = readable.flatMap((path) => ['--ro-bind-try', path, path]);
  const before = [...ISOLATION, ...machine.mounts, ...nix.mounts, '--bind', temporary, '/tmp', ...readOnly, ...own, '--chdir', home, '--'];
  const sandbox: Sandbox = {
    isIsolated: true,
    home,
    command: (file, args) => ({ file: LAUNCH[0], args: [...LAUNCH.slice(1), ...before, file, ...args], env, readStatus }),
  };
  await probeSandbox(exec, sandbox, secrets);
  if (await buildsOutsideNixSandbox(exec, sandbox, nonce)) {
    if (nix.mode === 'daemon') {
      throw new FloeError(
        'BUILDS_NOT_ISOLATED',
        "Nix's daemon builds outside of its own sandbox when a derivation asks for that, and with it outside of ours: set sandbox = true in its nix.conf",
      );
    }
    const changeable = await programsInStore([...programs, ...(await Promise.all(['nix', 'git', 'bwrap', 'sh'].map(outside)))]);
    if (changeable.length > 0) {
      throw new FloeError(
        'BUILDS_NOT_ISOLATED',
        `what is built could change programs that this server runs (${changeable.join(', ')}): use Nix's daemon, or set sandbox = true in nix.conf`,
      );
    }
  }
  return sandbox;

  async function outside(program: string): Promise<string | undefined> {
    return await findProgram(program, options.env['PATH'] ?? '');
  }
}

/** No sandbox: foreign code reads and writes what this process's user may. Only its environment is bounded. */
export async function openUnsafeSandbox(options: Pick<SandboxOptions, 'env' | 'dir'>): Promise<Sandbox> {
  const { home } = await ownFolders(options.dir);
  const env = sandboxEnv(options.env, { home, path: options.env['PATH'] ?? '', nixRemote: options.env['NIX_REMOTE'] });
  return { isIsolated: false, home, command: (file, args) => ({ file, args, env }) };
}

function readStatus(): SandboxStatus {
  let hasRun = false;
  return {
    take(line) {
      // The exit code comes only when the sandbox was made. Foreign code that prints the same has run, too.
      const [, name] = /^\{ "(child-pid|exit-code)": \d+/.exec(line) ?? [];
      hasRun ||= name === 'exit-code';
      return name !== undefined;
    },
    hasRun: () => hasRun,
  };
}

async function ownFolders(dir: string): Promise<{ home: string; temporary: string }> {
  const [home, temporary] = [join(dir, 'home'), join(dir, 'tmp')];
  await mkdir(home, { recursive: true, mode: 0o700 });
  await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  return { home, temporary };
}
