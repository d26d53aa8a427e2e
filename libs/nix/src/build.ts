import type { StorePath } from '@floe/model';
import type { RepositoryCommand } from './command.ts';
import { commandFailed, explain, isNixUnwell } from './failure.ts';

export type BuildResult =
  | { readonly kind: 'built'; readonly durationMs: number }
  | {
      readonly kind: 'failed';
      readonly code: 'BUILD_FAILED' | 'BUILD_TIMED_OUT' | 'BUILD_NOT_STARTED';
      readonly error: string;
      readonly durationMs: number;
    };

export interface BuildTarget {
  readonly drvPath: string;
  /** Its output. */
  readonly toplevel: StorePath;
}

export interface BuildOptions {
  readonly signal: AbortSignal;
  /** Of the whole build. */
  readonly timeoutMs: number;
  /** Of the command, and with a single-user Nix of what it builds. Default: no limit. */
  readonly maxMemoryBytes?: number | undefined;
  /** Path of the GC root that keeps the result. */
  readonly root: string;
}

/** nix-store(1), "EXIT STATUS": 101 is a build's time limit. */
const TIMED_OUT = 101;
/** The lowest status that is about a build; below it none was started. */
const BUILD_STATUS = 100;

/**
 * Builds a derivation whose output is `toplevel`, and keeps it by a GC root. A build that fails is a result, as is one that cannot be started
 * here (another architecture, or Nix's settings). Throws
 * retryable DISK_FULL, NIX_STOPPED.
 */
export async function build(
  command: RepositoryCommand,
  own: { readonly addRoot: (link: string, path: StorePath) => Promise<void> },
  { drvPath, toplevel }: BuildTarget,
  { signal, timeoutMs, maxMemoryBytes, root }: BuildOptions,
): Promise<BuildResult> {
  const { result, log, isOk } = await command.run('nix-store', ['--realise', drvPath], { signal, timeoutMs, maxMemoryBytes });
  const { durationMs } = result;
  if (isOk) {
    if (result.stdout.split('\n').includes(toplevel)) {
      // The root is made outside of the sandbox, in a folder that is not inside. Were the path collected in between, this fails and is tried again.
      await own.addRoot(root, toplevel);
      return { kind: 'built', durationMs };
    }
    return { kind: 'failed', code: 'BUILD_FAILED', error: `the build gave ${result.stdout.trim()} where ${toplevel} was evaluated`, durationMs };
  }
  if (result.end === 'aborted' || isNixUnwell(log)) throw commandFailed('building', log, result);
  if (result.end === 'timed-out' || result.exitCode === TIMED_OUT) {
    return { kind: 'failed', code: 'BUILD_TIMED_OUT', error: `the build took too long and was stopped\n${explain(log, result)}`, durationMs };
  }
  const code = result.exitCode >= BUILD_STATUS ? 'BUILD_FAILED' : 'BUILD_NOT_STARTED';
  return { kind: 'failed', code, error: explain(log, result), durationMs };
}
