import { constants } from 'node:os';
import { FloeError, NO_TIME_LIMIT, type Exec, type ExecResult, type Logger, nixString } from '@floe/runtime';
import { STORE_PATH_FORM, type Look, type StorePath } from '@floe/model';
import { flakeAt, gitAddress } from './flake-address.ts';
import { HOSTS_ATTRIBUTE } from './hosts-attribute.ts';
import { outputsOfFile } from './hosts-file.ts';
import type { LockedInput } from './flake-lock.ts';
import type { AskRemote } from './ask-remote.ts';
import { accessOf, belongingsFor, questionFor, type InputAccess } from './input-access.ts';
import type { EvaluationGate } from './evaluation-gate.ts';
import { FailureLog, parseLogLine, type LogEvent } from './internal-json.ts';
import { looksOfLine } from './trace-lines.ts';
import { needsNoSandbox, type NixProgram } from './unsandboxed.ts';
import type { Sandbox, SandboxedCommand } from './sandbox.ts';

/** The Nix store that commands use. */
export type NixStore =
  /** The machine's own: through the daemon, or directly as root without one. */
  | { readonly kind: 'system' }
  /** A store below a folder: its files are in `<dir>/nix/store`, but its paths are still called /nix/store/…. */
  | { readonly kind: 'root'; readonly dir: string };

export interface NixDeps {
  readonly exec: Exec;
  readonly logger: Logger;
  /** The whole environment of the Nix commands: PATH, HOME, perhaps NIX_CONFIG. */
  readonly env: NodeJS.ProcessEnv;
  /** Default: the system's store. */
  readonly store?: NixStore | undefined;
}

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Memory limit of Nix with all processes that it starts, in bytes. */
  readonly maxMemoryBytes?: number | undefined;
  /** Called when Nix runs, with a function that returns the bytes that it uses with all processes that it started. */
  readonly onRunning?: ((memoryBytes: () => number) => void) | undefined;
  /** A command that prints more is ended. Default: that of `exec`. */
  readonly maxStdoutBytes?: number | undefined;
  /** Called with each log line in Nix's format. */
  readonly onEvent?: ((event: LogEvent) => void) | undefined;
}

export interface CommandResult {
  readonly result: ExecResult;
  readonly log: FailureLog;
  /** True when the command exited with 0. */
  readonly isOk: boolean;
}

const STORE = '/nix/store';
const NOTHING_TO_REMOVE = async (): Promise<void> => await Promise.resolve();
const FEATURES = ['--extra-experimental-features', 'nix-command flakes'];
/**
 * Runs Nix programs whose arguments all come from Floe: store paths, caches and keys. Refuses commands that evaluate or build:
 * {@link RepositoryCommand} runs those in the sandbox.
 */
export class NixCommand {
  readonly #deps: NixDeps;

  constructor(deps: NixDeps) {
    this.#deps = deps;
  }

  /** Folders that Nix writes to: its store, and its home with the caches. */
  get writtenFolders(): readonly string[] {
    const { HOME: home } = this.#deps.env;
    return [this.filePath(STORE), ...(home === undefined ? [] : [home])];
  }

  get logger(): Logger {
    return this.#deps.logger;
  }

  /** Where the files of a store path are on this disk. */
  filePath(path: StorePath | string): string {
    const { store } = this.#deps;
    return store?.kind === 'root' ? `${store.dir}${path}` : path;
  }

  /** Runs `nix`, `nix-store` or `nix-env` on the configured store. The caller checks the exit status. */
  async run(program: NixProgram, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { store } = this.#deps;
    const withStore = store?.kind === 'root' ? [...args, '--store', `local?root=${store.dir}`] : args;
    return await this.runBare(program, withStore, options);
  }

  /** As {@link run}, for commands that name their store themselves. */
  async runBare(program: NixProgram, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    if (!needsNoSandbox(program, args)) {
      throw new Error(`${program} ${args.join(' ')} may run untrusted code: run it in the sandbox`);
    }
    const { exec, env } = this.#deps;
    return await runNix(
      exec,
      program,
      args,
      { file: program, args: [], env: { ...env, LC_ALL: 'C' }, [Symbol.asyncDispose]: NOTHING_TO_REMOVE },
      options,
    );
  }
}

/** What an evaluation printed, and looked at. */
export interface Traced {
  readonly stdout: string;
  readonly looks: ReadonlySet<Look>;
}

export interface RepositoryNixDeps {
  readonly exec: Exec;
  readonly logger: Logger;
  readonly sandbox: Sandbox;
  /** Where the flake has its hosts, as `colmenaHive.nodes`. Default: `nixosConfigurations`. */
  readonly hostsAttribute?: string | undefined;
  /** The file that gives the hosts, where the repository is no flake. Default: it is one. */
  readonly hostsFile?: string | undefined;
  /** Whose turn it is to be evaluated, among all of this machine. Default: everybody's at once. */
  readonly gate?: EvaluationGate | undefined;
  /** How private inputs are fetched. Default: they are not. */
  readonly inputAccess?: readonly InputAccess[] | undefined;
  /** Asks the server of an input that could not be fetched whether it admits us. Default: that is not known. */
  readonly askRemote?: AskRemote | undefined;
}

/** Runs Nix on input from the repository (a flake, an expression, a derivation), in the sandbox. */
export class RepositoryCommand {
  readonly #deps: RepositoryNixDeps;
  #keptUrl: string | undefined;
  #keptRoot: string | undefined;

  constructor(deps: RepositoryNixDeps) {
    this.#deps = deps;
  }

  get hostsAttribute(): string {
    return this.#deps.hostsAttribute ?? HOSTS_ATTRIBUTE;
  }

  get hostsFile(): string | undefined {
    return this.#deps.hostsFile;
  }

  /** The expression of the outputs at an address: the flake's, or what the file of the hosts gives. */
  outputsAt(address: string): string {
    return this.hostsFile === undefined ? flakeAt(address) : outputsOfFile(address, this.hostsFile, this.hostsAttribute);
  }

  /** Folders that Nix writes to: its store, and the parent of its homes and temporary files. */
  get writtenFolders(): readonly string[] {
    return [STORE, this.#deps.sandbox.folder];
  }

  /**
   * Lets Nix copy a commit of the repository (`git+file://…?ref=…&rev=…`) to where all later commands find it. An optimisation:
   * if it fails, each command copies it, and reports the error.
   */
  async keepRepository(flakeUrl: string, options: CommandOptions): Promise<void> {
    const expression = fetchExpression(flakeUrl);
    if (expression === undefined || this.#keptUrl === flakeUrl) return;
    const { exec, sandbox } = this.#deps;
    const args = ['eval', '--raw', ...NOT_FROM_FLAKES, '--expr', expression];
    const fetch = async (): Promise<CommandResult> => await runNix(exec, 'nix', args, await sandbox.prepareKept('nix', []), options);
    let { isOk, result } = await fetch();
    // A killed Nix may leave an incomplete copy, which no later one repairs.
    if (!isOk && options.signal?.aborted !== true && (await this.forgetRepository())) ({ isOk, result } = await fetch());
    if (!isOk) return;
    this.#keptUrl = flakeUrl;
    this.#keptRoot = result.stdout.trim();
  }

  /** The store path of the repository's files at an address; undefined: it was not kept. */
  rootOf(flakeUrl: string): string | undefined {
    return this.#keptUrl === flakeUrl ? this.#keptRoot : undefined;
  }

  /** Removes Nix's copy of the repository, so that it is made again. Resolves to whether there was one. */
  async forgetRepository(): Promise<boolean> {
    this.#keptUrl = undefined;
    this.#keptRoot = undefined;
    const isFound = await this.#deps.sandbox.forgetKept();
    if (isFound) this.#deps.logger.warn("Nix's copy of the repository was damaged; it is made again");
    return isFound;
  }

  /** Runs `nix` or `nix-store`. The caller checks the exit status. */
  async run(program: 'nix' | 'nix-store', args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { exec, sandbox } = this.#deps;
    return await runNix(exec, program, [...args, ...NOT_FROM_FLAKES], await sandbox.prepare(program, []), options);
  }

  /**
   * Evaluates something with `nix` when it is its turn. The caller checks the exit status. `isWhole`: whether it took what others will, too; one that
   * ended early did not.
   */
  async evaluate(
    args: readonly string[],
    options: CommandOptions,
    isWhole: (run: CommandResult) => boolean = ({ isOk }) => isOk,
  ): Promise<CommandResult> {
    const all = ['eval', ...args];
    if (this.#deps.gate === undefined) return await this.run('nix', all, options);
    return await this.#deps.gate.pass(options.signal, async (onRunning) => {
      const result = await this.run('nix', all, { ...options, onRunning });
      // One that was ended at a limit says nothing of others.
      const peakBytes = result.result.end === 'exited' ? result.result.peakMemoryBytes : undefined;
      return { result, peakBytes, isWhole: isWhole(result) };
    });
  }

  /**
   * Evaluates under strace, which writes to standard error what is looked at below the store path `root`. Nix itself is silent there, so no
   * text of the repository gets into it. Undefined: it failed, or not all was recorded.
   */
  async trace(args: readonly string[], root: string, options: CommandOptions): Promise<Traced | undefined> {
    const { exec, sandbox } = this.#deps;
    await using launch = await sandbox.prepare('strace', traceArguments(root));
    const status = launch.readStatus?.();
    const [looks, tooMuch] = [new Set<Look>(), new AbortController()];
    let isWhole = true;
    const result = await exec(launch.file, [...launch.args, 'nix', 'eval', ...args, ...FEATURES, ...NOT_FROM_FLAKES], {
      env: launch.env,
      signal: AbortSignal.any([tooMuch.signal, ...(options.signal === undefined ? [] : [options.signal])]),
      timeoutMs: options.timeoutMs ?? NO_TIME_LIMIT,
      maxMemoryBytes: options.maxMemoryBytes,
      onStderrLine(line) {
        if (status?.take(line) === true) return;
        const found = looksOfLine(line, root);
        if (found === 'unclear' || looks.size > MAX_LOOKS) isWhole = false;
        else for (const look of found) looks.add(look);
        if (!isWhole) tooMuch.abort();
      },
    });
    return isWhole && result.end === 'exited' && result.exitCode === 0 ? { stdout: result.stdout, looks } : undefined;
  }

  /** How the input is fetched; undefined: without a login. */
  accessOf({ remote }: LockedInput): InputAccess | undefined {
    return accessOf(remote, this.#deps.inputAccess ?? []);
  }

  /** Whether the server of an input answers, and admits nobody with the login that there is. */
  async isRefused(input: LockedInput, signal: AbortSignal): Promise<boolean> {
    const { askRemote } = this.#deps;
    if (askRemote === undefined || input.remote === undefined) return false;
    const { remote, login } = await questionFor(input.remote, this.accessOf(input));
    return await askRemote(remote, login, signal);
  }

  /**
   * Fetches a locked input into the store, with the login for its server if there is one. Nothing else gets a login, and no code of the
   * flake runs here: the expression is Floe's own, and the lock file's entry is data in it.
   */
  async fetchInput(input: LockedInput, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
    const expression = `"\${builtins.fetchTree (builtins.fromJSON ${nixString(input.locked)})}"`;
    const all = ['eval', '--raw', ...args, '--expr', expression];
    const access = this.accessOf(input);
    if (access === undefined || input.remote === undefined) return await this.run('nix', all, options);
    const { exec, sandbox } = this.#deps;
    const belongings = await belongingsFor(input.remote, access);
    const command = await sandbox.prepareWith('nix', [], belongings);
    return await runNix(exec, 'nix', [...all, ...NOT_FROM_FLAKES], command, options, belongings.hidden);
  }
}

/** An expression that fetches `git+file://PATH?ref=REF&rev=REV` and runs nothing of it; undefined for another address. */
function fetchExpression(flakeUrl: string): string | undefined {
  const [, url, query] = /^git\+(file:[^?]+)\?(.*)$/.exec(gitAddress(flakeUrl)) ?? [];
  const { dir: _, ref, rev, ...more } = Object.fromEntries(new URLSearchParams(query));
  if (url === undefined || ref === undefined || rev === undefined || Object.keys(more).length > 0) return undefined;
  const attributes = { url, ref, rev };
  const written = Object.entries(attributes).map(([name, value]) => `${name} = ${nixString(value)};`);
  return `(builtins.fetchTree { type = "git"; shallow = false; ${written.join(' ')} }).outPath`;
}

/** A host that looks at more is taken to look at all. */
const MAX_LOOKS = 50_000;

/** Of strace: all calls with the name of a file, and listings of folders, also of threads; only those that are about `root`. */
function traceArguments(root: string): readonly string[] {
  if (!STORE_PATH_FORM.test(root)) throw new Error(`${root} is no store path`);
  const filter = `|exec grep -F -e ${root} 1>&2`;
  const calls = 'trace=%file,getdents,getdents64';
  return ['-f', '-qq', '--seccomp-bpf', '-y', '-e', calls, '-e', 'signal=none', '-o', filter, 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh'];
}

/** Overrides nix.conf: the settings of a flake are untrusted. (Ignoring them is also Nix's default.) */
const NOT_FROM_FLAKES = ['--option', 'accept-flake-config', 'false'];
/** The exit status by which a shell, and bubblewrap, report that a process ended by a signal. */
const SIGNAL_STATUS = 128;

async function runNix(
  exec: Exec,
  program: NixProgram,
  args: readonly string[],
  command: SandboxedCommand,
  options: CommandOptions,
  hidden: readonly string[] = [],
): Promise<CommandResult> {
  await using launch = command;
  const log = new FailureLog();
  const common = ['--log-format', 'internal-json', ...(program === 'nix' ? FEATURES : [])];
  const status = launch.readStatus?.();
  let result: ExecResult;
  try {
    result = await exec(launch.file, [...launch.args, ...args, ...common], {
      env: launch.env,
      signal: options.signal,
      // Building and downloading have no time limit of their own; callers end them by the signal.
      timeoutMs: options.timeoutMs ?? NO_TIME_LIMIT,
      maxMemoryBytes: options.maxMemoryBytes,
      maxStdoutBytes: options.maxStdoutBytes,
      onRunning: options.onRunning,
      onStderrLine(told) {
        const line = hidden.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), told);
        if (status?.take(line) === true) return;
        const event = parseLogLine(line);
        log.add(line, event);
        if (event !== undefined) options.onEvent?.(event);
      },
    });
  } catch (cause) {
    throw new FloeError('NIX_FAILED', `${launch.file} could not be started: is it installed and in PATH?`, { retryable: true, cause });
  }
  if (status !== undefined && result.end === 'exited') {
    if (!status.hasRun())
      throw new FloeError('NIX_FAILED', `the sandbox could not be created: ${log.plainLines.at(-1) ?? 'no reason given'}`, { retryable: true });
    if (result.exitCode > SIGNAL_STATUS) result = { ...result, end: 'killed', exitCode: -1, signal: signalOf(result.exitCode - SIGNAL_STATUS) };
  }
  if (hidden.length > 0) result = { ...result, stderr: '' };
  return { result, log, isOk: result.end === 'exited' && result.exitCode === 0 };
}

function signalOf(number: number): ExecResult['signal'] {
  const [name = null] = Object.entries(constants.signals).find(([, each]) => each === number) ?? [];
  return name as ExecResult['signal'];
}
