import type { HostName, StorePath } from '@floe/model';
import { silentLogger, systemClock, Troubles } from '@floe/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newHost, newRepository, publishNext, commit, WORLDS, type World } from '../../libs/store/src/test/test-store.ts';
import { ReportWriter } from '../../apps/server/src/agents/report-writer.ts';
import { FleetFeed } from '../../apps/server/src/feed.ts';
import { FleetReader } from '../../apps/server/src/fleet-reader.ts';
import { Notices } from '../../apps/server/src/notices.ts';
import { countedStore } from '../../apps/server/src/test/counted-store.ts';

// A host that reports without end makes no look at the fleet dearer: as much is asked of the database as before, and as
// many rows come back. Counted, not timed.

const FLOOD = 60_000;

let world: World;
beforeAll(async () => {
  world = await WORLDS[1].open();
});
afterAll(async () => await world[Symbol.asyncDispose]());

test(`${FLOOD} reports of invented systems that were rolled back cost a look at the fleet nothing`, async () => {
  const { store } = world;
  const repository = await newRepository(store);
  const hosts = [newHost(), newHost()];
  const [flooder] = hosts as [HostName];
  await publishNext(store, repository, commit('1'), hosts);
  const troubles = new Troubles({ clock: systemClock, logger: silentLogger });

  async function look(): Promise<{ readonly calls: number; readonly rows: number }> {
    const watched = countedStore(store);
    const feed = new FleetFeed(() => 1);
    const fleet = { clock: systemClock, feed, notices: new Notices(), fetches: { shown: null }, repositoryId: repository.id, troubles };
    const reader = new FleetReader({ ...fleet, store: watched.store });
    expect((await reader.fleet()).hosts).toHaveLength(2);
    expect(await reader.host(flooder)).toBeDefined();
    await reader.revisions({ limit: 20 });
    return { calls: watched.calls().length, rows: watched.rows() };
  }
  const before = await look();
  {
    await using writer = new ReportWriter({ store, clock: systemClock, logger: silentLogger, onStored: () => undefined });
    const observed = { current: null, booted: null, profile: null };
    await new Promise<void>((resolve) => {
      for (let seq = 1; seq <= FLOOD; seq += 1) {
        const toplevel = `/nix/store/${'0'.repeat(32)}-invented-${seq}` as StorePath;
        const report = { type: 'report', seq, epoch: 1, state: 'ROLLED_BACK', toplevel, observed, at: seq } as const;
        writer.add({ host: flooder, report, stored: (upTo) => (upTo >= FLOOD ? resolve() : undefined) });
      }
    });
  }
  expect(await look()).toEqual(before);
  const kept = await world.query?.(`select (select count(*)::int from reports) as reports, (select count(*)::int from quarantines) as quarantines`);
  // A batch more than the thousand that are kept.
  expect(Number(kept?.[0]?.['reports'])).toBeLessThanOrEqual(3_000);
  expect(kept?.[0]?.['quarantines']).toBe(0);
});
