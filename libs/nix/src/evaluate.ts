import { timeLimit, type HostName } from '@floe/model';
import { NO_EVAL_CACHE } from './answer.ts';
import type { CommandResult, RepositoryCommand } from './command.ts';
import { diagnose } from './diagnose.ts';
import { cleanText, explain, serverUnwell } from './failure.ts';
import { configOf, hostExpression, isNotOurs, isOursAnswered, oursExpression, readHostAnswer, type HostAnswer } from './host-answer.ts';
import { readFlakeSource, type FlakeSource } from './flake-source.ts';
import { ImportedFiles, NAMES_IMPORTS } from './imported-files.ts';
import type { LogEvent } from './internal-json.ts';
import { describeAway, lookForInputs, type InputsLooked } from './inputs-away.ts';
import { describePlaces, isElsewhere } from './places.ts';

interface Common {
  readonly host: HostName;
  readonly durationMs: number;
  /** Output of `builtins.trace` and `warn` in the host's expressions. Bounded. */
  readonly warnings: readonly string[];
  /** The files of the repository that were imported for it, from its root. Undefined: not known. */
  readonly imported?: readonly string[] | undefined;
}
export type HostEvaluated = Common & HostAnswer;
export interface HostFailed extends Common {
  readonly kind: 'failed';
  readonly code:
    | 'EVALUATION_FAILED'
    | 'EVALUATION_TIMED_OUT'
    | 'EVALUATION_OUT_OF_MEMORY'
    | 'EVALUATION_UNSUPPORTED'
    | 'INPUT_AWAY'
    | 'INPUT_REFUSED';
  /** For people, the cause first. */
  readonly error: string;
  /** It may succeed later without a change of the repository. */
  readonly isRetryable: boolean;
  /** Its configuration is broken in a way that it does not even say whether it is Floe's. Only of hosts that are asked that. */
  readonly isSilent?: boolean | undefined;
}
/** It says that it does not run Floe's agent, and its system was not evaluated. */
export interface HostNotOurs extends Common {
  readonly kind: 'not-ours';
}
export type HostEvaluation = HostEvaluated | HostFailed | HostNotOurs;

export interface EvaluateOptions {
  /** So many processes at the same time at most; fewer where the command's gate admits fewer. */
  readonly concurrency: number;
  /** Time limit of one host. */
  readonly timeoutMs: number;
  /** Memory limit of one host's process. */
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
  readonly onResult: (result: HostEvaluation) => void;
  /** Asked of each host: true when its own configuration is to say whether it is Floe's. Default: all are. */
  readonly isAsked?: ((host: HostName) => boolean) | undefined;
}

/**
 * Evaluates each host in its own process, at most `concurrency` at the same time, and reports each as it finishes. A host that
 * fails, or exceeds its time or memory, is a result; the others continue. Returns early when `signal` aborts; unfinished hosts
 * then have no result. Throws retryable errors when Nix itself fails.
 */
export async function evaluateHosts(
  command: RepositoryCommand,
  flakeUrl: string,
  hosts: readonly HostName[],
  options: EvaluateOptions,
): Promise<void> {
  const queue = [...hosts];
  await command.keepRepository(flakeUrl, options);
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const evaluation = new Evaluation(command, flakeUrl, { ...options, signal });
  async function worker(): Promise<void> {
    for (let host = queue.shift(); host !== undefined && !signal.aborted; host = queue.shift()) {
      const result = await evaluation.evaluate(host);
      if (result !== undefined) options.onResult(result);
    }
  }
  const workers = Array.from({ length: Math.max(1, Math.min(options.concurrency, hosts.length)) }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    failed.abort();
    await Promise.allSettled(workers);
    throw error;
  }
}

interface HostRun extends CommandResult {
  readonly imported: readonly string[] | undefined;
}

/** The hosts of one revision. When one fails, its inputs are checked once for all of them. */
class Evaluation {
  readonly #command: RepositoryCommand;
  readonly #flakeUrl: string;
  readonly #options: EvaluateOptions;
  #source: Promise<FlakeSource | undefined> | undefined;
  #inputs: Promise<InputsLooked> | undefined;

  constructor(command: RepositoryCommand, flakeUrl: string, options: EvaluateOptions) {
    this.#command = command;
    this.#flakeUrl = flakeUrl;
    this.#options = options;
  }

  /** Undefined when it was stopped. */
  async evaluate(host: HostName): Promise<HostEvaluation | undefined> {
    const first = await this.#run(host);
    if (first.isOk || first.result.end !== 'exited') return await this.#outcome(host, first);
    const diagnosis = await diagnose(this.#command, first.result, first.log);
    if (diagnosis.kind !== 'own') return await this.#outcome(host, first);
    const looked = await this.#lookForInputs();
    if (this.#options.signal.aborted) return undefined;
    // An input that was missing has become available; it may be all that this host needs.
    if (looked.arrived > 0) return await this.#outcome(host, await this.#run(host));
    return await this.#outcome(host, first);
  }

  async #run(host: HostName, ...more: readonly string[]): Promise<HostRun> {
    const isAsked = this.#isAsked(host);
    const expression = hostExpression(configOf(this.#command, this.#flakeUrl, host), isAsked);
    const root = this.#command.rootOf(this.#flakeUrl);
    const imported = root === undefined ? undefined : new ImportedFiles(root);
    const args = imported === undefined ? more : [...more, ...NAMES_IMPORTS];
    const isWhole = ({ isOk, result }: CommandResult): boolean => isOk && !(isAsked && isNotOurs(result.stdout));
    const run = await this.#ask(expression, args, isWhole, (event) => imported?.take(event));
    return { ...run, imported: imported?.files };
  }

  async #ask(
    expression: string,
    more: readonly string[],
    isWhole: (run: CommandResult) => boolean,
    onEvent?: (event: LogEvent) => void,
  ): Promise<CommandResult> {
    const { signal, timeoutMs, maxMemoryBytes } = this.#options;
    const args = ['--json', ...NO_EVAL_CACHE, ...more, '--expr', expression];
    return await this.#command.evaluate(args, { signal, timeoutMs, maxMemoryBytes, onEvent }, isWhole);
  }

  #isAsked(host: HostName): boolean {
    return this.#options.isAsked?.(host) === true;
  }

  /** One that says it without its system is Floe's, or nothing that says so: the error is its system's. */
  async #isSilent(host: HostName): Promise<boolean> {
    if (!this.#isAsked(host)) return false;
    const asked = await this.#ask(oursExpression(configOf(this.#command, this.#flakeUrl, host)), [], () => false);
    return !asked.isOk || !isOursAnswered(asked.result.stdout);
  }

  async #outcome(host: HostName, run: HostRun): Promise<HostEvaluation | undefined> {
    const { result, log, imported } = run;
    const common = { host, durationMs: result.durationMs, warnings: log.warnings.map(cleanText), imported };
    const fail = (code: HostFailed['code'], error: string, isSilent = false): HostFailed => ({
      ...common,
      kind: 'failed',
      code,
      error,
      isRetryable: code === 'INPUT_AWAY',
      ...(isSilent ? { isSilent } : {}),
    });
    if (run.isOk) {
      if (this.#isAsked(host) && isNotOurs(result.stdout)) return { ...common, kind: 'not-ours' };
      const answer = readHostAnswer(result.stdout);
      return answer.kind === 'evaluated' ? { ...common, ...answer } : fail(answer.code, answer.error);
    }
    const diagnosis = await diagnose(this.#command, result, log);
    switch (diagnosis.kind) {
      case 'stopped':
        return undefined;
      case 'timed-out':
        return fail('EVALUATION_TIMED_OUT', `evaluating it took longer than ${timeLimit(this.#options.timeoutMs)} and was stopped`);
      case 'out-of-memory': {
        const limit = `${Math.round(this.#options.maxMemoryBytes / 1024 ** 2)} MiB`;
        return fail('EVALUATION_OUT_OF_MEMORY', `evaluating it needs more memory than there is (the limit is ${limit})`);
      }
      case 'server-unwell':
        throw serverUnwell(`evaluating ${host}`, diagnosis.health, explain(log, result));
      case 'own': {
        const { away } = await this.#lookForInputs();
        const [error, isSilent] = [await this.#explain(host, run), await this.#isSilent(host)];
        const isPinAway = this.#command.hostsFile !== undefined && log.hasDownloaded;
        if (away.length === 0) return fail(isPinAway ? 'INPUT_AWAY' : 'EVALUATION_FAILED', error, isSilent);
        const inputs = describeAway(away);
        return fail(inputs.code, `${inputs.error}\n${error}`, isSilent);
      }
    }
  }

  /** The error with its locations. If they are in an input, with the last location in the fleet's own files. */
  async #explain(host: HostName, { result, log }: CommandResult): Promise<string> {
    const source = await this.#readSource();
    if (source === undefined || !log.messages.some(({ place }) => place !== undefined && isElsewhere(place, source))) {
      return explain(log, result);
    }
    const traced = await this.#run(host, '--show-trace');
    const isSame = !traced.isOk && traced.log.messages.length > 0;
    return isSame ? explain(traced.log, traced.result, describePlaces(source, traced.log)) : explain(log, result, describePlaces(source, log));
  }

  #readSource(): Promise<FlakeSource | undefined> {
    this.#source ??= readFlakeSource(this.#command, this.#flakeUrl, this.#options);
    return this.#source;
  }

  #lookForInputs(): Promise<InputsLooked> {
    this.#inputs ??= this.#readSource().then(async (source) => await lookForInputs(this.#command, source?.inputs ?? [], this.#options));
    return this.#inputs;
  }
}
