import { DEFAULT_POLICY, NOTHING_OBSERVED, type HostName } from '@floe/model';
import { silentLogger, systemClock, Troubles, type Clock } from '@floe/runtime';
import type { CurrentRollout, FleetHost } from '@floe/store';
import { expect, test } from 'vitest';
import { FleetFeed } from './feed.ts';
import { FleetReader } from './fleet-reader.ts';
import { Notices } from './notices.ts';
import { watchPresence } from './presence-watch.ts';
import { FAKE_REPOSITORY } from './test/fake-app.ts';

const MINUTE_MS = 60_000;
const START = 1_790_000_000_000;
const LIMITS = { staleMs: 10 * MINUTE_MS, lostMs: 30 * MINUTE_MS };
const FOLLOWED = { policy: { ...DEFAULT_POLICY, presence: LIMITS } } as CurrentRollout;
const SILENT: Partial<FleetHost['row']> = {
  publicKey: 'key',
  isConnected: false,
  lastSeenAt: START,
  enrolledAt: 1,
  epoch: 0,
  observed: NOTHING_OBSERVED,
};

/** What a server shows of these hosts in an hour in which nothing is written: `minute host presence`. */
async function watchedFor(rows: Readonly<Record<string, Partial<FleetHost['row']>>>): Promise<readonly string[]> {
  let minute = 0;
  const stopping = new AbortController();
  const clock: Clock = Object.assign(Object.create(systemClock) as Clock, { now: () => START + minute * MINUTE_MS });
  const hosts = Object.entries(rows).map(
    ([host, row]) =>
      ({
        row: { host, state: 'IDLE', ...row },
        situation: {},
        desired: { kind: 'nothing' },
        quarantines: [],
        desiredCommit: undefined,
      }) as unknown as FleetHost,
  );
  const empty = async () => await Promise.resolve([]);
  const reader = new FleetReader({
    store: {
      repositories: { get: async () => await Promise.resolve(FAKE_REPOSITORY) },
      revisions: {
        list: empty,
        listToTell: empty,
        get: async () => await Promise.resolve(undefined),
        buildsOf: async () => await Promise.resolve([]),
        waiting: async () => await Promise.resolve(undefined),
        newestFinished: async () => await Promise.resolve(undefined),
        evaluations: empty,
        evaluationsAbout: empty,
        evaluationsOf: async () => await Promise.resolve(new Map()),
      },
      rollouts: { stories: empty },
      hosts: { fleet: async () => await Promise.resolve({ rollout: FOLLOWED, hosts }) },
      releases: { commitsOf: empty },
      reports: { failureLogs: async () => await Promise.resolve(new Map()) },
    },
    clock,
    feed: new FleetFeed(() => 1),
    notices: new Notices(),
    fetches: { shown: null },
    repositoryId: FAKE_REPOSITORY.id,
    troubles: new Troubles({ clock, logger: silentLogger }),
  });
  const shown: string[] = [];
  const show = async (which: ReadonlySet<HostName> | 'all'): Promise<void> => {
    const snapshot = await reader.snapshot({ limit: 1 });
    await reader.notePresence(snapshot, which);
    for (const { host, presence } of await reader.hosts(snapshot, which)) shown.push(`${minute} ${host} ${presence}`);
  };
  await show('all');
  let marked: ReadonlySet<HostName> = new Set();
  const announcer = { mark: (due: ReadonlySet<HostName> | 'all') => void (marked = due === 'all' ? new Set() : due) };
  const eachMinute: Clock = Object.assign(Object.create(clock) as Clock, {
    async sleep() {
      await show(marked);
      marked = new Set();
      // Whoever opens the page meanwhile does not keep the others from being told.
      minute += 1;
      await reader.fleet();
      if (minute > 60) stopping.abort();
    },
  });
  await watchPresence({ clock: eachMinute, reader, announcer }, stopping.signal);
  return shown;
}

test('a host becomes stale, then lost, in the minute in which it does, and is shown once each time', async () => {
  expect(await watchedFor({ ada: SILENT, bo: { ...SILENT, lastSeenAt: START - 25 * MINUTE_MS } })).toEqual([
    '0 ada away',
    '0 bo stale',
    '5 bo lost',
    '10 ada stale',
    '30 ada lost',
  ]);
});

test('nobody is missed who is there, was revoked, never enrolled, or has a row that cannot be read', async () => {
  const long = { ...SILENT, lastSeenAt: 5 };
  const shown = await watchedFor({
    here: { ...long, isConnected: true },
    revoked: { ...long, revokedAt: 6 },
    never: { isConnected: false, epoch: 0, observed: NOTHING_OBSERVED },
    unreadable: { ...long, unreadable: 'its row in the database cannot be read: last_seen_at' },
  });
  expect(shown).toEqual(['0 here online', '0 revoked away', '0 never away', '0 unreadable away']);
});
