import fc from 'fast-check';
import * as v from 'valibot';
import { childrenOf, layerOf, requirementOf, type Layer } from './schema-tree.ts';

/** The longest generated text and list, whatever the schema allows. The schema's maximum is tried occasionally. */
const USUAL_LENGTH = 24;
/** Weight of the usual against the longest. */
const USUALLY = { usual: 20, longest: 1 };
/** Values that have broken databases, terminals and dates before. */
const NASTY_TEXTS = [
  '',
  ' ',
  '\0',
  '\uD800',
  '\uDC00',
  '\u001B]0;x\u0007',
  '\u001B[2J',
  '\u009B31m',
  '\r\n',
  '\u202E',
  '{}',
  'null',
  '__proto__',
  '%s',
  "';--",
  '😀',
];

/** Deeper lists have fewer items; otherwise generating a fleet of hosts would take seconds. */
const ITEMS_BY_DEPTH = [6, 4, 2];

/**
 * Values that a schema accepts, with its bounds and nasty values more often than by chance. Values that a function check of the
 * schema refuses are left out.
 */
export function arbitraryOf<Schema extends v.GenericSchema>(schema: Schema): fc.Arbitrary<v.InferInput<Schema>> {
  return inputOf(schema, 0);
}

function inputOf(whole: v.GenericSchema, depth: number): fc.Arbitrary<unknown> {
  const layer = layerOf(whole);
  const { schema } = layer;
  const innerDepth = schema.type === 'array' ? depth + 1 : depth;
  const inside = childrenOf(layer).map(([name, child]) => [name, inputOf(child as v.GenericSchema, innerDepth)] as const);
  const only = inside[0]?.[1] ?? fc.constant(undefined);
  switch (schema.type) {
    case 'literal':
      return fc.constant(schema.literal);
    case 'picklist':
      return fc.constantFrom(...(schema.options ?? []));
    case 'boolean':
      return fc.boolean();
    case 'number':
      return numberOf(layer).filter((input) => v.is(whole, input));
    case 'string':
      return textOf(layer).filter((input) => v.is(whole, input));
    case 'array': {
      const maxLength = Math.min(requirementOf(layer, 'max_length') ?? USUAL_LENGTH, ITEMS_BY_DEPTH[depth] ?? 1);
      return fc.array(only, { minLength: requirementOf(layer, 'min_length') ?? 0, maxLength });
    }
    case 'record': {
      const [[, key], [, value]] = inside as [(typeof inside)[number], (typeof inside)[number]];
      const maxKeys = Math.min(requirementOf(layer, 'max_entries') ?? USUAL_LENGTH, ITEMS_BY_DEPTH[depth] ?? 1);
      return fc.dictionary(key as fc.Arbitrary<string>, value, { maxKeys, noNullPrototype: true });
    }
    case 'nullable':
      return fc.option(only, { nil: null });
    case 'optional':
    case 'exact_optional':
      // Filtered by the parent schema.
      return only;
    case 'union':
    case 'variant':
      return fc.oneof(...inside.map(([, option]) => option));
    case 'object':
    case 'strict_object':
      return fc.record(Object.fromEntries(inside), { requiredKeys: requiredKeys(layer), noNullPrototype: true });
    default:
      throw new Error(`no values are made up for a schema of the kind "${schema.type}" yet`);
  }
}

function requiredKeys({ schema }: Layer): string[] {
  return Object.entries(schema.entries ?? {}).flatMap(([name, entry]) => (layerOf(entry).schema.type.endsWith('optional') ? [] : [name]));
}

function numberOf(layer: Layer): fc.Arbitrary<number> {
  const min = requirementOf(layer, 'min_value') ?? Number.MIN_SAFE_INTEGER;
  const max = requirementOf(layer, 'max_value') ?? Number.MAX_SAFE_INTEGER;
  const isWhole = layer.actions.some(({ type }) => type === 'integer' || type === 'safe_integer');
  const ends = fc.constantFrom(min, max);
  const small = fc.integer({ min: Math.ceil(min), max: Math.floor(Math.min(max, Math.max(min, 0) + 100)) });
  // Adding 0 turns -0 into 0, as JSON does.
  return fc.oneof(ends, small, isWhole ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true }).map((some) => some + 0));
}

function textOf(layer: Layer): fc.Arbitrary<string> {
  const maxLength = requirementOf(layer, 'max_length') ?? 1_000;
  // Chance finds no text that a check of a whole grammar accepts.
  const examples = layer.actions.find(({ type }) => type === 'examples')?.examples as readonly string[] | undefined;
  if (examples !== undefined) return fc.constantFrom(...examples);
  const form = layer.actions.find(({ type }) => type === 'regex')?.requirement;
  if (layer.actions.some(({ type }) => type === 'base64')) {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: Math.min(96, Math.floor(maxLength / 4) * 3) });
    return bytes.map((some) => Buffer.from(some).toString('base64'));
  }
  // The expression is the minimum: where it allows control characters, they are generated.
  if (form instanceof RegExp) return formed(form, requirementOf(layer, 'min_length') ?? 0, maxLength);
  const longest = fc.constantFrom('x', '\u001B', '\0', '😀', '漢').map((sign) => sign.repeat(Math.floor(maxLength / sign.length)));
  const usual = { maxLength: Math.min(maxLength, USUAL_LENGTH) };
  return fc.oneof(
    { weight: USUALLY.usual, arbitrary: fc.string({ unit: 'binary', ...usual }) },
    { weight: USUALLY.usual, arbitrary: fc.string({ unit: 'grapheme', ...usual }) },
    { weight: USUALLY.usual, arbitrary: fc.constantFrom(...NASTY_TEXTS) },
    { weight: USUALLY.longest, arbitrary: longest },
  );
}

/** Generating one takes up to 100 ms, and a message has a dozen. */
const byForm = new Map<string, fc.Arbitrary<string>>();

function formed(form: RegExp, minLength: number, maxLength: number): fc.Arbitrary<string> {
  // Characters of one class; the schema decides their number.
  const signs = /^\^(\[[^\]]+\])\*\$$/.exec(form.source)?.[1];
  if (signs !== undefined)
    return fc.string({ unit: formed(new RegExp(`^${signs}$`), 1, 1), minLength, maxLength: Math.min(maxLength, minLength + USUAL_LENGTH) });
  // A lookahead limits the length of the whole text; generated text is checked against the expression itself.
  const source = form.source.replace(/^\^\(\?=[^()]*\)/, '^');
  const made =
    byForm.get(form.source) ??
    fc.stringMatching(new RegExp(source, form.flags), { maxLength: Math.min(maxLength, 300) }).filter((text) => form.test(text));
  byForm.set(form.source, made);
  return made;
}
