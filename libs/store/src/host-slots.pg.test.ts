import { DEFAULT_POLICY, EVALUATION_OUTCOMES, isConfigurationKnown, type HostName } from '@floe/model';
import { systemClock } from '@floe/runtime';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SlotFacts } from './records.ts';
import { COUNTED_DATABASES, type CountedDatabase } from './test/counted-database.ts';
import { storesOn, type StoresOn } from './test/stores-on.ts';
import { commit, newRelease, path, receive, toBuilding } from './test/test-store.ts';

const BROKEN = 'broken' as HostName;
const UNKNOWN = 'unknown' as HostName;
const BUSY = 'busy' as HostName;

describe.each(COUNTED_DATABASES)('a host that asks for its go, on $name', (kind) => {
  let database: CountedDatabase;
  let store: StoresOn;
  let revisions = 0;
  beforeAll(async () => {
    database = await kind.open();
    store = storesOn(database.db);
  });
  afterAll(async () => await database[Symbol.asyncDispose]());

  /** A rollout with a budget: one host has a `go`, one could not be evaluated, one is not in the revision, and `others` are. */
  async function fleetOf(others: number, budgets = [{ label: 'dns', atMost: 1 }]): Promise<string> {
    await database.empty();
    revisions += 1;
    const repository = await store.repositories.ensure({ url: `https://forge.example/${revisions}.git`, branch: 'main', now: 1 });
    const changed = [BUSY, ...Array.from({ length: others }, (_, index) => `host${index}` as HostName)];
    await store.hosts.ensure(repository.id, [...changed, BROKEN, UNKNOWN]);
    const revision = await receive(store, repository, commit(String(revisions).padStart(40, '0')));
    await toBuilding(store, revision.id);
    await store.revisions.savePolicy(revision.id, { ...DEFAULT_POLICY, budgets });
    await store.revisions.saveEvaluations(revision.id, [
      ...changed.map((host) => ({ host, outcome: 'CHANGED' as const, toplevel: path(host), labels: ['dns'] })),
      { host: BROKEN, outcome: 'EVAL_ERROR' as const, error: 'why' },
    ]);
    const releases = changed.map((host) => newRelease(revision, host, path(host)));
    await store.releases.publish(revision.id, releases, 1);
    await store.hosts.takeSlot(repository.id, BUSY, () => ({ toplevel: path(BUSY), until: systemClock.now() + 1_000_000 }));
    await database.db.execute(sql`analyze`);
    return repository.id;
  }

  async function asked(repositoryId: string, host: HostName): Promise<SlotFacts | undefined> {
    let seen: SlotFacts | undefined;
    await store.hosts.takeSlot(repositoryId, host, (facts) => void (seen = facts));
    return seen;
  }

  test('is judged by the labels of those who change, and by its own as they are now', async () => {
    const repositoryId = await fleetOf(3);
    const labelsFor = async (host: HostName) => Object.fromEntries((await asked(repositoryId, host))?.labels ?? []);
    expect(await labelsFor('host1' as HostName)).toEqual({ busy: ['dns'], host1: ['dns'] });
    expect(await labelsFor(BROKEN)).toEqual({ busy: ['dns'], broken: [] });
    expect(await labelsFor(UNKNOWN)).toEqual({ busy: ['dns'], unknown: [] });
    await database.db.execute(sql`update evaluations set labels = '["web"]' where host = ${BROKEN}`);
    expect(await labelsFor(BROKEN)).toEqual({ busy: ['dns'], broken: ['web'] });
    expect((await asked(await fleetOf(3, []), BROKEN))?.labels).toEqual(new Map());
  });

  test('is judged by the labels that hosts had, where the revision does not tell their configuration: one in flight may have left the flake', async () => {
    const repositoryId = await fleetOf(1);
    await database.db.execute(sql`update hosts set last_labels = '["dns"]'`);
    const labelsOfBusy = async () => (await asked(repositoryId, 'host0' as HostName))?.labels.get(BUSY);
    for (const outcome of EVALUATION_OUTCOMES) {
      await database.db.execute(sql`update evaluations set outcome = ${outcome}, labels = null where host = ${BUSY}`);
      expect(await labelsOfBusy(), outcome).toEqual(isConfigurationKnown(outcome) ? [] : ['dns']);
    }
    await database.db.execute(sql`delete from evaluations where host = ${BUSY}`);
    expect(await labelsOfBusy()).toEqual(['dns']);
  });

  test.each([BROKEN, UNKNOWN])('costs no more in a large fleet, also when the revision has no system for it (%s)', async (host) => {
    const cost = async (others: number): Promise<number> => {
      const repositoryId = await fleetOf(others);
      await asked(repositoryId, host);
      return await database.rowsRead(async () => await asked(repositoryId, host));
    };
    const small = await cost(100);
    expect(await cost(1_000)).toBeLessThanOrEqual(small * 1.6);
  });
});
