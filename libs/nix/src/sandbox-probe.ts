import { realpath } from 'node:fs/promises';
import { describeError, FloeError, type Exec, type ExecResult, nixString } from '@floe/runtime';
import * as v from 'valibot';

/** The probed object: it can run a command inside. */
interface ProbedSandbox {
  prepare(
    file: string,
    args: readonly string[],
  ): Promise<AsyncDisposable & { readonly file: string; readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv }>;
}

const TIMEOUT_MS = 60_000;
const NIX = ['--extra-experimental-features', 'nix-command flakes'];
const Answer = v.pipe(v.string(), v.parseJson(), v.object({ seen: v.array(v.string()), stored: v.string() }));

/** Verifies, by running Nix in it, that the sandbox works on this machine and that none of `secrets` exists inside. */
export async function probeSandbox(exec: Exec, sandbox: ProbedSandbox, secrets: readonly string[]): Promise<void> {
  const list = secrets.map(nixString).join(' ');
  // Writing a file to the store needs the same as an evaluation.
  const expression = `{ seen = builtins.filter builtins.pathExists [ ${list} ]; stored = builtins.toFile "floe-sandbox" "works"; }`;
  await using launch = await sandbox.prepare('nix', ['eval', '--json', '--impure', '--expr', expression, ...NIX]);
  let result: ExecResult;
  try {
    result = await exec(launch.file, launch.args, { env: launch.env, timeoutMs: TIMEOUT_MS });
  } catch (cause) {
    throw unavailable('bubblewrap (bwrap) is not installed', cause);
  }
  const answer = v.safeParse(Answer, result.exitCode === 0 ? result.stdout : '');
  if (!answer.success) throw unavailable(result.stderr.trim().slice(-500) || `it ended with ${result.signal ?? result.exitCode}`);
  const [seen] = answer.output.seen;
  if (seen === undefined) return;
  throw new FloeError(
    'SANDBOX_LEAKS',
    `${seen} can be read by code from the repository: move it out of the system's folders and out of the Nix store`,
  );
}

const MAX_REASON_CHARACTERS = 300;

/** Why nothing can run in the sandbox at the moment, from the system and not from a repository; undefined: it works. */
export async function sandboxProblem(exec: Exec, sandbox: ProbedSandbox): Promise<string | undefined> {
  try {
    await using launch = await sandbox.prepare('nix', ['--version']);
    const { end, exitCode, stderr } = await exec(launch.file, launch.args, { env: launch.env, timeoutMs: TIMEOUT_MS });
    if (end === 'exited' && exitCode === 0) return undefined;
    return stderr.trim().slice(-MAX_REASON_CHARACTERS) || `it ended with ${end === 'exited' ? exitCode : end}`;
  } catch (error) {
    return describeError(error).slice(0, MAX_REASON_CHARACTERS);
  }
}

function unavailable(reason: string, cause?: unknown): FloeError {
  return new FloeError(
    'SANDBOX_UNAVAILABLE',
    `what the repository says cannot be kept away from Floe's keys: ${reason}
Install bubblewrap, and let this user make user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; in a container its seccomp profile).`,
    { cause },
  );
}

/**
 * Whether Nix's daemon builds outside of its own sandbox: `sandbox` is false where the build runs, or the sandbox does not work
 * there and `sandbox-fallback` is true; or a derivation only has to ask for it (`relaxed`). Tested by such builds, because a
 * daemon does not report its settings.
 */
export async function buildsOutsideNixSandbox(exec: Exec, sandbox: ProbedSandbox, nonce: string): Promise<boolean> {
  const outside = async (attribute: string): Promise<boolean> => {
    // It succeeds only where the builder sees the daemon's own folder.
    const script = 'test -d /nix/var/nix && echo > $out';
    const expression = `derivation { name = "floe-probe"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" ${nixString(script)} ]; ${attribute} nonce = ${nixString(nonce)}; }`;
    const args = ['build', '--impure', '--no-link', '--expr', expression, '--option', 'substitute', 'false', ...NIX];
    await using launch = await sandbox.prepare('nix', args);
    return (await exec(launch.file, launch.args, { env: launch.env, timeoutMs: TIMEOUT_MS })).exitCode === 0;
  };
  return (await Promise.all([outside(''), outside('__noChroot = true;')])).includes(true);
}

/** The programs that are in the store, where builders of a single-user Nix without its own sandbox can change them. */
export async function programsInStore(programs: readonly (string | undefined)[]): Promise<string[]> {
  const real = await Promise.all(programs.map(async (file) => (file === undefined ? '' : await realpath(file).catch(() => ''))));
  return [...new Set(real.filter((file) => file.startsWith('/nix/store/')))];
}
