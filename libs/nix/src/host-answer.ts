import { nixString } from '@floe/runtime';
import {
  LABEL_FORM,
  LABEL_RULE,
  MAX_LABELS,
  oneLine,
  RING_NAME_FORM,
  RING_NAME_RULE,
  storableText,
  type HostName,
  type StorePath,
} from '@floe/model';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import { DerivationPath, OutputPath } from './store-forms.ts';

/** What one evaluation of a host yields. */
export interface HostAnswer {
  readonly kind: 'evaluated';
  readonly drvPath: string;
  readonly toplevel: StorePath;
  /** Nix's name for it, e.g. `x86_64-linux`. */
  readonly system: string;
  /** `services.floe.agent.labels` of its configuration; none without the module. */
  readonly labels: readonly string[];
  /** `services.floe.agent.ring` of its configuration. */
  readonly ring: string | undefined;
}

/** An answer that cannot be used, for people. */
export interface BadAnswer {
  readonly kind: 'bad';
  readonly code: 'EVALUATION_UNSUPPORTED' | 'EVALUATION_FAILED';
  readonly error: string;
}

const MAX_SHOWN_CHARACTERS = 80;
const Answer = v.object({ drv: v.unknown(), out: v.unknown(), system: v.unknown(), labels: v.unknown(), ring: v.unknown() });
/** What the expression puts in the place of a value that is no text. */
const OtherValue = v.object({ type: v.picklist(['lambda', 'set', 'list', 'int', 'float', 'bool', 'null', 'path']) });
const System = v.pipe(v.string(), v.regex(/^[0-9A-Za-z_.-]{1,64}$/));

/**
 * The expression for one host. Only texts are passed on of the agent's options: JSON has no functions, and a path would be copied to
 * the store. If the value had an attribute called outPath, Nix would print the whole set as that string.
 */
export function hostExpression(flakeUrl: string, host: HostName): string {
  const config = `(builtins.getFlake ${nixString(flakeUrl)}).nixosConfigurations.${nixString(host)}.config`;
  return `let
  config = ${config};
  t = config.system.build.toplevel;
  agent = config.services.floe.agent or { };
  text = value: if builtins.isString value then value else { type = builtins.typeOf value; };
  labels = agent.labels or [ ];
  ring = agent.ring or null;
in
{
  drv = t.drvPath;
  out = t.outPath;
  system = t.system;
  labels = if builtins.isList labels then map text labels else text labels;
  ring = if ring == null then null else text ring;
}`;
}

/** Reads the answer. One that cannot be used is this host's error: nothing else is known to be wrong. */
export function readHostAnswer(stdout: string): HostAnswer | BadAnswer {
  const answer = tryParseAnswer(Answer, stdout);
  if (answer === undefined) return unsupported('config.system.build.toplevel is not a derivation');
  const { drv, out, system, labels, ring } = answer;
  if (!v.is(DerivationPath, drv)) return unsupported('config.system.build.toplevel has a drvPath that is not a derivation in the store');
  if (!v.is(OutputPath, out))
    return unsupported('the path of its system is not known before it is built: content-addressed derivations are not supported');
  if (!v.is(System, system)) return unsupported('config.system.build.toplevel names no system such as x86_64-linux');
  const problem = labelsProblem(labels) ?? ringProblem(ring);
  if (problem !== undefined) return { kind: 'bad', code: 'EVALUATION_FAILED', error: `services.floe.agent.${problem}` };
  const own = { labels: [...new Set(labels as string[])], ring: (ring as string | null) ?? undefined };
  return { kind: 'evaluated', drvPath: drv, toplevel: out as StorePath, system, ...own };
}

function unsupported(error: string): BadAnswer {
  return { kind: 'bad', code: 'EVALUATION_UNSUPPORTED', error };
}

function labelsProblem(labels: unknown): string | undefined {
  if (!Array.isArray(labels)) return `labels: is not a list of texts, as in [ "laptop" "site=berlin" ]`;
  if (labels.length > MAX_LABELS) return `labels: has ${labels.length} entries: ${MAX_LABELS} are the most`;
  const bad = labels.findIndex((label) => typeof label !== 'string' || !LABEL_FORM.test(label));
  return bad < 0 ? undefined : `labels[${bad}]: ${shown(labels[bad])} is not possible: ${LABEL_RULE}`;
}

function ringProblem(ring: unknown): string | undefined {
  if (ring === null || (typeof ring === 'string' && RING_NAME_FORM.test(ring))) return undefined;
  return `ring: ${shown(ring)} is not possible: ${RING_NAME_RULE}`;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `"${storableText(oneLine(value), MAX_SHOWN_CHARACTERS)}"`;
  return v.is(OtherValue, value) ? `a value of the type ${value.type}` : 'this value';
}
