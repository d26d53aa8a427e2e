import fc from 'fast-check';
import * as v from 'valibot';
import { beforeEach, expect, test, vi } from 'vitest';
import { inputProblem } from './input-words.ts';

const compared = vi.hoisted(() => ({ names: [] as string[] }));

vi.mock('@floe/model', async (importOriginal) => {
  const real = await importOriginal<typeof import('@floe/model')>();
  return {
    ...real,
    nearest: (name: string, names: readonly string[]) => {
      compared.names.push(...names);
      return real.nearest(name, names);
    },
  };
});

const Input = v.strictObject({ host: v.string(), reason: v.string() });
const MAX_KEYS = 50;
const MAX_KEY_CHARACTERS = 64;

beforeEach(() => {
  compared.names = [];
});

/** What is said of a body, and which of its keys that was compared with, for each mistake. */
function problemsOf(body: unknown): readonly { readonly said: string; readonly names: readonly string[] }[] {
  const { issues = [] } = v.safeParse(Input, body);
  return issues.map((issue) => {
    compared.names = [];
    return { said: inputProblem(Input, issue), names: compared.names };
  });
}

test('however many keys a body has, and however long, few and short ones are compared with one that is missing', () => {
  const key = fc.oneof(
    fc.string({ minLength: 1, maxLength: 100 }),
    fc.integer({ min: 1, max: 300 }).map((length) => 'h'.repeat(length)),
  );
  const some = fc.tuple(fc.uniqueArray(key, { maxLength: 60 }), fc.integer({ min: 0, max: 3_000 }));
  fc.assert(
    fc.property(some, fc.boolean(), ([keys, more], hasReason) => {
      const others = [...keys, ...Array.from({ length: more }, (_, index) => `hos${index}`)].map((name) => [name, 1]);
      const problems = problemsOf(Object.fromEntries([...others, ...(hasReason ? [['reason', 'x']] : [])]));
      for (const { names } of problems) {
        expect(names.length).toBeLessThanOrEqual(MAX_KEYS);
        expect(Math.max(0, ...names.map((name) => name.length))).toBeLessThanOrEqual(MAX_KEY_CHARACTERS);
      }
      expect(problems.length).toBeGreaterThan(0);
    }),
    { numRuns: 50 },
  );
});

test('a mistyped key is found among the first ones', () => {
  const others = Array.from({ length: MAX_KEYS - 1 }, (_, index) => [`other-${index}`, 1]);
  const body = {
    reason: 'x',
    ...Object.fromEntries(others),
    hots: 'a',
    ...Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`more-${index}`, 1])),
  };
  expect(problemsOf(body).map(({ said }) => said)).toContain('hots: unknown key; did you mean host?');
});

test('the keys of a body are listed once, however many are missing', () => {
  let listed = 0;
  const body = new Proxy(
    { other: 1 },
    {
      ownKeys: (target) => {
        listed += 1;
        return Reflect.ownKeys(target);
      },
    },
  );
  const { issues = [] } = v.safeParse(Input, body);
  listed = 0;
  const missing = issues.map((issue) => inputProblem(Input, issue)).filter((said) => said.endsWith('is missing'));
  expect(missing).toEqual(['host: is missing', 'reason: is missing']);
  expect(listed).toBe(1);
});
