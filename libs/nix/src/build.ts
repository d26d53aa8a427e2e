import type { StorePath } from '@floe/model';
import { buildMachines, canBuild, type BuildMachine } from './build-machines.ts';
import { createBuildMeter, type BuildProgress } from './build-meter.ts';
import type { CommandResult, RepositoryCommand } from './command.ts';
import { readDerivations, type DerivationFacts } from './derivations.ts';
import { diagnose } from './diagnose.ts';
import { explain, serverUnwell, stopped } from './failure.ts';
import { missingMachine } from './not-built-here.ts';

export type BuildFailureCode =
  | 'BUILD_FAILED'
  | 'BUILD_TIMED_OUT'
  /** A source cannot be downloaded now. */
  | 'BUILD_DOWNLOAD_FAILED'
  /** Neither this machine nor a remote builder may build it. */
  | 'BUILD_NO_MACHINE'
  /** A remote builder may build it, but did not accept it now. */
  | 'BUILD_MACHINE_AWAY'
  /** A machine may build it, but Nix started nothing, e.g. because of its settings. */
  | 'BUILD_NOT_STARTED'
  /** The garbage collector removed it since the evaluation: evaluate the host again. */
  | 'BUILD_DERIVATION_MISSING';

export type BuildResult =
  | { readonly kind: 'built'; readonly durationMs: number }
  | {
      readonly kind: 'failed';
      readonly code: BuildFailureCode;
      /** For people, the cause first. */
      readonly error: string;
      /** It may succeed later without a change of the repository. */
      readonly isRetryable: boolean;
      readonly durationMs: number;
    };

export interface BuildTarget {
  readonly drvPath: string;
  /** The output of the derivation. */
  readonly toplevel: StorePath;
}

export interface BuildOptions {
  readonly signal: AbortSignal;
  /** Time limit of the whole build. */
  readonly timeoutMs: number;
  /** Memory limit of the command, and with a single-user Nix also of the build. Default: none. */
  readonly maxMemoryBytes?: number | undefined;
  /** Called with what is built and what it prints, with each line. */
  readonly onProgress?: ((progress: BuildProgress) => void) | undefined;
  /** Path of the GC root for the result. */
  readonly root: string;
}

interface Reason {
  readonly code: BuildFailureCode;
  readonly text?: string | undefined;
}

/** nix-store(1), "EXIT STATUS": 101 means that Nix's own time limit ended a build. Through the daemon every failure is 1. */
const TIMED_OUT = 101;
const RETRYABLE: ReadonlySet<BuildFailureCode> = new Set([
  'BUILD_DOWNLOAD_FAILED',
  'BUILD_MACHINE_AWAY',
  'BUILD_NOT_STARTED',
  'BUILD_DERIVATION_MISSING',
]);
const NAMED_DOWNLOADS = 3;
const PATHS_AT_ONCE = 1_000;

/**
 * Builds a derivation with the output `toplevel`, and adds a GC root. A failed build is a result whose kind says whether a retry
 * may help. Throws retryable DISK_FULL, NIX_STORE_AWAY, NIX_STOPPED.
 */
export async function build(
  command: RepositoryCommand,
  own: { readonly addRoot: (link: string, path: StorePath) => Promise<void> },
  target: BuildTarget,
  { signal, timeoutMs, maxMemoryBytes, root, onProgress }: BuildOptions,
): Promise<BuildResult> {
  const realise = async (...more: readonly string[]): Promise<CommandResult> =>
    await command.run('nix-store', ['--realise', target.drvPath, ...more], {
      signal,
      timeoutMs,
      maxMemoryBytes,
      onEvent: createBuildMeter(onProgress),
    });
  let run = await realise();
  let reason = run.isOk ? undefined : await reasonOf(command, target, run);
  if (reason === 'unclear') {
    // A failure aborts parallel builds. With this option only the actual failures are reported.
    run = await realise('--keep-going');
    reason = run.isOk ? undefined : await reasonOf(command, target, run);
  }
  const { durationMs } = run.result;
  const fail = (code: BuildFailureCode, error: string): BuildResult => ({
    kind: 'failed',
    code,
    error,
    isRetryable: RETRYABLE.has(code),
    durationMs,
  });
  if (reason === undefined) {
    const built = run.result.stdout.trim();
    if (!built.split('\n').includes(target.toplevel)) return fail('BUILD_FAILED', `the build gave ${built} where ${target.toplevel} was evaluated`);
    // The root is added outside of the sandbox, in a folder that the sandbox does not have. If the path is collected in between,
    // this fails and is retried.
    await own.addRoot(root, target.toplevel);
    return { kind: 'built', durationMs };
  }
  const { code, text }: Reason = reason === 'unclear' ? { code: 'BUILD_FAILED' } : reason;
  const explained = explain(run.log, run.result);
  return fail(code, text === undefined ? explained : `${text}\n${explained}`);
}

/**
 * The cause of the failure, from the store afterwards, the derivations, and those that Nix started. 'unclear': several kinds of
 * derivations were started and not finished.
 */
async function reasonOf(command: RepositoryCommand, { drvPath }: BuildTarget, { result, log }: CommandResult): Promise<Reason | 'unclear'> {
  const diagnosis = await diagnose(command, result, log);
  if (diagnosis.kind === 'stopped') throw stopped('building');
  if (diagnosis.kind === 'server-unwell') throw serverUnwell('building', diagnosis.health, explain(log, result));
  if (diagnosis.kind === 'timed-out' || result.exitCode === TIMED_OUT) {
    return { code: 'BUILD_TIMED_OUT', text: 'the build took too long and was stopped' };
  }
  if (diagnosis.kind === 'out-of-memory' && result.end !== 'exited')
    return { code: 'BUILD_FAILED', text: 'the build needs more memory than there is' };
  if (!(await isValid(command, drvPath))) {
    return { code: 'BUILD_DERIVATION_MISSING', text: 'the garbage collector removed the derivation; Floe evaluates again' };
  }
  const started = await unfinished(command, await readDerivations(command, [...log.startedBuilds]));
  const sources = started.filter(({ isFixedOutput }) => isFixedOutput).map(({ name }) => name);
  const downloads = [...sources, ...(await invalidPaths(command, [...log.startedDownloads])).map(nameOf)];
  if (downloads.length > 0 && started.length > sources.length) return 'unclear';
  if (downloads.length > 0) {
    return { code: 'BUILD_DOWNLOAD_FAILED', text: `the download of ${downloads.slice(0, NAMED_DOWNLOADS).join(', ')} failed; Floe tries again` };
  }
  return started.length > 0 ? { code: 'BUILD_FAILED' } : await withoutMachine(command, [drvPath, ...log.plannedBuilds]);
}

/** Nothing was started: perhaps no machine can build one of the derivations. */
async function withoutMachine(command: RepositoryCommand, planned: readonly string[]): Promise<Reason> {
  const machines = await buildMachines(command);
  if (machines === undefined) return { code: 'BUILD_FAILED' };
  const local = machines.filter(({ isRemote }) => !isRemote);
  const takes = (some: readonly BuildMachine[], derivation: DerivationFacts): boolean => some.some((machine) => canBuild(machine, derivation));
  const notHere = (await readDerivations(command, [...new Set(planned)])).filter((each) => !takes(local, each));
  const nowhere = notHere.find((each) => !takes(machines, each));
  if (nowhere !== undefined) {
    const features = nowhere.requiredFeatures.length === 0 ? '' : ` with ${nowhere.requiredFeatures.join(', ')}`;
    return { code: 'BUILD_NO_MACHINE', text: `${nowhere.name} ${missingMachine(`${nowhere.system}${features}`, machines)}` };
  }
  const [elsewhere] = notHere;
  if (elsewhere === undefined) return { code: 'BUILD_NOT_STARTED', text: 'no build can be started on this server; Floe tries again' };
  return { code: 'BUILD_MACHINE_AWAY', text: `no remote builder takes ${elsewhere.name} (${elsewhere.system}) now; Floe tries again` };
}

/** The derivations of which an output is missing in the store. */
async function unfinished(command: RepositoryCommand, derivations: readonly DerivationFacts[]): Promise<DerivationFacts[]> {
  const left: DerivationFacts[] = [];
  for (const derivation of derivations) {
    const isDone = derivation.outputs.length > 0 && (await isValid(command, ...derivation.outputs));
    if (!isDone) left.push(derivation);
  }
  return left;
}

async function isValid(command: RepositoryCommand, ...paths: readonly string[]): Promise<boolean> {
  return (await command.run('nix-store', ['--check-validity', ...paths])).isOk;
}

async function invalidPaths(command: RepositoryCommand, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const { result } = await command.run('nix-store', ['--check-validity', '--print-invalid', ...paths.slice(0, PATHS_AT_ONCE)]);
  return result.stdout.split('\n').filter((line) => line !== '');
}

/** A store path without its hash. */
function nameOf(path: string): string {
  return path.slice('/nix/store/'.length + 33);
}
