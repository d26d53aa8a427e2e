import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, type Exec } from '@floe/runtime';
import { sandboxEnv } from './sandbox-env.ts';
import { findProgram, machineMounts, nixMounts } from './sandbox-mounts.ts';
import { linkCopies, SandboxFolders, type RunFolders } from './sandbox-folders.ts';
import { buildsOutsideNixSandbox, probeSandbox, programsInStore, sandboxProblem } from './sandbox-probe.ts';

export interface SandboxOptions {
  readonly exec: Exec;
  /** The caller's environment: what is on the list of sandbox-env.ts goes in, nothing else. */
  readonly env: NodeJS.ProcessEnv;
  /** A folder of the sandbox's own, for homes and temporary files inside. Foreign code may write there: nobody else may use it. */
  readonly dir: string;
  /** Folders and files that may be read inside, at the same path: the mirror. They need not exist yet. */
  readonly readable: readonly string[];
}

/** A command as it is to be started. What it wrote is gone when it is disposed of. */
export interface SandboxedCommand extends AsyncDisposable {
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
  /** Where commands write beside the store, as it is called outside. */
  readonly folder: string;
  /** A command with a home and temporary files that were never used before, and never will be again. */
  prepare(file: string, args: readonly string[]): Promise<SandboxedCommand>;
  /**
   * The same in the one home that is kept, whose copies of repositories all later commands find in theirs. Only for what
   * runs no foreign code.
   */
  prepareKept(file: string, args: readonly string[]): Promise<SandboxedCommand>;
  /** Empties the home that is kept; says whether there was anything in it. */
  forgetKept(): Promise<boolean>;
  /** Why nothing can be run in it just now; undefined when it works. */
  problem(): Promise<string | undefined>;
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
  /** Whether a single-user Nix will do, whose builders can change everything in the store, also what later commits use. */
  readonly mayBuildsChangeStore: boolean;
}

/**
 * A mount namespace made by bubblewrap that has the system's programs, Nix's store and configuration, what is
 * `readable`, and a home of its own: nothing that is worth to be stolen. The network is the machine's.
 * Throws SANDBOX_UNAVAILABLE when it does not work here, SANDBOX_LEAKS when a secret exists in it, and
 * BUILDS_NOT_ISOLATED when what is built reaches around it, BUILDS_CHANGE_STORE when it can change what others built.
 */
export async function openSandbox(options: SandboxOptions, { secrets, programs, nonce, mayBuildsChangeStore }: SandboxChecks): Promise<Sandbox> {
  const { exec, readable, dir } = options;
  const folders = await SandboxFolders.open(dir, exec);
  const home = join(dir, 'home');
  // Where all commands see their home. Empty, and only there because it may lie below something that is read-only inside.
  await mkdir(home, { mode: 0o700 });
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
  // Looked for by each start anew: what does not exist yet is left out.
  const readOnly = readable.flatMap((path) => ['--ro-bind-try', path, path]);
  const before = [...ISOLATION, ...machine.mounts, ...nix.mounts];
  const after = ['--proc', '/proc', ...settings, '--dev', '/dev', ...SHARED_MEMORY];
  const confine = (run: RunFolders, file: string, args: readonly string[]): SandboxedCommand => {
    const copies = run.copies.flatMap(({ from, to }) => ['--ro-bind', from, join(home, to)]);
    const own = ['--bind', run.temporary, '/tmp', ...readOnly, ...after, '--bind', run.home, home, ...copies, '--chdir', home, '--'];
    return { file: LAUNCH[0], args: [...LAUNCH.slice(1), ...before, ...own, file, ...args], env, readStatus, [Symbol.asyncDispose]: run.remove };
  };
  const sandbox: Sandbox = {
    folder: dir,
    prepare: async (file, args) => confine(await folders.make(), file, args),
    prepareKept: async (file, args) => confine(await folders.keep(), file, args),
    forgetKept: async () => await folders.forget(),
    problem: async () => await sandboxProblem(exec, sandbox),
  };
  await probeSandbox(exec, sandbox, secrets);
  if (nix.mode === 'single-user') {
    // In it Nix's own sandbox does not work: Nix does without (sandbox-fallback), or builds nothing.
    if (!mayBuildsChangeStore) {
      throw new FloeError(
        'BUILDS_CHANGE_STORE',
        "what a commit builds could change everything in the Nix store, and with it what this server signs for later commits: use Nix's daemon, with sandbox = true in its nix.conf",
      );
    }
    const changeable = await programsInStore([...programs, ...(await Promise.all(['nix', 'git', 'bwrap', 'sh'].map(outside)))]);
    if (changeable.length > 0) {
      throw new FloeError(
        'BUILDS_NOT_ISOLATED',
        `what is built could change programs that this server runs (${changeable.join(', ')}): use Nix's daemon, with sandbox = true in its nix.conf`,
      );
    }
  } else if (await buildsOutsideNixSandbox(exec, sandbox, nonce)) {
    throw new FloeError(
      'BUILDS_NOT_ISOLATED',
      "Nix's daemon builds outside of its own sandbox, always or when a derivation asks for that, and with it outside of ours: set sandbox = true and sandbox-fallback = false in its nix.conf",
    );
  }
  return sandbox;

  async function outside(program: string): Promise<string | undefined> {
    return await findProgram(program, options.env['PATH'] ?? '');
  }
}

/** No sandbox: foreign code reads and writes what this process's user may. Only its environment is bounded. */
export async function openUnsafeSandbox({ exec, env, dir }: Pick<SandboxOptions, 'exec' | 'env' | 'dir'>): Promise<Sandbox> {
  const folders = await SandboxFolders.open(dir, exec);
  const bare = async (run: RunFolders, file: string, args: readonly string[]): Promise<SandboxedCommand> => {
    await linkCopies(run);
    const own = sandboxEnv(env, { home: run.home, path: env['PATH'] ?? '', nixRemote: env['NIX_REMOTE'] });
    return { file, args, env: own, [Symbol.asyncDispose]: run.remove };
  };
  return {
    folder: dir,
    prepare: async (file, args) => await bare(await folders.make(), file, args),
    prepareKept: async (file, args) => await bare(await folders.keep(), file, args),
    forgetKept: async () => await folders.forget(),
    problem: async () => await Promise.resolve(undefined),
  };
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
