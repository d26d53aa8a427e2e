import { expect, test } from 'vitest';
import { AgentMessage, MAX_FRAME_BYTES, parseFrame } from './index.ts';

const report = {
  type: 'report',
  seq: 1,
  epoch: 1,
  state: 'ROLLED_BACK',
  toplevel: null,
  observed: { current: null, booted: null, profile: null },
  at: 1,
};
const kindOf = (message: object): string => parseFrame(AgentMessage, JSON.stringify(message)).kind;

test('a report may contain the log of a failure, up to its bound', () => {
  expect(kindOf(report)).toBe('parsed');
  expect(kindOf({ ...report, log: 'x'.repeat(16_384) })).toBe('parsed');
  expect(kindOf({ ...report, log: 'x'.repeat(16_385) })).toBe('malformed');
  expect(kindOf({ ...report, log: ['x'] })).toBe('malformed');
  // The longest encoding of one character of a log in JSON.
  expect(JSON.stringify({ ...report, log: '\u0001'.repeat(16_384) }).length).toBeLessThan(MAX_FRAME_BYTES);
});
