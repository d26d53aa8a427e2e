import fc from 'fast-check';
import { beforeEach, expect, test, vi } from 'vitest';
import { parseFleetPolicy } from './parse.ts';

const counted = vi.hoisted(() => ({ compared: 0, zones: 0 }));

vi.mock('@floe/model', async (importOriginal) => {
  const real = await importOriginal<typeof import('@floe/model')>();
  return {
    ...real,
    nearest: (name: string, names: readonly string[]) => {
      counted.compared += 1;
      return real.nearest(name, names);
    },
  };
});

class CountedFormat extends Intl.DateTimeFormat {
  constructor(...of: ConstructorParameters<typeof Intl.DateTimeFormat>) {
    counted.zones += 1;
    super(...of);
  }
}
vi.stubGlobal('Intl', Object.create(Intl, { DateTimeFormat: { value: CountedFormat } }));

beforeEach(() => {
  Object.assign(counted, { compared: 0, zones: 0 });
});

/** As many as a message lists. */
const MAX_COMPARED = 20;

test('of a policy with many mistakes only the first ones are compared with what may be meant, and each time zone is looked up once', () => {
  const word = fc.stringMatching(/^[A-Z][a-z/_]{3,60}$/);
  const size = fc.tuple(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 30 }));
  fc.assert(
    fc.property(word, word, size, (zone, key, [rings, windows, keys]) => {
      Object.assign(counted, { compared: 0, zones: 0 });
      const wrong = (index: number): object => ({ allow: '0 2 * * *', duration: '1h', timeZone: `${zone}${index}` });
      const parsed = parseFleetPolicy({
        rings: Array.from({ length: rings }, (_, ring) => ({
          name: `r${ring}`,
          windows: Array.from({ length: windows }, (__, index) => wrong(index)),
        })),
        ...Object.fromEntries(Array.from({ length: keys }, (_, index) => [`${key}${index}`, 1])),
      });
      expect(counted.compared).toBeLessThanOrEqual(MAX_COMPARED);
      // With those that are compared.
      expect(counted.zones).toBeLessThanOrEqual(rings * windows + MAX_COMPARED);
      expect(parsed.kind === 'problems').toBe(windows + keys > 0);
    }),
    { numRuns: 50 },
  );
});

test('each mistake that is shown says what is meant', () => {
  const zones = Array.from({ length: 19 }, (_, index) => ({ allow: `${index} 2 * * *`, duration: '1h', timeZone: 'Europe/Berln' }));
  const parsed = parseFleetPolicy({ rings: [{ name: 'all', windows: [...zones, ...zones] }], ring: [] });
  expect(parsed.kind === 'problems' ? parsed.problems : []).toEqual([
    'ring: unknown key; did you mean rings?',
    ...Array.from(
      { length: 18 },
      (_, index) => `rings[0].windows[${index}].timeZone: "Europe/Berln" is not a time zone; did you mean "Europe/Berlin"?`,
    ),
    'and 20 more problems',
  ]);
});
