import { storableText } from '@floe/model';
import { NO_EVAL_CACHE } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { explain } from './failure.ts';
import type { LockedInput } from './flake-lock.ts';
import { refusalOf } from './input-refusal.ts';
import type { ProbeLimits } from './flake-source.ts';

/** An input of the flake that cannot be fetched now. */
export interface InputAway {
  readonly name: string;
  readonly url: string;
  /** For people. */
  readonly reason: string;
  /** What to do about it, if it will not come by itself. */
  readonly advice: string | undefined;
}

export interface InputsLooked {
  readonly away: readonly InputAway[];
  /** How many inputs were missing and have been fetched: what failed because of them may succeed now. */
  readonly arrived: number;
}

const TIMEOUT_MS = 120_000;
/** Time limit of the whole check; the next check continues with the rest. */
const LOOK_MS = 5 * 60_000;
/** Enough for a message. */
const MAX_AWAY = 3;
const REASON_CHARACTERS = 400;
/** git says in its last three lines that SSH failed, and SSH before that why. */
const GIT_LINES = 4;
const AT_ONCE = 4;
const PATHS_AT_ONCE = 200;
const ONE_TRY = ['--option', 'connect-timeout', '15', '--option', 'stalled-download-timeout', '30', '--option', 'download-attempts', '1'];

/**
 * Which of the locked inputs are missing in the store and cannot be fetched: each is fetched separately. So no error text is
 * needed to know that a source is unreachable, and which.
 */
export async function lookForInputs(command: RepositoryCommand, inputs: readonly LockedInput[], limits: ProbeLimits): Promise<InputsLooked> {
  const missing = await missingInputs(command, inputs, limits);
  const away: InputAway[] = [];
  const refused: InputAway[] = [];
  // What can be fetched with a login first: too many that cannot be fetched end the look.
  const queue = missing.toSorted((a, b) => Number(command.accessOf(a) === undefined) - Number(command.accessOf(b) === undefined));
  const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(LOOK_MS)]);
  let arrived = 0;
  async function worker(): Promise<void> {
    for (let input = queue.shift(); input !== undefined && away.length < MAX_AWAY && !signal.aborted; input = queue.shift()) {
      const reason = await fetchInput(command, input, { ...limits, signal });
      if (reason === undefined) {
        arrived += 1;
        continue;
      }
      const advice = await refusalOf(command, input, signal);
      (advice === undefined ? away : refused).push({ name: input.name, url: input.url, reason, advice });
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { away: [...away, ...refused].slice(0, MAX_AWAY), arrived };
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

/** Why it cannot be fetched; undefined: it was fetched. */
async function fetchInput(command: RepositoryCommand, input: LockedInput, limits: ProbeLimits): Promise<string | undefined> {
  const { result, log, isOk } = await command.fetchInput(input, [...NO_EVAL_CACHE, ...ONE_TRY], { ...limits, timeoutMs: TIMEOUT_MS });
  if (isOk) return undefined;
  if (result.end === 'timed-out') return `no answer within ${TIMEOUT_MS / 1000} s`;
  // git's own messages are not in Nix's format, and say more than Nix's message about it.
  return storableText([...log.plainLines.slice(-GIT_LINES), explain(log, result)].join('; '), REASON_CHARACTERS);
}

/**
 * What to say of inputs that are not there. One that may come by itself is worth waiting for, also when others will not: nobody knows which of
 * them are needed.
 */
export function describeAway(away: readonly InputAway[]): { readonly code: 'INPUT_AWAY' | 'INPUT_REFUSED'; readonly error: string } {
  const isAway = away.some(({ advice }) => advice === undefined);
  const inputs = away.map(({ name, url, reason, advice }) => `input ${name} (${url}): ${advice === undefined ? reason : `${advice} (${reason})`}`);
  return { code: isAway ? 'INPUT_AWAY' : 'INPUT_REFUSED', error: `${isAway ? 'waiting for' : 'cannot fetch'} ${inputs.join('; ')}` };
}
