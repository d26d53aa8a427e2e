import { openStatementLog } from '@floe/pipeline';
import { silentLogger, systemClock, Troubles, type Clock } from '@floe/runtime';
import type { Store } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { separateBuilder } from './separate-builder.ts';

const SECOND = 1_000;
const LEASE_MS = 30 * SECOND;
const START = 1_790_000_000_000;
/** The minute that it waits, two looks, and a database that did not answer. */
const NOTICED_SECONDS = 60 + 2 * 10 + 40;

/** One builder takes the lease from second `from` to `to`, and renews it every ten seconds, by the clock of its machine. */
interface Builder {
  readonly from: number;
  readonly to: number;
  readonly skewMs: number;
}

/** What the server says at each look, with the second of its look. `isCut` of a second: the database does not answer. */
async function watched({ from, to, skewMs }: Builder, isCut: (second: number) => boolean): Promise<readonly { second: number; isSilent: boolean }[]> {
  const stopping = new AbortController();
  let second = 0;
  const clock = Object.assign(Object.create(systemClock) as Clock, {
    now: () => START + second * SECOND,
    monotonic: () => second * SECOND,
    sleep: async (ms: number) => {
      second += ms / SECOND;
      if (second > 600) stopping.abort();
      await Promise.resolve();
    },
  });
  const lease = async () => {
    await Promise.resolve();
    if (isCut(second)) throw new Error('the database does not answer');
    if (second < from) return undefined;
    const renewed = Math.min(second, to) - ((Math.min(second, to) - from) % 10);
    // It stays in the row of a builder that was killed.
    return { owner: 'builder', expiresAt: START + renewed * SECOND + skewMs + LEASE_MS };
  };
  const said: { second: number; isSilent: boolean }[] = [];
  const builder = separateBuilder({
    keys: { releaseKeys: [], cachePublicKeys: [] },
    cacheDir: undefined,
    store: { repositories: { lease, noticesOfBuilders: async () => await Promise.resolve([]) } } as unknown as Store,
    statements: openStatementLog('/nowhere', silentLogger),
    clock,
    logger: silentLogger,
  });
  await builder.run(
    {
      notifyTargets: [],
      probes: [],
      fetches: { noteProgress: () => undefined, watching: (mirror) => mirror },
      onOtherDefault: () => undefined,
      cacheKeeping: { limits: {}, troubles: new Troubles({ clock: systemClock, logger: silentLogger }), onTooLarge: () => undefined },
      onBuilderNotices: () => undefined,
      onSilence: (message) => void said.push({ second, isSilent: message !== undefined }),
    },
    'repository',
    stopping.signal,
  );
  return said;
}

test('a builder that works is never called silent, and one that is gone soon is, however their clocks differ', async () => {
  const any = fc.record({
    from: fc.nat(300),
    forSeconds: fc.integer({ min: 60, max: 600 }),
    skewMs: fc.constantFrom(-3600 * SECOND, -45 * SECOND, 0, 45 * SECOND, 3600 * SECOND),
    cut: fc.record({ from: fc.nat(600), for: fc.nat(40) }),
  });
  await fc.assert(
    fc.asyncProperty(any, async ({ from, forSeconds, skewMs, cut }) => {
      const to = from + forSeconds;
      const said = await watched({ from, to, skewMs }, (second) => second >= cut.from && second < cut.from + cut.for);
      for (const { second, isSilent } of said) {
        if (second >= from && second <= to) expect([second, isSilent]).toEqual([second, false]);
        if (second > to + NOTICED_SECONDS) expect([second, isSilent]).toEqual([second, true]);
      }
    }),
  );
});

test('a server that is started without a builder says so, and not at once', async () => {
  const said = await watched({ from: 1_000, to: 1_000, skewMs: 0 }, () => false);
  expect(said.find(({ isSilent }) => isSilent)?.second).toBe(70);
});
