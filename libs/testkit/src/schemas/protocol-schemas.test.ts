import * as protocol from '@floe/protocol';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { arbitraryOf } from './arbitrary-of.ts';
import { isSchema } from './schema-tree.ts';
import { unboundedParts } from './unbounded-parts.ts';

const schemas = Object.entries(protocol).flatMap(([name, value]): [string, v.GenericSchema][] => (isSchema(value) ? [[name, value]] : []));

describe.each(schemas)('%s', (_, schema) => {
  test('accepts nothing unbounded', () => {
    expect(unboundedParts(schema)).toEqual([]);
  });

  test('what it accepts is accepted again, and goes through JSON unchanged', () => {
    fc.assert(
      fc.property(arbitraryOf(schema), (input) => {
        const output = v.parse(schema, input);
        expect(JSON.parse(JSON.stringify(output))).toEqual(output);
        expect(v.parse(schema, output)).toEqual(output);
      }),
      // A fleet takes forever to be made smaller.
      { numRuns: 50, endOnFailure: true },
    );
  });
});

describe('what the walk finds', () => {
  test.each<[string, v.GenericSchema]>([
    ['a bare number', v.number()],
    ['a number with one end', v.object({ a: v.pipe(v.number(), v.minValue(0)) })],
    ['a safe integer, to which nothing can be added', v.pipe(v.number(), v.safeInteger(), v.minValue(0))],
    ['a bare text', v.nullable(v.string())],
    ['a text of any characters', v.pipe(v.string(), v.maxLength(10))],
    ['a list without a length', v.optional(v.array(v.boolean()))],
    ['a record of anything', v.record(v.pipe(v.string(), v.maxLength(1), v.regex(/a/)), v.boolean())],
    ['anything', v.strictObject({ a: v.array(v.unknown()) })],
  ])('%s', (_, schema) => {
    expect(unboundedParts(schema)).not.toEqual([]);
  });
});

describe('a frame', () => {
  const { AgentMessage, MAX_FRAME_BYTES, parseFrame } = protocol;
  const wrong = (item: string): string => `{"type":"hello","capabilities":[${Array.from({ length: 120_000 }, () => item).join(',')}]}`.slice(0);

  test.each([
    ['120,000 wrong items', wrong('1')],
    ['80,000 empty texts', `{"type":"hello","capabilities":[${'"",'.repeat(80_000)}""]}`],
    ['lists in lists', '['.repeat(MAX_FRAME_BYTES)],
    ['objects in objects', '{"a":'.repeat(MAX_FRAME_BYTES / 5)],
    ['60,000 unknown keys', `{"type":"report",${Array.from({ length: 20_000 }, (_, index) => `"k${index}":1`).join(',')}}`],
    ['digits', `{"type":"ready","epoch":${'9'.repeat(MAX_FRAME_BYTES - 30)}}`],
    ['a text of its size', `{"type":"hello","signature":"${'A'.repeat(MAX_FRAME_BYTES - 60)}"}`],
  ])('of %s costs no more than its size', (_, frame) => {
    expect(parseFrame(AgentMessage, frame).kind).toBe('malformed');
    function bestMs(work: () => unknown): number {
      const times = Array.from({ length: 7 }, () => {
        const startedAt = performance.now();
        work();
        return performance.now() - startedAt;
      });
      return Math.min(...times);
    }
    // Against the least that its size costs, in the same moment: a busy machine slows both. With a problem told for each
    // of 120,000 items it was 200 ms and more where this floor is a few.
    const asLarge = `[${'1,'.repeat(frame.length / 2)}1]`;
    const floorMs = bestMs(() => void JSON.parse(asLarge));
    expect(bestMs(() => void parseFrame(AgentMessage, frame))).toBeLessThan(20 + 15 * floorMs);
  });

  test('names one problem, in a sentence of bounded length', () => {
    const parsed = parseFrame(AgentMessage, wrong('1'));
    expect(parsed.kind === 'malformed' && parsed.why.length).toBeLessThan(1_000);
  });
});

describe('a claim of a host that cannot be counted on', () => {
  const ready = (epoch: string): string => protocol.parseFrame(protocol.AgentMessage, `{"type":"ready","epoch":${epoch}}`).kind;
  test.each(['9007199254740991', '9007199254740992', '1e400', '-1', '0.5', '1e300', '"1"', 'null'])('epoch %s is refused', (epoch) => {
    expect(ready(epoch)).toBe('malformed');
  });
  test('an epoch of decades is accepted, and can be incremented', () => {
    expect(ready('1000000000000')).toBe('parsed');
  });
});
