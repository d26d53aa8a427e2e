import { DEFAULT_POLICY, type RolloutPolicy } from '@floe/model';
import * as v from 'valibot';
import { complete } from './complete.ts';
import { meaningProblems } from './meaning.ts';
import { schemaProblems } from './problems.ts';
import { FleetPolicy } from './schema.ts';
import { tooLarge } from './size.ts';

export type ParsedPolicy =
  | { readonly kind: 'policy'; readonly policy: RolloutPolicy }
  /** One sentence each, with the path and the value; at most 20. */
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

const MAX_PROBLEMS = 20;

/** Reads what the flake output `floe` says; undefined: there is none. Never throws, whatever the value is. */
export function parseFleetPolicy(data: unknown): ParsedPolicy {
  if (data === undefined) return { kind: 'policy', policy: DEFAULT_POLICY };
  const reason = tooLarge(data);
  if (reason !== undefined) return problems([reason]);
  const parsed = v.safeParse(FleetPolicy, data);
  const found = schemaProblems(FleetPolicy, data, [], parsed);
  if (!parsed.success || found.length > 0) return problems(found);
  const policy = complete(parsed.output);
  const contradictions = meaningProblems(parsed.output, policy);
  return contradictions.length > 0 ? problems(contradictions) : { kind: 'policy', policy };
}

function problems(found: readonly string[]): ParsedPolicy {
  const all = [...new Set(found)];
  if (all.length <= MAX_PROBLEMS) return { kind: 'problems', problems: all };
  return { kind: 'problems', problems: [...all.slice(0, MAX_PROBLEMS - 1), `and ${all.length - MAX_PROBLEMS + 1} more problems`] };
}
