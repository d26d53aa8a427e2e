import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, type Exec } from '@floe/runtime';
import { sandboxEnv, withSettings } from './sandbox-env.ts';
import { findProgram, machineMounts, nixMounts } from './sandbox-mounts.ts';
import { linkCopies, SandboxFolders, type RunFolders } from './sandbox-folders.ts';
import { buildsOutsideNixSandbox, probeSandbox, programsInStore, sandboxProblem } from './sandbox-probe.ts';

export interface SandboxOptions {
  readonly exec: Exec;
  /** The caller's environment. Only the variables of sandbox-env.ts are passed on. */
  readonly env: NodeJS.ProcessEnv;
  /** A folder of the sandbox alone, for homes and temporary files. Untrusted code writes there, so nothing else may use it. */
  readonly dir: string;
  /** Folders and files that are readable inside, at the same path: the mirror. They need not exist yet. */
  readonly readable: readonly string[];
}

/** A command as it is to be started. Disposing of it removes the files that it wrote. */
export interface SandboxedCommand extends AsyncDisposable {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** The part of a command's standard error that the sandbox itself writes, for one run. */
  readonly readStatus?: (() => SandboxStatus) | undefined;
}

/** What bubblewrap reports about one run (bwrap(1), --json-status-fd), so that its own failure is not mistaken for the command's. */
export interface SandboxStatus {
  /** True when the line of standard error was bubblewrap's. */
  take(line: string): boolean;
  /** Whether the command itself was started. */
  hasRun(): boolean;
}

/** What one command gets besides: secrets, so no untrusted code runs in it. */
export interface Belongings {
  /** Files in its home, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Variables; `home` is its home as the command sees it. */
  readonly env: (home: string) => Readonly<Record<string, string>>;
  /** Lines of Nix's settings. */
  readonly settings: (home: string) => readonly string[];
  /** A folder of ours that it may write, at the same path. Default: none. */
  readonly writable?: string | undefined;
  /** What must not be seen of its output: a server can repeat what it is told. */
  readonly hidden: readonly string[];
}

/** Where Nix runs on input from the repository. */
export interface Sandbox {
  /** Where commands write besides the store; the path outside. */
  readonly folder: string;
  /** A command with a new home and new temporary files, which are not used again. */
  prepare(file: string, args: readonly string[]): Promise<SandboxedCommand>;
  /** The same with secrets. Only for commands without untrusted code. */
  prepareWith(file: string, args: readonly string[], belongings: Belongings): Promise<SandboxedCommand>;
  /** The same as `prepare` in the kept home, whose copies of repositories all later commands get. Only for commands without untrusted code. */
  prepareKept(file: string, args: readonly string[]): Promise<SandboxedCommand>;
  /** Empties the kept home; resolves to whether it had content. */
  forgetKept(): Promise<boolean>;
  /** Why nothing can run in it at the moment; undefined: it works. */
  problem(): Promise<string | undefined>;
}

/**
 * New namespaces: no other processes to signal, trace or talk to. `--cap-drop`: bubblewrap leaves root all capabilities in its
 * new user namespace, with which it could remount read-only binds as writable.
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
 * Files that the kernel lets root change by user id alone, and root of this namespace is the same user.
 * /proc/sys/kernel/core_pattern would be an escape. (bubblewrap covers the others, but not /proc/sys.)
 */
const KERNEL_SETTINGS = ['sys', 'fs', 'acpi', 'scsi', 'driver', 'mtrr', 'pressure'];

/** Files written there are memory, which no process is charged for without a control group. */
const SHARED_MEMORY = ['--size', String(64 * 1024 ** 2), '--tmpfs', '/dev/shm'];

/**
 * Its status comes through standard error, but the command must keep its own. The shell costs a millisecond; all Linux systems
 * have this one.
 */
const LAUNCH = ['/bin/sh', '-c', 'exec bwrap "$@" 3>&2', 'sh'] as const;

/** What {@link openSandbox} verifies. */
export interface SandboxChecks {
  /** Paths that must not exist inside. */
  readonly secrets: readonly string[];
  /** Programs that commands run inside, by name. Default: none beside Nix and git. */
  readonly needed?: readonly string[];
  /** Programs that this process runs outside, by path: untrusted code must not be able to replace them. */
  readonly programs: readonly string[];
  /** A text that no earlier start used. */
  readonly nonce: string;
  /** Whether a single-user Nix is acceptable, whose builders can change everything in the store, including what later commits use. */
  readonly mayBuildsChangeStore: boolean;
}

/**
 * A mount namespace made by bubblewrap with the system's programs, Nix's store and configuration, the paths in `readable`, and a
 * new home: nothing secret. The network is the machine's. Throws SANDBOX_UNAVAILABLE when it does not work on this machine,
 * PROGRAM_MISSING when a needed one is not in PATH there,
 * SANDBOX_LEAKS when a secret is visible inside, BUILDS_NOT_ISOLATED when builds can bypass it, BUILDS_CHANGE_STORE when a build
 * can change earlier results.
 */
export async function openSandbox(
  options: SandboxOptions,
  { secrets, needed = [], programs, nonce, mayBuildsChangeStore }: SandboxChecks,
): Promise<Sandbox> {
  const { exec, readable, dir } = options;
  const folders = await SandboxFolders.open(dir, exec);
  const home = join(dir, 'home');
  // The home that all commands see. Empty; it exists only because its parent may be read-only inside.
  await mkdir(home, { mode: 0o700 });
  const machine = await machineMounts(options.env);
  const nix = await nixMounts(options.env);
  const env = sandboxEnv(options.env, {
    home,
    path: machine.path,
    nixRemote: nix.remote,
    // A single-user Nix would sign its builds with keys that do not exist inside.
    ...(nix.mode === 'single-user' ? { settings: 'secret-key-files =' } : {}),
  });
  const settings = (process.getuid?.() === 0 ? KERNEL_SETTINGS : []).flatMap((name) => ['--ro-bind-try', `/proc/${name}`, `/proc/${name}`]);
  // Resolved at each start: a path that does not exist yet is left out.
  const readOnly = readable.flatMap((path) => ['--ro-bind-try', path, path]);
  const before = [...ISOLATION, ...machine.mounts, ...nix.mounts];
  const after = ['--proc', '/proc', ...settings, '--dev', '/dev', ...SHARED_MEMORY];
  const confine = (run: RunFolders, file: string, args: readonly string[], writable?: string): SandboxedCommand => {
    const copies = run.copies.flatMap(({ from, to }) => ['--ro-bind', from, join(home, to)]);
    const written = writable === undefined ? [] : ['--bind', writable, writable];
    const own = ['--bind', run.temporary, '/tmp', ...readOnly, ...written, ...after, '--bind', run.home, home, ...copies, '--chdir', home, '--'];
    return { file: LAUNCH[0], args: [...LAUNCH.slice(1), ...before, ...own, file, ...args], env, readStatus, [Symbol.asyncDispose]: run.remove };
  };
  const sandbox: Sandbox = {
    folder: dir,
    prepare: async (file, args) => confine(await folders.make(), file, args),
    prepareWith: async (file, args, belongings) => {
      const run = await folders.make();
      await writeBelongings(run.home, belongings);
      return { ...confine(run, file, args, belongings.writable), env: withBelongings(env, home, belongings) };
    },
    prepareKept: async (file, args) => confine(await folders.keep(), file, args),
    forgetKept: async () => await folders.forget(),
    problem: async () => await sandboxProblem(exec, sandbox),
  };
  for (const name of needed) {
    if ((await findProgram(name, machine.path)) === undefined)
      throw new FloeError(
        'PROGRAM_MISSING',
        `${name} is needed, and is not in PATH, or in a folder that the sandbox does not have: install it as the system does`,
      );
  }
  await probeSandbox(exec, sandbox, secrets);
  if (nix.mode === 'single-user') {
    // Nix's own sandbox does not work inside: Nix builds without it (sandbox-fallback), or not at all.
    if (!mayBuildsChangeStore) {
      throw new FloeError(
        'BUILDS_CHANGE_STORE',
        "what a commit builds could change everything in the Nix store, and with it what Floe signs for later commits: use Nix's daemon, with sandbox = true in its nix.conf",
      );
    }
    const changeable = await programsInStore([...programs, ...(await Promise.all(['nix', 'git', 'bwrap', 'sh'].map(outside)))]);
    if (changeable.length > 0) {
      throw new FloeError(
        'BUILDS_NOT_ISOLATED',
        `what is built could change programs that Floe runs (${changeable.join(', ')}): use Nix's daemon, with sandbox = true in its nix.conf`,
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

/** No sandbox: untrusted code has the rights of this process's user. Only its environment is filtered. */
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
    prepareWith: async (file, args, belongings) => {
      const run = await folders.make();
      await writeBelongings(run.home, belongings);
      const command = await bare(run, file, args);
      return { ...command, env: withBelongings(command.env, run.home, belongings) };
    },
    prepareKept: async (file, args) => await bare(await folders.keep(), file, args),
    forgetKept: async () => await folders.forget(),
    problem: async () => await Promise.resolve(undefined),
  };
}

/** Writes the files of `belongings` into a home outside, for its owner alone. They go with the home. */
export async function writeBelongings(home: string, { files }: Belongings): Promise<void> {
  for (const [name, content] of Object.entries(files)) await writeFile(join(home, name), content, { mode: 0o600, flag: 'wx' });
}

/** The environment of a command with them. */
export function withBelongings(env: NodeJS.ProcessEnv, home: string, belongings: Belongings): NodeJS.ProcessEnv {
  return { ...withSettings(env, belongings.settings(home)), ...belongings.env(home) };
}

function readStatus(): SandboxStatus {
  let hasRun = false;
  return {
    take(line) {
      // bubblewrap reports the exit code only when the sandbox was created. If untrusted code prints the same, it has been
      // started, too.
      const [, name] = /^\{ "(child-pid|exit-code)": \d+/.exec(line) ?? [];
      hasRun ||= name === 'exit-code';
      return name !== undefined;
    },
    hasRun: () => hasRun,
  };
}
