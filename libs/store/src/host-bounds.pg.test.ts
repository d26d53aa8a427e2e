import type { HostName } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  commit,
  moveRollout,
  newestRelease,
  newHost,
  newRepository,
  path,
  presence,
  publishNext,
  quarantinesOf,
  report,
  type World,
  WORLDS,
} from './test/test-store.ts';
import type { Release, Repository } from './records.ts';

const FLOOD = 3_000;
const BATCH = 1_000;

describe.each(WORLDS)('what one host can fill on $name', ({ open, name }) => {
  let world: World;
  let repository: Repository;
  let host: HostName;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function enrolled(): Promise<void> {
    repository = await newRepository(world.store);
    host = newHost();
    await world.store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'machine', publicKey: `key of ${host}`, at: 5 });
    await publishNext(world.store, repository, commit('1'), [host]);
  }

  test('reports, logs and quarantines have an end, whatever it says it rolled back', async () => {
    await enrolled();
    const { store } = world;
    const released = (await newestRelease(store, repository, host))?.toplevel;
    if (released === undefined) throw new Error('no release');
    const log = 'x'.repeat(200);
    for (let start = 1; start <= FLOOD; start += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, index) =>
        report(host, start + index, { state: 'ROLLED_BACK', toplevel: path(`invented-${start + index}`), log }),
      );
      await store.reports.store(batch);
    }
    await store.reports.store([report(host, FLOOD + 1, { state: 'ROLLED_BACK', toplevel: released, log })]);
    const listed = await store.reports.list(host, FLOOD);
    expect(listed.length).toBeLessThanOrEqual(BATCH + 1_000);
    expect(listed.filter(({ hasLog }) => hasLog).length).toBeLessThanOrEqual(BATCH + 200);
    expect(listed[0]).toMatchObject({ seq: FLOOD + 1, hasLog: true });
    // What was released to it is quarantined as ever; nothing else is.
    expect(await quarantinesOf(store, repository.id)).toMatchObject([{ host, toplevel: released }]);
    // The newest is shown, and an older one that comes late does not come back.
    await store.reports.store([report(host, 5)]);
    expect((await store.reports.list(host, 1))[0]?.seq).toBe(FLOOD + 1);
    expect((await store.reports.list(host, FLOOD)).some(({ seq }) => seq === 5)).toBe(false);
  });

  test('beginning its numbers again and again leaves a few series', async () => {
    await enrolled();
    const { store } = world;
    for (let round = 0; round < 8; round += 1) {
      await store.reports.store(Array.from({ length: 50 }, (_, index) => report(host, index + 1)));
      await store.hosts.connect(host, presence({ reportSeq: 0 }));
    }
    await store.reports.store([report(host, 1)]);
    const series = new Set((await store.reports.list(host, FLOOD)).map((each) => each.series));
    expect(series.size).toBeLessThanOrEqual(4);
    expect(series.has(8)).toBe(true);
  });

  test('directives are kept once per epoch, and the newest only', async () => {
    await enrolled();
    const { store, query } = world;
    const release = await newestRelease(store, repository, host);
    if (release === undefined) throw new Error('no release');
    for (let epoch = 1; epoch <= 300; epoch += 1) {
      const told = { host, epoch, releaseId: release.id, mode: 'activate', issuedAt: epoch };
      await store.hosts.saveDirectives([told]);
      await store.hosts.saveDirectives([told]);
    }
    if (query === undefined) return;
    const [counted] = await query(`select count(*)::int as count from directives where host = '${host}'`);
    expect(counted?.['count']).toBeLessThanOrEqual(201);
    expect(counted?.['count']).toBeGreaterThanOrEqual(199);
  });

  test('what an older version accepted is removed', async () => {
    await enrolled();
    const { store, query } = world;
    if (query === undefined) return;
    await query(
      `insert into quarantines (host, toplevel, reason, created_at) select '${host}', '/nix/store/invented-' || n, 'x', 1 from generate_series(1, 500) n`,
    );
    expect(await store.hosts.pruneQuarantines(0)).toBeGreaterThanOrEqual(500);
    expect(await quarantinesOf(store, repository.id)).toEqual([]);
  });

  describe('a quarantine stays, however old, while its host could be told the system', () => {
    const reasons: readonly (readonly [string, (release: Release) => Promise<unknown>])[] = [
      ...(['pin', 'hold'] as const).map(
        (kind) =>
          [
            `by a ${kind}`,
            async ({ id }: Release) =>
              await world.store.hosts.pin({ host, kind, releaseId: id, reason: 'x', by: 'ada', at: 1, expiresAt: undefined }),
          ] as const,
      ),
      ['as its stable system', async () => await moveRollout(world.store, repository.id, 'COMPLETE', 60)],
      ['as what it was told', async ({ id, toplevel, sequence }) => await world.store.hosts.desire([{ host, id, toplevel, sequence }], 60)],
    ];
    test.each(reasons)('%s', async (_, arrange) => {
      await enrolled();
      const { store } = world;
      const first = await newestRelease(store, repository, host);
      if (first === undefined) throw new Error('no release');
      await store.hosts.quarantine(host, first.toplevel, 'rolled back', 1);
      await arrange(first);
      await publishNext(store, repository, commit('2'), [host]);
      const second = await newestRelease(store, repository, host);
      if (second === undefined) throw new Error('no release');
      await store.hosts.quarantine(host, second.toplevel, 'rolled back', 1);
      await publishNext(store, repository, commit('3'), [host]);
      await store.hosts.pruneQuarantines(2);
      // Nothing could tell it the second one any more.
      expect(await quarantinesOf(store, repository.id)).toMatchObject([{ toplevel: first.toplevel }]);
    });
  });

  test(`refusals are one line on the host (${name})`, async () => {
    await enrolled();
    const { store } = world;
    for (let time = 1; time <= 30; time += 1) await store.hosts.noteRefusal(host, `report ${time}: ${'x'.repeat(5_000)}\0`, 2, time);
    const row = await store.hosts.get(host);
    expect(row?.refused).toMatchObject({ count: 60, at: 30 });
    expect(row?.refused?.why.length).toBeLessThanOrEqual(1_000);
    expect(await store.hosts.forgetRefusals(30)).toBe(0);
    expect(await store.hosts.forgetRefusals(31)).toBeGreaterThan(0);
    expect((await store.hosts.get(host))?.refused).toBeUndefined();
  });
});
