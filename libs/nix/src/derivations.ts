import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { mapOf } from './map-of.ts';

/** The properties that decide where a derivation can be built, and whether it is a download. */
export interface DerivationFacts {
  readonly path: string;
  readonly name: string;
  readonly system: string;
  readonly requiredFeatures: readonly string[];
  /** Its result has a known hash: a source that is downloaded. */
  readonly isFixedOutput: boolean;
  readonly outputs: readonly string[];
}

const Shown = v.record(
  v.string(),
  v.object({
    system: v.string(),
    env: v.optional(v.record(v.string(), v.unknown()), {}),
    structuredAttrs: v.optional(v.record(v.string(), v.unknown())),
    outputs: mapOf(v.object({ path: v.optional(v.string()), hash: v.optional(v.string()) })),
  }),
);
const Structured = v.object({ requiredSystemFeatures: v.optional(v.array(v.string()), []) });

const TIMEOUT_MS = 60_000;
const AT_ONCE = 100;

/** Reads derivations from the store; missing ones are left out. */
export async function readDerivations(command: RepositoryCommand, paths: readonly string[]): Promise<DerivationFacts[]> {
  const found: DerivationFacts[] = [];
  for (let start = 0; start < paths.length; start += AT_ONCE) {
    const some = paths.slice(start, start + AT_ONCE);
    // The older name of `nix derivation show`, which both versions know.
    const { result, isOk } = await command.run('nix', ['show-derivation', ...some], { timeoutMs: TIMEOUT_MS });
    const shown = isOk ? tryParseAnswer(Shown, result.stdout) : undefined;
    for (const [path, { system, env, structuredAttrs, outputs }] of Object.entries(shown ?? {})) {
      const values = [...outputs.values()];
      found.push({
        path,
        name: path.slice('/nix/store/'.length + 33, -'.drv'.length),
        system,
        requiredFeatures: requiredFeatures(env, structuredAttrs),
        isFixedOutput: values.some(({ hash }) => hash !== undefined),
        outputs: values.flatMap(({ path: output }) => (output === undefined ? [] : [output])),
      });
    }
  }
  return found;
}

/** A list of words; with `__structuredAttrs`, in the JSON of `__json`. */
function requiredFeatures(env: Readonly<Record<string, unknown>>, structured: Readonly<Record<string, unknown>> | undefined): readonly string[] {
  const json = env['__json'];
  const attributes = structured ?? (typeof json === 'string' ? tryParseAnswer(v.record(v.string(), v.unknown()), json) : undefined);
  if (attributes !== undefined) {
    const read = v.safeParse(Structured, attributes);
    return read.success ? read.output.requiredSystemFeatures : [];
  }
  const words = env['requiredSystemFeatures'];
  return typeof words === 'string' ? words.split(/\s+/).filter((word) => word !== '') : [];
}
