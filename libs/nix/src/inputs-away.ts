import { nixString } from '@floe/runtime';
import { storableText } from '@floe/model';
import { NO_EVAL_CACHE } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { explain } from './failure.ts';
import type { LockedInput } from './flake-lock.ts';
import type { ProbeLimits } from './flake-source.ts';

/** An input of the flake that cannot be fetched now. */
export interface InputAway {
  readonly name: string;
  readonly url: string;
  /** For people. */
  readonly reason: string;
}

export interface InputsLooked {
  readonly away: readonly InputAway[];
  /** How many were missing and are there now: what failed for want of them may work. */
  readonly arrived: number;
}

const TIMEOUT_MS = 120_000;
/** Of the whole look: after it, what was not looked at yet is looked at the next time. */
const LOOK_MS = 5 * 60_000;
/** Enough to know what is waited for. */
const MAX_AWAY = 3;
const REASON_CHARACTERS = 300;
const AT_ONCE = 4;
const PATHS_AT_ONCE = 200;
const ONE_TRY = ['--option', 'connect-timeout', '15', '--option', 'stalled-download-timeout', '30', '--option', 'download-attempts', '1'];

/**
 * Which of the locked inputs are not in the store and do not come either: each of them is fetched by itself. So it is
 * known, and not read out of an error's words, that a source is away, and which.
 */
export async function lookForInputs(command: RepositoryCommand, inputs: readonly LockedInput[], limits: ProbeLimits): Promise<InputsLooked> {
  const missing = await missingInputs(command, inputs, limits);
  const away: InputAway[] = [];
  const queue = [...missing];
  const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(LOOK_MS)]);
  let arrived = 0;
  async function worker(): Promise<void> {
    for (let input = queue.shift(); input !== undefined && away.length < MAX_AWAY && !signal.aborted; input = queue.shift()) {
      const reason = await fetchInput(command, input, { ...limits, signal });
      if (reason === undefined) arrived += 1;
      if (reason !== undefined) away.push({ name: input.name, url: input.url, reason });
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { away: away.slice(0, MAX_AWAY), arrived };
}

async function missingInputs(command: RepositoryCommand, inputs: readonly LockedInput[], limits: ProbeLimits): Promise<LockedInput[]> {
  const byPath = new Map(inputs.flatMap((input) => (input.storePath === undefined ? [] : [[input.storePath, input] as const])));
  const paths = [...byPath.keys()];
  const missing: LockedInput[] = [];
  for (let start = 0; start < paths.length; start += PATHS_AT_ONCE) {
    const some = paths.slice(start, start + PATHS_AT_ONCE);
    const { result } = await command.run('nix-store', ['--check-validity', '--print-invalid', ...some], { ...limits, timeoutMs: TIMEOUT_MS });
    for (const line of result.stdout.split('\n')) {
      const input = byPath.get(line);
      if (input !== undefined) missing.push(input);
    }
  }
  return missing;
}

/** Says why it does not come; undefined when it came. */
async function fetchInput(command: RepositoryCommand, { locked }: LockedInput, limits: ProbeLimits): Promise<string | undefined> {
  const expression = `"\${builtins.fetchTree (builtins.fromJSON ${nixString(locked)})}"`;
  const args = ['eval', '--raw', ...NO_EVAL_CACHE, ...ONE_TRY, '--expr', expression];
  const { result, log, isOk } = await command.run('nix', args, { ...limits, timeoutMs: TIMEOUT_MS });
  if (isOk) return undefined;
  if (result.end === 'timed-out') return `nothing came within ${TIMEOUT_MS / 1000} s`;
  // What git itself says stands outside of Nix's format, and says more than Nix's word on it.
  return storableText([...log.plainLines.slice(-2), explain(log, result)].join('; '), REASON_CHARACTERS);
}

/** For people: what is waited for. */
export function describeAway(away: readonly InputAway[]): string {
  const inputs = away.map(({ name, url, reason }) => `input ${name} (${url}): ${reason}`);
  return `waiting for ${inputs.join('; ')}`;
}
