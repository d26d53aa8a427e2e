import * as v from 'valibot';
import { expect, test } from 'vitest';
import { createSettingsReader, type Env } from './settings.ts';

const Digits = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number));

function reading(env: Env) {
  const problems: string[] = [];
  return { ...createSettingsReader(env, (problem) => problems.push(problem)), problems };
}

test('a setting is trimmed, and an empty one counts as not set', () => {
  const { value, checked, required, problems } = reading({ A: ' 7\n', B: '  ' });
  expect([value('A'), value('B'), value('C')]).toEqual(['7', undefined, undefined]);
  expect([checked('A', Digits, 1, 'digits'), checked('B', Digits, 1, 'digits'), required('A', Digits, 'digits')]).toEqual([7, 1, 7]);
  expect(problems).toEqual([]);
});

test('each problem is reported once, with what to do, and the value is shortened', () => {
  const { checked, required, problems } = reading({ A: 'x'.repeat(200) });
  expect([checked('A', Digits, 1, 'digits'), required('A', Digits, 'digits'), required('B', Digits, 'digits')]).toEqual([1, undefined, undefined]);
  const wrong = `A is "${'x'.repeat(80)}…": set it to digits`;
  expect(problems).toEqual([wrong, wrong, 'B is missing: set it to digits']);
});
