import { NOTHING_OBSERVED, type Desired, type HostName, type StorePath } from '@floe/model';
import { releaserOf } from '@floe/pipeline';
import { seal } from '@floe/protocol';
import { FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock, Troubles } from '@floe/runtime';
import type { DirectiveRow, FleetHost, HostRow, Release } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WelcomedSession } from './agents/session.ts';
import { offerDirectives } from './directives.ts';
import { movesRollout, Steering, type AfterPass } from './steering.ts';

const signer = signerFromPem('release-1', generateKeyPem());
const name = (index: number): HostName => `ws${index}` as HostName;
const system = (index: number): StorePath => `/nix/store/${String(index).padStart(32, '0')}-system` as StorePath;
const release = (host: HostName, sequence: number) => ({ id: `${host} ${sequence}`, host, sequence, toplevel: system(sequence) });

interface GivenHost {
  readonly host: HostName;
  /** The sequence of the release that the row has, and that it should have; 0: none. */
  readonly written: number;
  readonly wanted: number;
  readonly epoch: number;
  readonly isQuarantined?: boolean;
  readonly isUnreadable?: boolean;
  readonly isRetry?: boolean;
  readonly isConnected?: boolean;
  /** Another server wrote the same in between. */
  readonly isBeaten?: boolean;
  /** The database does not take the row. */
  readonly isRefused?: boolean;
}

function toFleetHost(given: GivenHost): FleetHost {
  const { host, written, wanted, epoch } = given;
  const row: HostRow = {
    host,
    repositoryId: 'repository',
    publicKey: 'key',
    epoch,
    observed: NOTHING_OBSERVED,
    state: 'IDLE',
    isConnected: true,
    acceptedSequence: 0,
    reportSeq: 0,
    desired:
      written === 0 || given.isUnreadable === true
        ? undefined
        : { releaseId: release(host, written).id, toplevel: system(written), sequence: written, epoch, since: 1 },
    ...(given.isUnreadable === true ? { unreadable: 'its epoch cannot be read' } : {}),
    ...(given.isRetry === true ? { retryEpoch: epoch } : {}),
  };
  const desired: Desired =
    wanted === 0
      ? { kind: 'nothing' }
      : given.isQuarantined === true
        ? { kind: 'quarantined', release: release(host, wanted) }
        : { kind: 'release', release: release(host, wanted), because: 'rollout' };
  return { row, desired, quarantines: [], acknowledged: new Set(), desiredCommit: undefined, situation: {} as FleetHost['situation'] };
}

/** What one pass over these hosts reads, writes and sends. */
async function pass(hosts: readonly GivenHost[]) {
  const calls: string[] = [];
  const sent: { readonly host: string; readonly epoch: number }[] = [];
  const saved: DirectiveRow[] = [];
  const troubles = new Troubles({ clock: systemClock, logger: silentLogger });
  const byName = new Map(hosts.map((each) => [each.host, each]));
  const stopping = new AbortController();
  const told = Promise.withResolvers<ReadonlySet<HostName> | 'all'>();
  const steering: Steering = new Steering(
    {
      store: {
        decide: async () => await Promise.reject(new Error('nothing is decided')),
        hosts: {
          async fleet() {
            calls.push('fleet');
            return await Promise.resolve({ rollout: undefined, hosts: hosts.map(toFleetHost) });
          },
          endTrial: async () => await Promise.resolve(false),
          logTrialEnd: async () => await Promise.resolve(false),
          async desire(wanted) {
            calls.push('desire');
            if (wanted.some(({ host }) => byName.get(host)?.isRefused === true)) throw new FloeError('STORE_DATA_REFUSED', 'the row is not taken');
            const moved = wanted.filter(({ host }) => byName.get(host)?.isBeaten !== true);
            return await Promise.resolve(moved.map(({ host }) => ({ host, epoch: (byName.get(host)?.epoch ?? 0) + 1 })));
          },
          async saveDirectives(rows) {
            calls.push('saveDirectives');
            saved.push(...rows);
            await Promise.resolve();
          },
        },
        hostStatements: { save: async () => await Promise.resolve() },
        releases: {
          async toOffer(_repository, ids) {
            calls.push('toOffer');
            const releases = ids.map((id) => ({ id, envelope: JSON.stringify(seal(signer, 'floe/release', { id })) }) as Release);
            return await Promise.resolve({ releases, freshness: undefined });
          },
        },
      },
      hub: {
        session: (host) =>
          byName.get(host)?.isConnected === false
            ? undefined
            : ({
                host,
                machineId: 'machine',
                nonce: 'nonce',
                capabilities: new Set(),
                offered: () => 'no',
                offer: (epoch: number) => {
                  sent.push({ host, epoch });
                  return true;
                },
              } as never),
      },
      clock: Object.assign(Object.create(systemClock) as typeof systemClock, { latest: () => systemClock.now() }),
      logger: silentLogger,
      serverSigner: signer,
      releaser: releaserOf(signer),
      rollouts: { tick: async (fleet) => await Promise.resolve({ fleet, isMoved: false, dueInMs: undefined }) },
      troubles,
      repositoryId: 'repository',
    },
    (news) => {
      told.resolve(news);
      stopping.abort();
    },
  );
  await Promise.race([steering.run(stopping.signal), told.promise]);
  stopping.abort();
  return { calls, sent, saved, troubles, news: await told.promise };
}

describe('a pass', () => {
  test('asks for nothing but the fleet when all is written, and everybody is away', async () => {
    const { calls, sent } = await pass([{ host: name(1), written: 3, wanted: 3, epoch: 1, isConnected: false }]);
    expect([calls, sent]).toEqual([['fleet'], []]);
  });

  test('writes and tells what is new with the epoch that it got, and what is written with its own', async () => {
    const { calls, sent, saved } = await pass([
      { host: name(1), written: 3, wanted: 4, epoch: 1 },
      { host: name(2), written: 4, wanted: 4, epoch: 9 },
    ]);
    expect(calls).toEqual(['fleet', 'desire', 'toOffer', 'saveDirectives']);
    expect(sent).toEqual([
      { host: 'ws1', epoch: 2 },
      { host: 'ws2', epoch: 9 },
    ]);
    expect(saved.map(({ releaseId }) => releaseId)).toEqual(['ws1 4', 'ws2 4']);
  });

  test('of whatever hosts tells none anything but what it should run, and one trouble keeps nothing from the others', async () => {
    const anyHost = fc.record({
      written: fc.integer({ min: 0, max: 3 }),
      wanted: fc.integer({ min: 0, max: 3 }),
      epoch: fc.integer({ min: 1, max: 9 }),
      isQuarantined: fc.boolean(),
      isUnreadable: fc.boolean(),
      isRetry: fc.boolean(),
      isConnected: fc.boolean(),
      isBeaten: fc.boolean(),
      isRefused: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyHost, { minLength: 1, maxLength: 8 }), async (all) => {
        const hosts = all.map((each, index) => ({ ...each, host: name(index) }));
        const { sent, saved, troubles } = await pass(hosts);
        for (const given of hosts) {
          const directive = saved.find(({ host }) => host === given.host);
          const isNews = given.isUnreadable || given.written !== given.wanted;
          const isToldNow =
            given.wanted > 0 &&
            !given.isQuarantined &&
            !given.isUnreadable &&
            given.isConnected &&
            // What another server, or nobody, wrote is told by a later pass.
            (!isNews || (!given.isBeaten && !given.isRefused));
          expect(directive?.releaseId, JSON.stringify(given)).toBe(isToldNow ? release(given.host, given.wanted).id : undefined);
          if (directive !== undefined) expect(directive.epoch).toBe(isNews ? given.epoch + 1 : given.epoch);
          const isRefused = given.isRefused && given.wanted > 0 && !given.isQuarantined && isNews;
          expect(troubles.of(given.host)?.code).toBe(isRefused ? 'STORE_DATA_REFUSED' : undefined);
        }
        expect(sent).toHaveLength(saved.length);
      }),
      { numRuns: 60 },
    );
  });
});

/** A steering without hosts: it notes what it looks at, and asks `clock` for the time. */
function emptySteering(
  looks: (readonly HostName[] | undefined)[],
  clock: typeof systemClock,
  afterPass: AfterPass,
  dueInMs?: () => number | undefined,
): Steering {
  return new Steering(
    {
      store: {
        decide: async () => await Promise.reject(new Error('nothing is decided')),
        hostStatements: { save: async () => await Promise.resolve() },
        hosts: {
          endTrial: async () => await Promise.resolve(false),
          logTrialEnd: async () => await Promise.resolve(false),
          async fleet(_repository, hosts) {
            looks.push(hosts);
            return await Promise.resolve({ rollout: undefined, hosts: [] });
          },
          desire: async () => await Promise.resolve([]),
          saveDirectives: async () => await Promise.resolve(),
        },
        releases: { toOffer: async () => await Promise.resolve({ releases: [], freshness: undefined }) },
      },
      hub: { session: () => undefined },
      clock: Object.assign(Object.create(clock) as typeof clock, { latest: () => 1 }),
      logger: silentLogger,
      serverSigner: signer,
      releaser: releaserOf(signer),
      troubles: new Troubles({ clock: systemClock, logger: silentLogger }),
      repositoryId: 'repository',
      rollouts: { tick: async (fleet) => await Promise.resolve({ fleet, isMoved: false, dueInMs: dueInMs?.() }) },
    },
    afterPass,
  );
}

test('what moves no host is told without a look at the store, and what a pass looks at is told with it, once', async () => {
  const looks: (readonly HostName[] | undefined)[] = [];
  const told: (ReadonlySet<HostName> | 'all')[] = [];
  const stopping = new AbortController();
  const steering = emptySteering(looks, systemClock, (hosts) => told.push(hosts));
  const running = steering.run(stopping.signal);
  const isTold = async (times: number): Promise<true> => await eventually('it is told', () => (told.length >= times ? true : undefined));
  await isTold(1);
  expect([looks, told]).toEqual([[undefined], ['all']]);
  steering.markNews([name(1)]);
  await isTold(2);
  steering.mark(name(2));
  steering.markNews([name(3)]);
  await isTold(3);
  steering.markNews('all');
  steering.mark(name(4));
  await isTold(4);
  expect(told.slice(1)).toEqual([new Set([name(1)]), new Set([name(3), name(2)]), 'all']);
  expect(looks.slice(1)).toEqual([[name(2)], [name(4)]]);
  stopping.abort();
  await running;
});

test('whatever the database forgets, a host gets what is written for it, or is asked to connect again', async () => {
  const step = fc.record({ epoch: fc.integer({ min: 1, max: 4 }), release: fc.constantFrom('one', 'two') });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      let isOpen = true;
      let got: string | undefined;
      const socket = {
        get isOpen() {
          return isOpen;
        },
        send: () => isOpen,
        close: () => (isOpen = false),
      };
      const session = WelcomedSession.welcome(
        'server/1',
        socket as never,
        'nonce',
        { host: name(1) },
        { host: name(1), machineId: 'm', bootId: 'b' } as never,
        {} as never,
      );
      if (session === undefined) throw new Error('no session');
      for (const { epoch, release: releaseId } of steps) {
        if (!isOpen) break;
        const deps = {
          store: {
            hosts: { saveDirectives: async () => await Promise.resolve() },
            hostStatements: { save: async () => await Promise.resolve() },
            releases: {
              toOffer: async (_repository: string, ids: readonly string[]) =>
                await Promise.resolve({
                  releases: ids.map((id) => ({ id, envelope: JSON.stringify(seal(signer, 'floe/release', { id })) }) as Release),
                  freshness: undefined,
                }),
            },
          },
          clock: { now: () => 1, latest: () => 1 },
          serverSigner: signer,
          releaser: releaserOf(signer),
          logger: silentLogger,
          troubles: new Troubles({ clock: systemClock, logger: silentLogger }),
        };
        const desired = { releaseId, toplevel: system(1), sequence: 1, epoch, since: 1 };
        const [sent] = await offerDirectives(deps, 'repository', [{ session, desired, floor: 1, isRetry: false }]);
        if (sent !== undefined) got = `${sent.releaseId} ${sent.epoch}`;
        // The agent has exactly this, or the connection ends, and the next hello says what it has.
        if (isOpen) expect(got).toBe(`${releaseId} ${epoch}`);
      }
    }),
  );
});

test('everything is looked at from time to time, also when something wakes it all the time', async () => {
  const looks: (readonly HostName[] | undefined)[] = [];
  const stopping = new AbortController();
  let now = 0;
  const clock = Object.assign(Object.create(systemClock) as typeof systemClock, {
    monotonic: () => now,
    sleep: async () => await new Promise<void>((resolve) => setImmediate(resolve)),
  });
  const steering: Steering = emptySteering(looks, clock, () => {
    now += 1_000;
    if (now < 100_000) steering.markNews([]);
  });
  const running = steering.run(stopping.signal);
  await eventually('it was woken for a while', () => (now >= 100_000 ? true : undefined));
  expect(looks.filter((hosts) => hosts === undefined).length).toBeGreaterThanOrEqual(3);
  stopping.abort();
  await running;
});

test('a verdict, a wait and a start may move the rollout; a step of a download does not', () => {
  expect((['ROLLED_BACK', 'SUCCEEDED', 'DEFERRED', 'ACTIVATING', 'BLOCKED'] as const).map(movesRollout)).toEqual([true, true, true, true, true]);
  expect((['OFFERED', 'DOWNLOADING', 'STAGED', 'VERIFYING'] as const).map(movesRollout)).toEqual([false, false, false, false]);
});

test('a report that may move the rollout has all hosts looked at in the next pass, and any other one its own', async () => {
  const looks: (readonly HostName[] | undefined)[] = [];
  const stopping = new AbortController();
  const steering = emptySteering(looks, systemClock, () => undefined);
  const running = steering.run(stopping.signal);
  const isLooked = async (times: number): Promise<true> => await eventually('it looked', () => (looks.length >= times ? true : undefined));
  await isLooked(1);
  steering.mark(name(1));
  await isLooked(2);
  steering.markRollout(name(2));
  await isLooked(3);
  expect(looks).toEqual([undefined, [name(1)], undefined]);
  stopping.abort();
  await running;
});

test('a soak that ends is looked at when it does, and not with the next look at everything', async () => {
  const [looks, times]: [(readonly HostName[] | undefined)[], number[]] = [[], []];
  const stopping = new AbortController();
  let now = 0;
  const clock = Object.assign(Object.create(systemClock) as typeof systemClock, {
    monotonic: () => now,
    sleep: async () => await new Promise<void>((resolve) => setImmediate(resolve)),
  });
  const steering: Steering = emptySteering(
    looks,
    clock,
    () => {
      if (looks.length > times.length) times.push(now);
      now += 1_000;
      if (now < 100_000) steering.markNews([]);
    },
    // In 5 s, and later nothing for long.
    () => (looks.length === 1 ? 5_000 : undefined),
  );
  const running = steering.run(stopping.signal);
  await eventually('it was woken for a while', () => (now >= 100_000 ? true : undefined));
  expect(times.slice(0, 3)).toEqual([0, 5_000, 35_000]);
  stopping.abort();
  await running;
});
