import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { readCapabilities, readObserved, readTimings } from './host-columns.ts';
import { CapabilitiesColumn, ObservedColumn, TimingsColumn } from './rows.ts';

const path = `/nix/store/${'a'.repeat(32)}-system`;
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    undefined,
    null,
    path,
    `${path}\n`,
    `/nix/store/${'a'.repeat(32)}-${'x'.repeat(400)}`,
    -1,
    0.5,
    2 ** 53,
    1e300,
    Number.NaN,
    [],
  ),
);
const often = <Value>(usual: fc.Arbitrary<Value>): fc.Arbitrary<unknown> => fc.oneof({ weight: 4, arbitrary: usual }, { weight: 1, arbitrary: odd });
const paths = often(fc.constantFrom(null, path));
const profiles = often(fc.oneof(fc.constant(null), fc.record({ generation: often(fc.nat()), toplevel: paths, more: odd }, { requiredKeys: [] })));
const observed = often(fc.record({ current: paths, booted: paths, profile: profiles, more: odd }, { requiredKeys: [] }));
const stage = often(fc.nat());
const timings = often(
  fc.record({ downloadMs: stage, activateMs: stage, verifyMs: stage, commitMs: stage, rollbackMs: stage, more: odd }, { requiredKeys: [] }),
);

const capabilities = often(fc.array(often(fc.string({ maxLength: 70, unit: 'binary' })), { maxLength: 70 }));

function parsed<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> | undefined {
  const result = v.safeParse(schema, value);
  return result.success ? result.output : undefined;
}

test('what is read by hand is what the schema reads', () => {
  fc.assert(
    fc.property(observed, timings, capabilities, (seen, took, can) => {
      expect(readObserved(seen)).toEqual(parsed(ObservedColumn, seen));
      expect(readCapabilities(can)).toEqual(parsed(CapabilitiesColumn, can));
      expect(readTimings(took)).toEqual(parsed(TimingsColumn, took));
    }),
    { numRuns: 3_000 },
  );
});
