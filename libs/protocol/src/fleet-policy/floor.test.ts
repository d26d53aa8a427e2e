import { OPEN_RING } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { parsePolicyFloor } from './floor.ts';

describe('the floor of the settings', () => {
  test('asks for nothing that it does not name', () => {
    expect(parsePolicyFloor('{}')).toEqual({
      kind: 'floor',
      floor: { rings: 1, firstRing: OPEN_RING, maxInFlight: undefined, checks: [] },
    });
    expect(parsePolicyFloor('{"firstRing":{"soak":"1h","approvals":{}},"checks":["unit"],"maxInFlight":3,"rings":2}')).toEqual({
      kind: 'floor',
      floor: {
        rings: 2,
        firstRing: { ...OPEN_RING, soakMs: 3_600_000, approvals: { count: 1, role: 'approver', notAuthor: false } },
        maxInFlight: 3,
        checks: ['unit'],
      },
    });
  });

  test.each([
    ['nothing', 'is not JSON'],
    ['[]', 'is a list: write a set'],
    ['{"firstRing":{"sok":"1h"}}', 'firstRing.sok: unknown key; did you mean soak?'],
    ['{"firstRing":{"soak":"long"}}', 'firstRing.soak: "long" is not a duration'],
    ['{"firstRing":{"windows":[]}}', 'firstRing.windows: unknown key'],
    ['{"maxInFlight":0}', 'maxInFlight: 0 is not a whole number'],
  ])('%s is a problem with its path', (text, said) => {
    const parsed = parsePolicyFloor(text);
    expect(parsed.kind === 'problems' ? parsed.problems.join() : '').toContain(said);
  });
});
