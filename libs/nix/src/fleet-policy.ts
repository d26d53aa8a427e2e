import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { evaluateFlake, whyNot, type ReadLimits } from './evaluate-flake.ts';
import { cleanText } from './failure.ts';

/** Enough to say precisely what a policy that is too large is; the schema's own limit is lower. */
const MAX_ANSWER_BYTES = 1024 ** 2;
const MAX_PLACE_CHARACTERS = 200;

/**
 * About `flake`, the outputs: either its output `floe`, or the places in it that are no plain data. Nix would write a function as an error without a place, a derivation
 * as its path, and copy a path to the store. A set in a set without end ends at the depth that no policy has.
 */
export const POLICY_EXPRESSION = `
let
  wrong = depth: place: value:
    let
      type = builtins.typeOf value;
      shown = key: if builtins.match "[A-Za-z_][A-Za-z0-9_'-]*" key == null then builtins.toJSON key else key;
      inner = key: wrong (depth - 1) (if place == "" then shown key else place + "." + shown key);
      found = type: [ { inherit place type; } ];
    in
    if builtins.elem type [ "int" "float" "bool" "null" "string" ] then [ ]
    else if type == "set" && (value ? outPath || value ? __toString) then found "derivation"
    else if type != "set" && type != "list" then found type
    else if depth == 0 then found "deep"
    else if type == "set" then builtins.concatMap (key: inner key value.\${key}) (builtins.attrNames value)
    else builtins.concatLists (builtins.genList (index: wrong (depth - 1) "\${place}[\${toString index}]" (builtins.elemAt value index)) (builtins.length value));
  all = wrong 16 "" flake.floe;
in
if all == [ ] then { policy = flake.floe; } else { wrong = builtins.head all; }`;

const Answer = v.union([v.strictObject({ policy: v.unknown() }), v.strictObject({ wrong: v.object({ place: v.string(), type: v.string() }) })]);

const KINDS: Readonly<Record<string, string>> = {
  lambda: 'a function',
  derivation: 'a derivation',
  path: 'a path',
  deep: 'a set or list deeper than any policy',
};

/** The data of the flake's output `floe`, which must be there. Throws POLICY_INVALID, and what `evaluateFlake` throws. */
export async function readFleetPolicy(command: RepositoryCommand, flakeUrl: string, limits: ReadLimits): Promise<unknown> {
  const what = 'reading the output floe';
  const asked = await evaluateFlake(command, flakeUrl, { ...limits, what, expression: POLICY_EXPRESSION, maxAnswerBytes: MAX_ANSWER_BYTES });
  if (asked.result.end === 'too-much-output') {
    throw new FloeError('POLICY_INVALID', `the output floe is larger than ${MAX_ANSWER_BYTES / 1024 ** 2} MiB: no policy needs as much`);
  }
  if (!asked.isOk) throw new FloeError('POLICY_INVALID', whyNot(asked, limits, what, 'the output floe cannot be read'));
  return policyOfAnswer(tryParseAnswer(v.unknown(), asked.result.stdout));
}

/** The policy in what {@link POLICY_EXPRESSION} yielded. Throws POLICY_INVALID when it is no plain data. */
export function policyOfAnswer(data: unknown): unknown {
  const read = v.safeParse(Answer, data);
  if (!read.success) throw new FloeError('POLICY_INVALID', 'the output floe cannot be read as JSON');
  const answer = read.output;
  if ('policy' in answer) return answer.policy;
  const { place, type } = answer.wrong;
  const where = place === '' ? 'the output floe' : cleanText(place).slice(0, MAX_PLACE_CHARACTERS);
  const rule = 'the output floe is plain data only: texts, numbers, true and false, lists and sets';
  throw new FloeError('POLICY_INVALID', `${where}: is ${KINDS[type] ?? 'no plain data'}, and ${rule}`);
}
