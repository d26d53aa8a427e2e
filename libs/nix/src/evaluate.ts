import { HOST_NAME_FORM, STORE_PATH_FORM, timeLimit, type HostName, type StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { CommandResult, RepositoryCommand } from './command.ts';
import { commandFailed, explain, isNixUnwell, type NixErrorCode } from './failure.ts';
import { nixString } from './nix-string.ts';

export interface HostEvaluated {
  readonly kind: 'evaluated';
  readonly host: HostName;
  readonly drvPath: string;
  readonly toplevel: StorePath;
  /** As Nix names it: `x86_64-linux`. */
  readonly system: string;
  readonly durationMs: number;
}
export interface HostFailed {
  readonly kind: 'failed';
  readonly host: HostName;
  readonly code: Extract<NixErrorCode, `EVALUATION_${string}`>;
  /** For people: cause first. */
  readonly error: string;
  readonly durationMs: number;
}
export type HostEvaluation = HostEvaluated | HostFailed;

export interface EvaluateOptions {
  /** Processes at once. */
  readonly concurrency: number;
  /** Of one host. */
  readonly timeoutMs: number;
  /** Of one host's process. */
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
  readonly onResult: (result: HostEvaluation) => void;
}

export interface ListOptions {
  readonly timeoutMs: number;
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
}

export interface HostList {
  readonly hosts: readonly HostName[];
  /** Names in `nixosConfigurations` that no machine can have; they are left out. */
  readonly invalid: readonly string[];
}

/** Parallel evaluations fight over the cache's SQLite file: it costs more than it saves. */
const NO_EVAL_CACHE = ['--option', 'eval-cache', 'false'];

const Names = v.nullable(v.array(v.string()));
const Evaluated = v.object({
  drv: v.pipe(v.string(), v.regex(/^\/nix\/store\/.*\.drv$/)),
  out: v.pipe(v.string(), v.regex(STORE_PATH_FORM)),
  system: v.string(),
});

/**
 * The names in the flake's `nixosConfigurations`, without evaluating any host. Throws FLAKE_INVALID (missing, not
 * parseable), FLAKE_HAS_NO_HOSTS, and retryable NIX_FAILED, NIX_STOPPED.
 */
export async function listHosts(command: RepositoryCommand, flakeUrl: string, options: ListOptions): Promise<HostList> {
  const expression = `let flake = builtins.getFlake ${nixString(flakeUrl)}; in if flake ? nixosConfigurations then builtins.attrNames flake.nixosConfigurations else null`;
  const list = async (): Promise<CommandResult> => await command.run('nix', ['eval', '--json', ...NO_EVAL_CACHE, '--expr', expression], options);
  const first = await list();
  // A Nix that was killed may leave its copy of the repository half made, which no later one mends.
  const isCopyBroken = !first.isOk && first.log.messages.some(({ text }) => text.includes("program 'git' failed"));
  if (isCopyBroken) await command.forgetRepositories();
  const { result, log, isOk } = isCopyBroken ? await list() : first;
  if (!isOk) {
    if (result.end !== 'exited' || isNixUnwell(log) || log.messages.length === 0) throw commandFailed('reading the flake', log, result);
    throw new FloeError('FLAKE_INVALID', `the flake cannot be read: ${explain(log, result)}`);
  }
  const names = parseAnswer(Names, result.stdout);
  if (names === null) {
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'the flake has no output nixosConfigurations: add one attribute per host, named as the host');
  }
  if (names.length === 0)
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'nixosConfigurations of the flake is empty: add one attribute per host, named as the host');
  const hosts = names.filter((name): name is HostName => HOST_NAME_FORM.test(name));
  return { hosts, invalid: names.filter((name) => !HOST_NAME_FORM.test(name)) };
}

/**
 * Evaluates each host in a process of its own, at most `concurrency` at a time, and tells of each as it ends. A host
 * that fails, takes too long or too much memory is a result; the others go on. Returns early when `signal` aborts;
 * hosts that were not finished then have no result. Throws retryable errors when Nix itself cannot work.
 */
export async function evaluateHosts(
  command: RepositoryCommand,
  flakeUrl: string,
  hosts: readonly HostName[],
  options: EvaluateOptions,
): Promise<void> {
  const queue = [...hosts];
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  async function worker(): Promise<void> {
    for (let host = queue.shift(); host !== undefined && !signal.aborted; host = queue.shift()) {
      const evaluation = await evaluateHost(command, flakeUrl, host, { ...options, signal });
      if (evaluation !== undefined) options.onResult(evaluation);
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

async function evaluateHost(
  command: RepositoryCommand,
  flakeUrl: string,
  host: HostName,
  { signal, timeoutMs, maxMemoryBytes }: EvaluateOptions,
): Promise<HostEvaluation | undefined> {
  const toplevel = `(builtins.getFlake ${nixString(flakeUrl)}).nixosConfigurations.${nixString(host)}.config.system.build.toplevel`;
  // An attribute *called* outPath would make Nix print the whole set as that string.
  const expression = `let t = ${toplevel}; in { drv = t.drvPath; out = t.outPath; system = t.system; }`;
  const { result, log, isOk } = await command.run('nix', ['eval', '--json', ...NO_EVAL_CACHE, '--expr', expression], {
    signal,
    timeoutMs,
    maxMemoryBytes,
  });
  if (result.end === 'aborted') return undefined;
  const { durationMs } = result;
  const fail = (code: HostFailed['code'], error: string): HostFailed => ({ kind: 'failed', host, code, error, durationMs });
  if (result.end === 'timed-out') {
    return fail('EVALUATION_TIMED_OUT', `evaluating it took longer than ${timeLimit(timeoutMs)} and was stopped`);
  }
  if (result.end === 'out-of-memory' || result.end === 'killed' || hasNoMemory(log.messages.map(({ text }) => text))) {
    const limit = `${Math.round(maxMemoryBytes / 1024 ** 2)} MiB`;
    return fail('EVALUATION_OUT_OF_MEMORY', `evaluating it needs more memory than there is (the limit is ${limit})`);
  }
  if (!isOk) {
    if (isNixUnwell(log)) throw commandFailed(`evaluating ${host}`, log, result);
    return fail('EVALUATION_FAILED', explain(log, result));
  }
  const { drv, out, system } = parseAnswer(Evaluated, result.stdout);
  return { kind: 'evaluated', host, drvPath: drv, toplevel: out as StorePath, system, durationMs };
}

function hasNoMemory(messages: readonly string[]): boolean {
  return messages.some((text) => text === 'out of memory' || text.includes('std::bad_alloc') || text.includes('Cannot allocate memory'));
}

/** Parses what a Nix command printed as JSON; what does not fit is NIX_ANSWER_UNEXPECTED. */
export function parseAnswer<Schema extends v.GenericSchema>(schema: Schema, stdout: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(stdout));
  } catch (cause) {
    throw new FloeError('NIX_ANSWER_UNEXPECTED', `Nix printed something unexpected: ${stdout.slice(0, 200)}`, { cause });
  }
}
