import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createBuildMeter, type BuildProgress } from './build-meter.ts';
import { ACTIVITY, RESULT, type LogEvent } from './internal-json.ts';

const drv = (name: string): string => `/nix/store/${'0'.repeat(32)}-${name}.drv`;
const start = (id: number, name: string): LogEvent => ({ action: 'start', id, type: ACTIVITY.build, text: '', fields: [drv(name), '', 1, 1] });
const says = (id: number, line: string): LogEvent => ({ action: 'result', id, type: RESULT.buildLogLine, fields: [line] });

function told(...events: LogEvent[]): BuildProgress[] {
  const all: BuildProgress[] = [];
  const meter = createBuildMeter((progress) => void all.push(progress));
  for (const event of events) meter(event);
  return all;
}

test('it tells the derivation that said something last, and what', () => {
  expect(
    told(
      start(1, 'linux-6.6'),
      says(1, 'CC a.o'),
      start(2, 'glibc-2.40'),
      says(1, 'CC b.o'),
      says(2, '10 %\r\u{1b}[31m20 %\u{1b}[0m\r'),
      { action: 'stop', id: 2 },
      { action: 'stop', id: 1 },
      says(1, 'late'),
    ),
  ).toEqual([
    { derivation: 'linux-6.6', line: undefined },
    { derivation: 'linux-6.6', line: 'CC a.o' },
    { derivation: 'glibc-2.40', line: undefined },
    { derivation: 'linux-6.6', line: 'CC b.o' },
    { derivation: 'glibc-2.40', line: '20 %' },
    { derivation: 'linux-6.6', line: 'CC b.o' },
  ]);
});

test('whatever a build prints, what is told is one short line without control characters', () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.constantFrom('\u{202e}gnp.exe', '\u{1b}]0;title\u{7}', 'x'.repeat(1e5)));
  fc.assert(
    fc.property(text, text, (name, line) => {
      for (const { derivation = '', line: last = '' } of told(start(1, name), says(1, line)))
        for (const each of [derivation, last]) {
          expect(each.length).toBeLessThanOrEqual(200);
          // oxlint-disable-next-line no-control-regex -- the expression looks for these
          expect(each).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
        }
    }),
  );
});
