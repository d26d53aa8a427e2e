import { storableText } from '@floe/model';
import * as v from 'valibot';
import { NO_EVAL_CACHE, tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { diagnose } from './diagnose.ts';
import { folderOf, gitAddress } from './flake-address.ts';
import { MAX_LOCK_CHARACTERS, readLock, type LockedInput } from './flake-lock.ts';

/** A flake's files in the store, and its parsed lock file. Reading them runs no code of the flake. */
export interface FlakeSource {
  /** `/nix/store/…-source`, with the flake's folder behind it where it is not at the top. */
  readonly path: string;
  readonly hasLock: boolean;
  /** Undefined when the lock file is missing or unreadable. */
  readonly inputs: readonly LockedInput[] | undefined;
}

/** Questions about the flake run its code, in the sandbox. */
export interface ProbeLimits {
  readonly maxMemoryBytes: number;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 120_000;
const Source = v.object({ path: v.string(), hasLock: v.boolean() });
const Names = v.array(v.string());

/**
 * Undefined when Nix cannot read the repository, or fails itself. The content of the lock file is read separately, so that it
 * cannot make the repository look unreadable.
 */
export async function readFlakeSource(command: RepositoryCommand, flakeUrl: string, limits: ProbeLimits): Promise<FlakeSource | undefined> {
  const evaluate = async (expression: string) =>
    await command.run('nix', ['eval', '--json', ...NO_EVAL_CACHE, '--expr', `${folderOf(flakeUrl)} ${expression}`], {
      ...limits,
      timeoutMs: TIMEOUT_MS,
    });
  const asked = await evaluate('{ path = builtins.unsafeDiscardStringContext folder; hasLock = builtins.pathExists (folder + "/flake.lock"); }');
  const source = asked.isOk ? tryParseAnswer(Source, asked.result.stdout) : undefined;
  if (source === undefined || !source.hasLock) return source === undefined ? undefined : { ...source, inputs: undefined };
  const read = await evaluate('builtins.readFile (folder + "/flake.lock")');
  if (!read.isOk && (await diagnose(command, read.result, read.log)).kind !== 'own') return undefined;
  const text = read.isOk ? tryParseAnswer(v.string(), read.result.stdout) : undefined;
  return { ...source, inputs: text === undefined ? undefined : readLock(text) };
}

/**
 * What to do about the flake's lock file, for people; undefined: nothing. Evaluation is pure, so an incomplete lock file is an
 * error and is not updated.
 */
export async function lockProblem(
  command: RepositoryCommand,
  flakeUrl: string,
  { hasLock, inputs }: FlakeSource,
  limits: ProbeLimits,
): Promise<string | undefined> {
  const run = 'run `nix flake lock` in the repository and commit flake.lock';
  if (hasLock && inputs === undefined) {
    return `flake.lock cannot be read (is a merge conflict left in it, or is it larger than ${MAX_LOCK_CHARACTERS / 1024 ** 2} MiB?): remove it, ${run}`;
  }
  const declared = await declaredInputs(command, flakeUrl, limits);
  if (declared === undefined) return undefined; // flake.nix itself is broken, which its own error explains better
  if (!hasLock) return declared.length === 0 ? undefined : `flake.lock is missing: ${run}`;
  const locked = new Set((inputs ?? []).map(({ name }) => name));
  const missing = declared.filter((name) => !locked.has(name));
  if (missing.length > 0) return `flake.lock has no entry for the input ${nameSome(missing)}: ${run}`;
  const metadata = async (option: string): Promise<boolean> =>
    (await command.run('nix', ['flake', 'metadata', '--json', option, gitAddress(flakeUrl)], { ...limits, timeoutMs: TIMEOUT_MS })).isOk;
  // The only difference between these two commands is whether they would change the lock file.
  const isStale = !(await metadata('--no-update-lock-file')) && (await metadata('--no-write-lock-file'));
  return isStale ? `flake.lock does not fit the inputs of flake.nix: ${run}` : undefined;
}

function nameSome(names: readonly string[]): string {
  const some = names.slice(0, 3).map((name) => storableText(name, 100));
  return [...some, ...(names.length > 3 ? [`and ${names.length - 3} more`] : [])].join(', ');
}

/** The names of the inputs in flake.nix, including those that only its outputs name. */
async function declaredInputs(command: RepositoryCommand, flakeUrl: string, limits: ProbeLimits): Promise<readonly string[] | undefined> {
  const names = `let flake = import (folder + "/flake.nix"); asked = if builtins.isFunction flake.outputs then builtins.functionArgs flake.outputs else { }; in builtins.attrNames (removeAttrs (asked // (flake.inputs or { })) [ "self" ])`;
  const args = ['eval', '--json', ...NO_EVAL_CACHE, '--expr', `${folderOf(flakeUrl)} ${names}`];
  const { result, isOk } = await command.run('nix', args, { ...limits, timeoutMs: TIMEOUT_MS });
  return isOk ? tryParseAnswer(Names, result.stdout) : undefined;
}
