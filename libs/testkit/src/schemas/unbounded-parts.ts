import * as v from 'valibot';
import { childrenOf, layerOf, requirementOf, type Layer } from './schema-tree.ts';

/** Kinds of schemas that hold no more than is written in them. */
const CLOSED = new Set(['literal', 'picklist', 'boolean', 'null', 'undefined', 'enum']);
const CONTAINERS = new Set([
  'object',
  'strict_object',
  'nullable',
  'optional',
  'exact_optional',
  'nullish',
  'union',
  'variant',
  'tuple',
  'strict_tuple',
]);
/** No database takes these as text. */
const HOSTILE_TEXTS = ['\0', 'a\0b', '\uD800', '\uDC00a', 'a\uD83D'];

/**
 * The places of a schema that accept more than can be stored and shown: numbers without an end, texts and lists without a
 * length, texts that a database refuses. A kind of schema that this walk does not know is one of them, so that whoever
 * uses it first thinks of its bounds.
 */
export function unboundedParts(schema: v.GenericSchema, place = ''): readonly string[] {
  const layer = layerOf(schema);
  const why = whyUnbounded(schema, layer);
  const inner = childrenOf(layer).flatMap(([name, child]) => unboundedParts(child as v.GenericSchema, name === '' ? place : `${place}.${name}`));
  return why === undefined ? inner : [`${place}: ${why}`, ...inner];
}

function whyUnbounded(schema: v.GenericSchema, layer: Layer): string | undefined {
  const { type } = layer.schema;
  if (CLOSED.has(type) || CONTAINERS.has(type)) return undefined;
  switch (type) {
    case 'number': {
      const low = requirementOf(layer, 'min_value');
      const high = requirementOf(layer, 'max_value');
      if (low === undefined || high === undefined) return 'a number without an end';
      // One is always added to a counter before it is looked at.
      return low < Number.MIN_SAFE_INTEGER || high + 1 > Number.MAX_SAFE_INTEGER ? 'a number beyond 2^53' : undefined;
    }
    case 'string': {
      if (requirementOf(layer, 'max_length') === undefined) return 'a text without a length';
      const let_in = HOSTILE_TEXTS.flatMap((text) => v.safeParse(schema, text)).filter(({ success, output }) => success && !isStorable(output));
      return let_in.length > 0 ? 'a text that a database refuses' : undefined;
    }
    case 'array':
      return requirementOf(layer, 'max_length') === undefined ? 'a list without a length' : undefined;
    case 'record':
      return requirementOf(layer, 'max_entries') === undefined ? 'a record without an end' : undefined;
    default:
      return `a schema of the kind "${type}", whose bounds are unknown`;
  }
}

function isStorable(text: unknown): boolean {
  return typeof text === 'string' && text.isWellFormed() && !text.includes('\0');
}
