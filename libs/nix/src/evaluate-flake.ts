import { timeLimit } from '@floe/model';
import { FloeError } from '@floe/runtime';
import { NO_EVAL_CACHE } from './answer.ts';
import type { CommandResult, RepositoryCommand } from './command.ts';
import { diagnose } from './diagnose.ts';
import { commandFailed, explain, serverUnwell, stopped } from './failure.ts';
import { lockProblem, readFlakeSource } from './flake-source.ts';
import { describeAway, lookForInputs } from './inputs-away.ts';

export interface ReadLimits {
  readonly timeoutMs: number;
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
}

export interface FlakeQuestion extends ReadLimits {
  /** For messages: "reading the flake". */
  readonly what: string;
  /** About `flake`, the outputs. */
  readonly expression: string;
  /** An answer that is longer ends the command. */
  readonly maxAnswerBytes?: number | undefined;
}

/** A copy of the repository that was damaged, and inputs that were missing. */
const MAX_MENDED = 2;

/**
 * Asks something about the outputs of the flake, in JSON. Looks why it failed, and asks again when that may help. A result that failed
 * nevertheless is the flake's own error. Throws FLAKE_LOCK_INVALID, INPUT_REFUSED, and retryable INPUT_AWAY, DISK_FULL, NIX_STORE_AWAY, NIX_FAILED,
 * NIX_STOPPED.
 */
export async function evaluateFlake(command: RepositoryCommand, flakeUrl: string, question: FlakeQuestion): Promise<CommandResult> {
  const { expression, maxAnswerBytes: maxStdoutBytes, timeoutMs, maxMemoryBytes, signal } = question;
  const limits = { timeoutMs, maxMemoryBytes, signal };
  const args = ['eval', '--json', ...NO_EVAL_CACHE, '--expr', `let flake = ${command.outputsAt(flakeUrl)}; in ${expression}`];
  const ask = async (): Promise<CommandResult> => await command.run('nix', args, { ...limits, maxStdoutBytes });
  await command.keepRepository(flakeUrl, limits);
  let asked = await ask();
  for (let mended = 0; !asked.isOk && mended < MAX_MENDED && (await mend(command, flakeUrl, asked, question)); mended += 1) asked = await ask();
  return asked;
}

/** Finds out why the question failed. Throws the cause when it is known; true when a retry may succeed. */
async function mend(command: RepositoryCommand, flakeUrl: string, { result, log }: CommandResult, question: FlakeQuestion): Promise<boolean> {
  const { what, ...limits } = question;
  const diagnosis = await diagnose(command, result, log);
  if (diagnosis.kind === 'stopped') throw stopped(what);
  if (diagnosis.kind === 'server-unwell') throw serverUnwell(what, diagnosis.health, explain(log, result));
  if (diagnosis.kind !== 'own') return false;
  const source = await readFlakeSource(command, flakeUrl, limits);
  if (limits.signal.aborted) throw stopped(what);
  if (source === undefined) {
    // A killed Nix may leave an incomplete copy of the repository, which no later one repairs.
    if (await command.forgetRepository()) return true;
    throw commandFailed(`${what}: Nix cannot read the server's copy of the repository`, log, result);
  }
  const problem = await lockProblem(command, flakeUrl, source, limits);
  if (problem !== undefined) throw new FloeError('FLAKE_LOCK_INVALID', problem);
  const { away, arrived } = await lookForInputs(command, source.inputs ?? [], limits);
  if (limits.signal.aborted) throw stopped(what);
  // They may be all that is asked for.
  if (arrived > 0) return true;
  if (command.hostsFile !== undefined && log.hasDownloaded)
    throw new FloeError('INPUT_AWAY', `${what}: ${explain(log, result)}`, { retryable: true });
  if (away.length === 0) return false;
  const { code, error } = describeAway(away);
  throw new FloeError(code, error, { retryable: code === 'INPUT_AWAY' });
}

/** Why the flake could not be asked, for people: "listing its hosts took longer than 5 min and was stopped". */
export function whyNot({ result, log }: CommandResult, { timeoutMs, maxMemoryBytes }: ReadLimits, doing: string, otherwise: string): string {
  if (result.end === 'timed-out') return `${doing} took longer than ${timeLimit(timeoutMs)} and was stopped`;
  const isTooLarge = result.end === 'out-of-memory' || log.hasRunOutOfMemory;
  if (isTooLarge) return `${doing} needs more memory than there is (the limit is ${Math.round(maxMemoryBytes / 1024 ** 2)} MiB)`;
  return `${otherwise}: ${explain(log, result)}`;
}
