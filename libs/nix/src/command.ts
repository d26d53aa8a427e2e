import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError, NO_TIME_LIMIT, type Exec, type ExecResult, type Logger } from '@floe/runtime';
import type { StorePath } from '@floe/model';
import { FailureLog, parseLogLine, type LogEvent } from './internal-json.ts';

/** Which Nix store is meant. */
export type NixStore =
  /** The machine's own: through the daemon, or directly when root and there is none. */
  | { readonly kind: 'system' }
  /** A store of its own below a folder, with real files in `<dir>/nix/store`; its paths are still called /nix/store/…. */
  | { readonly kind: 'root'; readonly dir: string };

export interface NixDeps {
  readonly exec: Exec;
  readonly logger: Logger;
  /** The whole environment of the Nix commands: PATH, HOME, perhaps NIX_CONFIG. */
  readonly env: NodeJS.ProcessEnv;
  /** Default: the system's. */
  readonly store?: NixStore | undefined;
}

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Memory of Nix and all processes that it starts, in bytes. */
  readonly maxMemoryBytes?: number | undefined;
  /** Called with each line of the log that is of Nix's format. */
  readonly onEvent?: ((event: LogEvent) => void) | undefined;
}

export interface CommandResult {
  readonly result: ExecResult;
  readonly log: FailureLog;
  /** True when the command exited with 0. */
  readonly isOk: boolean;
}

const FEATURES = ['--extra-experimental-features', 'nix-command flakes'];

/** Runs Nix's programs with what every one of Floe's calls has in common. */
export class NixCommand {
  readonly #deps: NixDeps;

  constructor(deps: NixDeps) {
    this.#deps = deps;
  }

  get logger(): Logger {
    return this.#deps.logger;
  }

  /** Removes what Nix keeps of git repositories beside its store: it is fetched again. */
  async forgetRepositories(): Promise<void> {
    const { XDG_CACHE_HOME: cache, HOME: home } = this.#deps.env;
    if (cache === undefined && home === undefined) return;
    const folder = join(cache ?? join(home ?? '', '.cache'), 'nix');
    this.#deps.logger.warn("Nix's copies of git repositories are removed: one of them is broken", { folder });
    const names = await readdir(folder).catch(() => []);
    for (const name of names) if (name.startsWith('gitv')) await rm(join(folder, name), { recursive: true, force: true });
  }

  /** Where the files of a store path lie on this disk. */
  filePath(path: StorePath | string): string {
    const { store } = this.#deps;
    return store?.kind === 'root' ? `${store.dir}${path}` : path;
  }

  /** Runs `nix`, `nix-store` or `nix-env` on the configured store; the exit status is the caller's to judge. */
  async run(program: 'nix' | 'nix-store' | 'nix-env', args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { store } = this.#deps;
    const withStore = store?.kind === 'root' ? [...args, '--store', `local?root=${store.dir}`] : args;
    return await this.runBare(program, withStore, options);
  }

  /** As {@link run}, for commands that name their store themselves. */
  async runBare(program: 'nix' | 'nix-store' | 'nix-env', args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const log = new FailureLog();
    const common = ['--log-format', 'internal-json', ...(program === 'nix' ? FEATURES : [])];
    let result: ExecResult;
    try {
      result = await this.#deps.exec(program, [...args, ...common], {
        env: { ...this.#deps.env, LC_ALL: 'C' },
        signal: options.signal,
        // Building and downloading take as long as they take; what waits for them ends them by its signal.
        timeoutMs: options.timeoutMs ?? NO_TIME_LIMIT,
        maxMemoryBytes: options.maxMemoryBytes,
        onStderrLine(line) {
          const event = parseLogLine(line);
          log.add(line, event);
          if (event !== undefined) options.onEvent?.(event);
        },
      });
    } catch (cause) {
      throw new FloeError('NIX_FAILED', `${program} could not be started: is Nix installed and in PATH?`, { retryable: true, cause });
    }
    return { result, log, isOk: result.end === 'exited' && result.exitCode === 0 };
  }
}
