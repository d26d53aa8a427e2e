import { OPEN_RING, type PolicyFloor } from '@floe/model';
import * as v from 'valibot';
import { gatesWritten } from './complete.ts';
import { schemaProblems } from './problems.ts';
import { Floor } from './schema.ts';

export type ParsedFloor =
  | { readonly kind: 'floor'; readonly floor: PolicyFloor }
  /** One sentence each, with the path and the value. */
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

/** Reads the floor of the server's settings, which is JSON. */
export function parsePolicyFloor(text: string): ParsedFloor {
  const json = v.safeParse(v.pipe(v.string(), v.parseJson()), text);
  if (!json.success) return { kind: 'problems', problems: ['is not JSON, such as {"firstRing": {"soak": "1h"}}'] };
  const parsed = v.safeParse(Floor, json.output);
  const found = schemaProblems(Floor, json.output, [], parsed);
  if (!parsed.success || found.length > 0) return { kind: 'problems', problems: found };
  const { rings = 1, firstRing = {}, maxInFlight, checks = [] } = parsed.output;
  return { kind: 'floor', floor: { rings, firstRing: { ...OPEN_RING, ...gatesWritten(firstRing, OPEN_RING) }, maxInFlight, checks } };
}
