import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';

function logged(fields: Readonly<Record<string, unknown>>): string {
  const lines: string[] = [];
  createLogger({ level: 'info', write: (line) => lines.push(line), now: () => 0 }).info('it happened', fields);
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

describe('a log line', () => {
  it('is one line without control characters, whatever is in its fields', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, text) => {
        const line = logged({ [`x${name}`]: text, error: new Error(text), nested: { list: [text] } });
        expect(line).not.toMatch(
          // oxlint-disable-next-line no-control-regex -- these are what is looked for
          /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}\p{Surrogate}\p{Noncharacter_Code_Point}]/u,
        );
        expect(JSON.parse(line)).toMatchObject({ level: 'info', message: 'it happened', [`x${name}`]: text });
      }),
    );
  });

  it('shows a C1 control character and an override as text', () => {
    expect(logged({ text: '\u009b2J\u202e' })).toContain(String.raw`\u009b2J\u202e`);
  });

  it('never fails its caller', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(JSON.parse(logged({ circle, size: 10n }))).toMatchObject({ message: 'it happened', unprintable: expect.any(String) as string });
  });
});
