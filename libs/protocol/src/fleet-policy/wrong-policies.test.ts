import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { parseFleetPolicy } from './parse.ts';
import { pathText, type Path } from './problems.ts';
import { FleetPolicy } from './schema.ts';

// Wrong policies are made from the schema itself, so an attribute that is new is tried here by itself.

/** A policy with every attribute: whatever is wrong in a change of it is the change. */
const WHOLE = {
  rings: [
    {
      name: 'canary',
      hosts: ['web1', 'dns?'],
      labels: ['canary'],
      share: '12.5%',
      success: 90,
      errors: { percent: 5, minStarted: 4 },
      minVerified: 2,
      soak: '1h30m',
      deadline: '2d',
      maxInFlight: 3,
      windows: [
        { allow: '0 22 * * mon-fri', duration: '6h', timeZone: 'Europe/Berlin' },
        { deny: '0 0 24 12 *', duration: '3d', timeZone: 'host' },
      ],
      approvals: { count: 2, role: 'administrator', notAuthor: true },
      probes: [{ name: 'errors', every: '30s' }],
      pauseAfter: true,
    },
  ],
  labels: { web1: ['role=web'] },
  maxInFlight: 20,
  budgets: { 'role=dns': 1 },
  checks: ['unit tests'],
  steppingStones: ['agent-2'],
  shrink: { percent: 20, hosts: 2 },
  presence: { stale: '1d', lost: '40d' },
  downloads: { ahead: true, spread: '1h' },
  notify: Object.fromEntries(Object.keys(FleetPolicy.entries.notify.wrapped.entries).map((kind) => [kind, ['chat']])),
};

/** What a valibot schema is made of. */
interface Shape {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly value?: Shape;
  readonly wrapped?: Shape;
  readonly options?: readonly Shape[];
  readonly pipe?: readonly { readonly type: string; readonly requirement?: unknown }[];
}

function isPossible(shape: Shape, value: unknown): boolean {
  // Each is a part of the schema of a policy.
  return v.is(shape as unknown as v.GenericSchema, value);
}

interface Place {
  readonly path: Path;
  readonly shape: Shape;
  readonly is: unknown;
}

/** Every place of the policy, with its schema. */
function placesOf(shape: Shape, data: unknown, path: Path): readonly Place[] {
  const { wrapped, entries, item, value, options } = shape;
  if (wrapped !== undefined) return [{ path, shape, is: data }, ...placesOf(wrapped, data, path).slice(1)];
  const inner = (): readonly Place[] => {
    if (Array.isArray(data)) return item === undefined ? [] : data.flatMap((each, index) => placesOf(item, each, [...path, index]));
    if (typeof data !== 'object' || data === null) return [];
    const set = entries === undefined ? options?.find((each) => each.entries !== undefined)?.entries : entries;
    return Object.entries(data).flatMap(([key, each]) => {
      const known = set?.[key] ?? value;
      return known === undefined ? [] : placesOf(known, each, [...path, key]);
    });
  };
  return [{ path, shape, is: data }, ...inner()];
}

function unwrapped(shape: Shape): Shape {
  return shape.wrapped === undefined ? shape : unwrapped(shape.wrapped);
}

const SCHEMA: v.GenericSchema = FleetPolicy;
const named = placesOf(SCHEMA, WHOLE, []).map((place) => ({ ...place, name: pathText(place.path) }));

/** The policy with something else at the place. */
function changed(data: unknown, [first, ...rest]: Path, value: unknown): unknown {
  if (first === undefined) return value;
  if (Array.isArray(data)) return data.map((each, index) => (index === first ? changed(each, rest, value) : each));
  const set = data as Readonly<Record<string, unknown>>;
  return { ...set, [first]: changed(set[first], rest, value) };
}

function problemsOf(data: unknown): readonly string[] {
  const parsed = parseFleetPolicy(data);
  return parsed.kind === 'problems' ? parsed.problems : [];
}

/** Values next to the bounds that the schema has there. */
function boundaries({ pipe = [], options = [] }: Shape): readonly unknown[] {
  const own = pipe.flatMap(({ type, requirement: n }): unknown[] => {
    if (typeof n !== 'number') return [];
    if (type === 'min_value' || type === 'max_value') return [n - 1, n + 1, n + 0.5, String(n)];
    return type === 'max_length' ? ['a'.repeat(n + 1), 'a'.repeat(5_000)] : [];
  });
  return [...own, ...options.flatMap(boundaries)];
}

const ODD_TEXTS = ['', ' ', '0', '-1', '1 h', '1w', '1e9d', '101%', '0 0 * *', '61 * * * *', '* * * * */0', 'é', 'a b', '../x'];
const HOSTILE_TEXTS = ['__proto__', 'constructor', 'Berlin', '+02:00', '*', '\u0000', '\u202E', 'x'.repeat(300), '$${x}'];
const ODD_DATA = [null, true, 0, -1, 0.5, 1e308, [], {}, [[]], [null], [{}], { name: 'x' }, { x: 1 }, ['a', 1]];
const ODD: readonly unknown[] = [...ODD_TEXTS, ...HOSTILE_TEXTS, ...ODD_DATA];

function wrongFor({ shape, is }: Place): fc.Arbitrary<unknown> {
  const inner = unwrapped(shape);
  const list = Array.isArray(is) && inner.item !== undefined ? [Array.from({ length: 1_001 }, () => (is as readonly unknown[])[0])] : [];
  return fc
    .oneof(fc.constantFrom<unknown>(...ODD, ...boundaries(inner), ...list), fc.jsonValue(), fc.string())
    .filter((value) => !isPossible(shape, value));
}

/** What says how to do better. */
const ADVICE =
  /write |did you mean|the keys here are|(?:it|hosts|label|name) (?:can be|is|are) |from \d+ to \d+|, as in |such as |are the most|these are |is neither true nor false|give |1 to \d+ |only \* and|a step is|add one, or /;
/** Words of the library that checks. */
const FOREIGN = /\b(?:Invalid|Expected|received|undefined|object Object)\b/;

describe('a policy with one wrong value', () => {
  test('every attribute of the schema is tried', () => {
    const tried = new Set(named.map(({ path }) => path.filter((part) => typeof part === 'string').join('.')));
    const all = (shape: Shape, path: string): readonly string[] => {
      const inner = unwrapped(shape);
      const entries = inner.entries ?? inner.options?.find((each) => each.entries !== undefined)?.entries;
      if (inner.item !== undefined) return all(inner.item, path);
      return Object.entries(entries ?? {}).flatMap(([key, each]) => [`${path}${key}`, ...all(each, `${path}${key}.`)]);
    };
    const attributes = all(SCHEMA, '');
    expect(attributes.length).toBeGreaterThan(40);
    expect(attributes.filter((each) => !tried.has(each))).toEqual([]);
    expect(problemsOf(WHOLE)).toEqual([]);
  });

  test.each(named)('$name: is told by its path and its value, with what to do, and nothing else is', (place) => {
    fc.assert(
      fc.property(wrongFor(place), (wrong) => {
        const found = problemsOf(changed(WHOLE, place.path, wrong));
        expect(found).not.toEqual([]);
        for (const each of found.filter((said) => !/^and \d+ more problems$/.test(said))) {
          if (place.path.length > 0 && !each.startsWith('floe: the policy')) expect(each.startsWith(place.name), each).toBe(true);
          expect(each).not.toMatch(FOREIGN);
          expect(each).toMatch(ADVICE);
        }
        const isPlain =
          typeof wrong === 'string' ? /^(?:[\w:.%*/+-]| (?=\S)(?<=\S.)){0,50}$/.test(wrong) : typeof wrong !== 'object' || wrong === null;
        if (isPlain) expect(found).toContainEqual(expect.stringContaining(`${place.name}: ${JSON.stringify(wrong)} `));
      }),
    );
  });

  const sets = named.flatMap((place) => {
    const inner = unwrapped(place.shape);
    const entries = inner.entries ?? inner.options?.find((each) => each.entries !== undefined)?.entries;
    return entries === undefined ? [] : [{ ...place, entries }];
  });

  test.each(sets)('$name: a key that is not known is told with what is', ({ path, is, entries }) => {
    const keys = Object.keys(entries);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.constantFrom(...keys).map((key) => `${key}s`),
          fc.string({ minLength: 1 }),
        ),
        (key) => {
          fc.pre(!Object.hasOwn(entries, key));
          const [first, ...more] = problemsOf(changed(WHOLE, path, { ...(is as object), [key]: 1 }));
          expect(more).toEqual([]);
          expect(first).toMatch(/: unknown key; (?:did you mean \w|the keys here are )/);
          const meant = keys.find((each) => `${each}s` === key);
          if (meant !== undefined) expect(first).toBe(`${pathText([...path, key])}: unknown key; did you mean ${meant}?`);
        },
      ),
      { numRuns: 30 },
    );
  });

  const required = sets.flatMap(({ entries, ...place }) =>
    Object.entries(entries).flatMap(([key, shape]) =>
      shape.type === 'optional' ? [] : [{ ...place, key, at: pathText([...place.path, key]), shape }],
    ),
  );

  test.each(required)('$at: where it is missing, what to write is possible there', ({ path, is, key, at, shape }) => {
    const { [key]: _, ...others } = is as Readonly<Record<string, unknown>>;
    const [first = '', ...more] = problemsOf(changed(WHOLE, path, others));
    expect(more).toEqual([]);
    const [, said, written = ''] = /^(.*): is missing: write \w+ = (.*);$/.exec(first) ?? [];
    expect(said).toBe(at);
    expect(isPossible(shape, JSON.parse(written))).toBe(true);
    // One that is only mistyped is not missing.
    expect(problemsOf(changed(WHOLE, path, { ...others, [`${key}x`]: 1 }))).toEqual([
      `${pathText([...path, `${key}x`])}: unknown key; did you mean ${key}?`,
    ]);
  });
});

test.each([
  ['0 0 * *', 'is not a cron expression of five fields, as in "0 22 * * mon-fri": it has 4'],
  ['61 0 * * *', 'has "61" as its minute: it can be *, 0 to 59, a range such as 0-1, or several with commas'],
  ['0 0 * * fri-mon', 'has "fri-mon" as its weekday: a range goes upwards: write two with a comma, fri-7,0-mon'],
  ['0 22-2 * * *', 'has "22-2" as its hour: a range goes upwards: write two with a comma, 22-23,0-2'],
  ['5/10 * * * *', 'has "5/10" as its minute: only * and a range can have a step, as in */10'],
  ['*/90 * * * *', 'has "*/90" as its minute: a step is 1 to 60'],
  ['0 0 L * *', 'has "L" as its day of the month: it can be *, 1 to 31, '],
  ['0 0 * foo *', 'has "foo" as its month: it can be *, 1 to 12, or jan to dec, '],
  ['@daily', 'is not a cron expression of five fields, as in "0 22 * * mon-fri": it has 1'],
])('the cron expression %j %s', (cron, said) => {
  const { windows } = WHOLE.rings[0] ?? { windows: [] };
  expect(problemsOf(changed(WHOLE, ['rings', 0, 'windows'], [{ ...windows[0], allow: cron }]))).toEqual([
    expect.stringContaining(`rings[0].windows[0].allow: ${JSON.stringify(cron)} ${said}`),
  ]);
});

test.each([
  ['Berlin', '"Europe/Berlin"'],
  ['Europe/Berln', '"Europe/Berlin"'],
  ['new york', '"America/New_York"'],
  ['Host', '"host"'],
])('the time zone %j: did you mean %s?', (zone, meant) => {
  expect(problemsOf(changed(WHOLE, ['rings', 0, 'windows', 0, 'timeZone'], zone))).toEqual([
    `rings[0].windows[0].timeZone: "${zone}" is not a time zone; did you mean ${meant}?`,
  ]);
});
