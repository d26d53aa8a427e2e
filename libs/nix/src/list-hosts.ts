import { HOST_NAME_FORM, timeLimit, type HostName } from '@floe/model';
import { FloeError, nixString } from '@floe/runtime';
import * as v from 'valibot';
import { NO_EVAL_CACHE, tryParseAnswer } from './answer.ts';
import type { CommandResult, RepositoryCommand } from './command.ts';
import { diagnose } from './diagnose.ts';
import { commandFailed, explain, serverUnwell, stopped } from './failure.ts';
import { lockProblem, readFlakeSource } from './flake-source.ts';
import { describeAway, lookForInputs } from './inputs-away.ts';

export interface ListOptions {
  readonly timeoutMs: number;
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
}

export interface HostList {
  readonly hosts: readonly HostName[];
  /** Names in `nixosConfigurations` that are not valid host names; they are left out. Only the first of many. */
  readonly invalid: readonly string[];
  /** Names that differ from another only in case, which DNS does not distinguish: all of them are left out. */
  readonly clashing: readonly HostName[];
}

const WHAT = 'reading the flake';
/** One line of Nix can define any number of hosts, and each takes a row and a process. Ten times the largest fleet that was measured. */
const MAX_HOSTS = 10_000;
const MAX_INVALID = 20;
const Names = v.nullable(v.array(v.string()));

/**
 * The names in the flake's `nixosConfigurations`, without evaluating any host. Throws FLAKE_INVALID (missing, not
 * parseable), FLAKE_LOCK_INVALID, FLAKE_HAS_NO_HOSTS, and retryable INPUT_AWAY, DISK_FULL, NIX_STORE_AWAY, NIX_FAILED,
 * NIX_STOPPED.
 */
export async function listHosts(command: RepositoryCommand, flakeUrl: string, limits: ListOptions): Promise<HostList> {
  const expression = `let flake = builtins.getFlake ${nixString(flakeUrl)}; in if flake ? nixosConfigurations then builtins.attrNames flake.nixosConfigurations else null`;
  const list = async (): Promise<CommandResult> => await command.run('nix', ['eval', '--json', ...NO_EVAL_CACHE, '--expr', expression], limits);
  await command.keepRepository(flakeUrl, limits);
  let listed = await list();
  if (!listed.isOk && (await mendListing(command, flakeUrl, listed, limits))) listed = await list();
  if (!listed.isOk) throw invalid(listed, limits);
  const names = tryParseAnswer(Names, listed.result.stdout);
  if (names === undefined) throw new FloeError('FLAKE_INVALID', 'the names in nixosConfigurations are not a list of names');
  if (names === null)
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'the flake has no output nixosConfigurations: add one attribute per host, named as the host');
  if (names.length === 0)
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'nixosConfigurations of the flake is empty: add one attribute per host, named as the host');
  if (names.length > MAX_HOSTS)
    throw new FloeError('FLAKE_INVALID', `nixosConfigurations has ${names.length} names: ${MAX_HOSTS} hosts are the most`);
  const valid = names.filter((name): name is HostName => HOST_NAME_FORM.test(name));
  const byName = Map.groupBy(valid, (name) => name.toLowerCase());
  const isAlone = (name: HostName): boolean => byName.get(name.toLowerCase())?.length === 1;
  return {
    hosts: valid.filter(isAlone),
    invalid: names.filter((name) => !HOST_NAME_FORM.test(name)).slice(0, MAX_INVALID),
    clashing: valid.filter((name) => !isAlone(name)),
  };
}

/** Finds out why the listing failed. Throws the cause when it is known; true when a retry may succeed. */
async function mendListing(command: RepositoryCommand, flakeUrl: string, { result, log }: CommandResult, limits: ListOptions): Promise<boolean> {
  const diagnosis = await diagnose(command, result, log);
  if (diagnosis.kind === 'stopped') throw stopped(WHAT);
  if (diagnosis.kind === 'server-unwell') throw serverUnwell(WHAT, diagnosis.health, explain(log, result));
  if (diagnosis.kind !== 'own') return false;
  const source = await readFlakeSource(command, flakeUrl, limits);
  if (limits.signal.aborted) throw stopped(WHAT);
  if (source === undefined) {
    // A killed Nix may leave an incomplete copy of the repository, which no later one repairs.
    if (await command.forgetRepository()) return true;
    throw commandFailed(`${WHAT}: Nix cannot read the server's copy of the repository`, log, result);
  }
  const problem = await lockProblem(command, flakeUrl, source, limits);
  if (problem !== undefined) throw new FloeError('FLAKE_LOCK_INVALID', problem);
  const { away, arrived } = await lookForInputs(command, source.inputs ?? [], limits);
  if (limits.signal.aborted) throw stopped(WHAT);
  if (away.length > 0) throw new FloeError('INPUT_AWAY', describeAway(away), { retryable: true });
  return arrived > 0;
}

function invalid({ result, log }: CommandResult, { timeoutMs, maxMemoryBytes }: ListOptions): FloeError {
  const isTooLarge = result.end === 'out-of-memory' || log.hasRunOutOfMemory;
  const reason =
    result.end === 'timed-out'
      ? `listing its hosts took longer than ${timeLimit(timeoutMs)} and was stopped`
      : isTooLarge
        ? `listing its hosts needs more memory than there is (the limit is ${Math.round(maxMemoryBytes / 1024 ** 2)} MiB)`
        : `the flake cannot be read: ${explain(log, result)}`;
  return new FloeError('FLAKE_INVALID', reason);
}
