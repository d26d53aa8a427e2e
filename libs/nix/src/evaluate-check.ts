import { nearest, storableText, type StorePath } from '@floe/model';
import { FloeError, nixString } from '@floe/runtime';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import { systemOf } from './build-machines.ts';
import type { BuildTarget } from './build.ts';
import type { RepositoryCommand } from './command.ts';
import { evaluateFlake, whyNot, type ReadLimits } from './evaluate-flake.ts';
import { DerivationPath, OutputPath } from './store-forms.ts';

export type CheckEvaluation =
  | { readonly kind: 'evaluated'; readonly target: BuildTarget }
  /** The flake's own mistake, for people. */
  | { readonly kind: 'failed'; readonly error: string };

const Answer = v.union([v.strictObject({ drv: v.unknown(), out: v.unknown() }), v.strictObject({ names: v.array(v.string()) })]);
const MAX_NAMED = 5;
const MAX_NAME_CHARACTERS = 100;

/**
 * The derivation of the flake's output `checks.<system>.<name>`, for the system of this server. Throws what `evaluateFlake` throws, and
 * retryable NIX_FAILED when Nix does not say what this system is.
 */
export async function evaluateCheck(command: RepositoryCommand, flakeUrl: string, name: string, limits: ReadLimits): Promise<CheckEvaluation> {
  const system = await systemOf(command, limits.signal);
  if (system === undefined) throw new FloeError('NIX_FAILED', 'Nix does not say for which system it builds', { retryable: true });
  const check = nixString(name);
  const expression = `let checks = flake.checks.${nixString(system)} or { }; c = checks.${check}; in
    if checks ? ${check} then { drv = c.drvPath; out = c.outPath; } else { names = builtins.attrNames checks; }`;
  const asked = await evaluateFlake(command, flakeUrl, { ...limits, what: 'reading a check', expression });
  if (!asked.isOk) return { kind: 'failed', error: whyNot(asked, limits, 'evaluating it', 'it cannot be evaluated') };
  const answer = tryParseAnswer(Answer, asked.result.stdout);
  if (answer !== undefined && 'names' in answer) return { kind: 'failed', error: missing(system, name, answer.names) };
  if (answer === undefined || !v.is(DerivationPath, answer.drv) || !v.is(OutputPath, answer.out)) {
    return { kind: 'failed', error: 'it is not a derivation whose path is known before it is built' };
  }
  return { kind: 'evaluated', target: { drvPath: answer.drv, toplevel: answer.out as StorePath } };
}

function missing(system: string, name: string, names: readonly string[]): string {
  const [meant] = nearest(name, names);
  const some = names.slice(0, MAX_NAMED).map((each) => storableText(each, MAX_NAME_CHARACTERS));
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  const advice = meant === undefined ? (names.length === 0 ? 'there is none' : `there are ${some.join(', ')}${more}`) : `did you mean ${meant}?`;
  return `the flake has no such output in checks.${system}; ${advice}`;
}
