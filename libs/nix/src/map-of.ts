import * as v from 'valibot';

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Parses a JSON object with foreign keys as a Map. Valibot's `record` drops the keys `constructor`, `prototype` and `__proto__`,
 * and a plain object finds inherited values under such names.
 */
export function mapOf<Value extends v.GenericSchema>(value: Value) {
  return v.pipe(
    v.custom<object>(isObject, 'Invalid type: Expected Object'),
    v.transform((object): [string, unknown][] => Object.entries(object)),
    v.array(v.tuple([v.string(), value])),
    v.transform((entries): ReadonlyMap<string, v.InferOutput<Value>> => new Map(entries)),
  );
}
