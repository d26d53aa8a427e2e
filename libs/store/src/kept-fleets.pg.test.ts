import { AWAY_GRACE_MS, DEFAULT_POLICY, VERDICT_MS, type CommitSha, type HostName } from '@floe/model';
import { systemClock } from '@floe/runtime';
import { getTableColumns, is, sql, type SQL } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFleet } from './fleet.ts';
import { KeptFleets } from './kept-fleets.ts';
import type { Fleet } from './records.ts';
import { KnownRingHosts, ringHosts } from './ring-hosts.ts';
import * as tables from './tables/index.ts';
import { COUNTED_DATABASES, type CountedDatabase } from './test/counted-database.ts';
import { storesOn, type StoresOn } from './test/stores-on.ts';
import { commit, newRelease, path, presence, receive, report, toBuilding } from './test/test-store.ts';
import { LeftOutRows } from './unreadable.ts';

const HOSTS = 6;
const ALL = Array.from({ length: HOSTS }, (_, index) => `host${index}` as HostName);
/** The budget of a look of the server, DESIGN's, is for all of it; each of these is a part. */
const MOST_STATEMENTS = 6;

const PROBE = { name: 'errors', everyMs: 60_000 };

/** Every column that there is, of rows that a look may depend on. Of all others a change is a change of nothing. */
const COLUMNS = Object.values(tables)
  .filter((table) => is(table, PgTable))
  .flatMap((table) =>
    Object.values(getTableColumns(table)).map((column) => ({ table: getTableConfig(table).name, column: column.name, type: column.getSQLType() })),
  );

type Step =
  | { readonly kind: 'change'; readonly of: (typeof COLUMNS)[number]; readonly row: number; readonly value: number }
  | { readonly kind: 'delete'; readonly table: string; readonly row: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'back up' }
  | { readonly kind: 'restore' }
  | { readonly kind: 'do'; readonly what: number; readonly host: number };

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('change' as const), of: fc.constantFrom(...COLUMNS), row: fc.nat(9), value: fc.nat(4) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      table: fc.constantFrom(...new Set(COLUMNS.map(({ table }) => table))),
      row: fc.nat(9),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.oneof(fc.nat(300), fc.nat(4_000)) }) },
  // A clock that is set.
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(-1, -200, -4_000, AWAY_GRACE_MS, -AWAY_GRACE_MS, VERDICT_MS) }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'back up' as const }, { kind: 'restore' as const }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('do' as const), what: fc.nat(16), host: fc.nat(HOSTS - 1) }) },
) satisfies fc.Arbitrary<Step>;

describe.each(COUNTED_DATABASES)('a fleet that is kept between looks, on $name', (kind) => {
  let database: CountedDatabase;
  let store: StoresOn;
  let now = 1_000;
  let rounds = 0;
  beforeAll(async () => {
    database = await kind.open();
    store = storesOn(database.db, { ...systemClock, now: () => now });
  });
  afterAll(async () => await database[Symbol.asyncDispose]());

  async function publish(repositoryId: string, hosts: readonly HostName[]): Promise<void> {
    rounds += 1;
    const repository = await store.repositories.get(repositoryId);
    const revision = await receive(store, repository, commit(String(rounds).padStart(40, '0')));
    await toBuilding(store, revision.id);
    await store.revisions.savePolicy(revision.id, { ...DEFAULT_POLICY, rings: DEFAULT_POLICY.rings.map((ring) => ({ ...ring, probes: [PROBE] })) });
    await store.revisions.saveEvaluations(
      revision.id,
      ALL.map((host) => ({
        host,
        labels: ALL.indexOf(host) % 2 === 0 ? ['even'] : [],
        outcome: hosts.includes(host) ? ('CHANGED' as const) : ('UNCHANGED' as const),
        toplevel: path(`${host}-${rounds}`),
      })),
    );
    await store.releases.publish(
      revision.id,
      hosts.map((host) => newRelease(revision, host, path(`${host}-${rounds}`))),
      now,
    );
  }

  async function act(repositoryId: string, what: number, host: HostName): Promise<unknown> {
    const { hosts, rollouts } = store;
    const { rollout, hosts: read } = await readFleet(database.db, { repositoryId, now });
    const release = read.find(({ row }) => row.host === host)?.situation.rollout;
    const said = { by: 'ada', reason: 'why', at: now } as const;
    const acts: readonly (() => Promise<unknown>)[] = [
      async () => await publish(repositoryId, [host]),
      async () => await publish(repositoryId, ALL),
      async () => release && (await hosts.desire([release], now)),
      async () => await hosts.connect(host, presence({ at: now })),
      async () => await store.reports.store([report(host, now, { state: 'ROLLED_BACK', toplevel: release?.toplevel ?? path('x') })]),
      async () => release && (await hosts.pin({ host, kind: 'pin', releaseId: release.id, expiresAt: now + 100, ...said })),
      async () => release && (await hosts.takeSlot(repositoryId, host, () => ({ toplevel: release.toplevel, until: now + 50 }))),
      async () => release && (await hosts.retry(host, release.toplevel)),
      async () => await rollouts.freeze(repositoryId, { ...said, until: now + 100 }),
      async () => await hosts.orderQuarantine({ repositoryId, host, commit: String(rounds).padStart(40, '0') as CommitSha, ...said }),
      async () => await rollouts.stopLabel(repositoryId, { ...said, label: 'even', until: now + 100 }),
      async () =>
        rollout &&
        release &&
        (await rollouts.order({ rolloutId: rollout.id, kind: 'resume', subject: 1, role: 'operator', acknowledged: [release], ...said })),
      async () =>
        rollout && (await rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'COMPLETE' } }, now, [])),
      async () => {
        const probe = rollout && { rolloutId: rollout.id, ring: 0, name: PROBE.name };
        const claim = probe && (await rollouts.claimProbe(probe, now, 100));
        const measured = { value: '1', max: 0, min: undefined, detail: 'why' };
        if (probe && claim !== undefined) await rollouts.answerProbe(probe, claim, { ...measured, verdict: 'bad', askedAt: now });
      },
      async () => await hosts.enrol({ host, repositoryId, machineId: host, publicKey: `${host}-${now}`, at: now }),
      async () => release && (await hosts.quarantine(host, release.toplevel, 'why', now)),
      async () => await hosts.pruneQuarantines(now),
    ];
    return await acts[what]?.();
  }

  /** A row of any table gets another value in one column, if the database lets it. */
  async function change(statement: SQL): Promise<void> {
    await database.db.transaction(async (tx) => await tx.execute(statement)).catch(() => undefined);
  }

  const otherValue = (type: string, value: number): SQL => {
    if (type === 'boolean') return sql.raw(value % 2 === 0 ? 'true' : 'false');
    if (type === 'jsonb') return sql.raw(["'null'::jsonb", "'{}'::jsonb", 'null', "'[]'::jsonb", "'1'::jsonb"][value] ?? 'null');
    if (type === 'bigint') return sql.raw(['null', '0', '7', '-1', String(now + 20)][value] ?? 'null');
    return sql.raw(['null', "''", "'SUCCEEDED'", "'PAUSED'", `'${path('other')}'`][value] ?? 'null');
  };

  async function take(repositoryId: string, each: Step): Promise<void> {
    if (each.kind === 'pass') now = Math.max(1, now + each.ms);
    else if (each.kind === 'back up') await database.backUp();
    else if (each.kind === 'restore') await database.restore();
    else if (each.kind === 'do') await act(repositoryId, each.what, ALL[each.host] ?? ('host0' as HostName)).catch(() => undefined);
    else {
      const table = each.kind === 'delete' ? each.table : each.of.table;
      const row = sql`ctid = (select ctid from ${sql.identifier(table)} order by ctid desc offset ${each.row}::int limit 1)`;
      if (each.kind === 'delete') await change(sql`delete from ${sql.identifier(table)} where ${row}`);
      else
        await change(
          sql`update ${sql.identifier(table)} set ${sql.identifier(each.of.column)} = ${otherValue(each.of.type, each.value)} where ${row}`,
        );
    }
  }

  test('is what the database has, whatever was changed in it, and however', async () => {
    const numRuns = fc.readConfigureGlobal().numRuns ?? (kind.name === 'Postgres' ? 6 : 2);
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 25 }), async (steps) => {
        round += 1;
        const { id } = await store.repositories.ensure({ url: `https://forge.example/${round}.git`, branch: 'main', now });
        await database.empty();
        await store.hosts.ensure(id, ALL);
        await publish(id, ALL);
        await database.backUp();
        const kept = new KeptFleets(0);
        // What the server keeps beside it, of the hosts that were not read again.
        const known = new KnownRingHosts();
        const look = async (): Promise<Fleet> => {
          const fleet = await kept.read(database.db, { repositoryId: id, now }, new LeftOutRows());
          if (fleet.rollout === undefined) return fleet;
          expect(known.of(fleet.rollout, fleet.hosts, now)).toEqual(ringHosts(fleet.rollout, fleet.hosts, now));
          return fleet;
        };
        await look();
        for (const each of steps) {
          await take(id, each);
          expect(await look(), JSON.stringify(each)).toEqual(await readFleet(database.db, { repositoryId: id, now }));
        }
      }),
      { numRuns, endOnFailure: true },
    );
  });

  test(`costs one statement while nothing happens, and at most ${MOST_STATEMENTS} when hosts changed`, async () => {
    await database.empty();
    const { id } = await store.repositories.ensure({ url: 'https://forge.example/counted.git', branch: 'main', now });
    const many = Array.from({ length: 300 }, (_, index) => `host${index}` as HostName);
    await store.hosts.ensure(id, many);
    await publish(id, many);
    const kept = new KeptFleets();
    const look = async () => await kept.read(database.db, { repositoryId: id, now }, new LeftOutRows());
    await look();
    await look();
    expect(await database.statements(look)).toBe(1);
    await store.hosts.connect('host7' as HostName, presence({ at: now }));
    expect(await database.statements(look)).toBeLessThanOrEqual(MOST_STATEMENTS);
    expect(await look()).toEqual(await readFleet(database.db, { repositoryId: id, now }));
    expect(await database.statements(look)).toBe(1);
  });

  test(`costs at most ${MOST_STATEMENTS} with authors, label stops, pins and trials, while hosts are still built`, async () => {
    await database.empty();
    const { id } = await store.repositories.ensure({ url: 'https://forge.example/all.git', branch: 'main', now });
    const many = Array.from({ length: 300 }, (_, index) => `host${index}` as HostName);
    await store.hosts.ensure(id, many);
    await publish(id, many);
    const kept = new KeptFleets();
    const look = async () => await kept.read(database.db, { repositoryId: id, now }, new LeftOutRows());
    const { rollout, hosts } = await look();
    const [first, second, third] = hosts;
    if (rollout === undefined || first?.situation.rollout === undefined || second === undefined || third === undefined) throw new Error('no rollout');
    const said = { by: 'ada', reason: 'why' } as const;
    const authors = { ring: 0, since: 0, pushers: ['ada'], isUntold: false, signers: [] };
    await store.rollouts.save({ ...rollout, authors, left: undefined }, now, []);
    await database.db.execute(sql`update revisions set state = 'BUILDING'`);
    await store.rollouts.stopLabel(id, { ...said, label: 'even', at: now, until: undefined });
    const releaseId = first.situation.rollout.id;
    await store.hosts.pin({ host: first.row.host, kind: 'pin', releaseId, ...said, at: now });
    const [toplevel, sha] = [path('tried'), '1'.repeat(40) as CommitSha];
    const trial = { host: second.row.host, sequence: 1, toplevel, commit: sha, envelope: '{}', ...said, at: now, endsAt: now + 1_000 };
    await store.hosts.beginTrial(trial);
    await look();
    await store.hosts.connect(third.row.host, presence({ at: now }));
    expect(await database.statements(look)).toBeLessThanOrEqual(MOST_STATEMENTS);
    const looked = await look();
    expect(looked).toEqual(await readFleet(database.db, { repositoryId: id, now }));
    expect(looked.rollout?.people?.authors).toBeDefined();
    expect(looked.hosts[0]?.situation.pin?.id).toBe(releaseId);
    expect(looked.hosts.find(({ row }) => row.host === second.row.host)?.trial?.toplevel).toBe(toplevel);
    expect(looked.hosts.some(({ situation }) => situation.stops !== undefined)).toBe(true);
  });

  test('is read again part by part though nothing happens, and none of a host is read because the rollout moved', async () => {
    await database.empty();
    const { id } = await store.repositories.ensure({ url: 'https://forge.example/parts.git', branch: 'main', now });
    const many = Array.from({ length: 300 }, (_, index) => `host${index}` as HostName);
    await store.hosts.ensure(id, many);
    await publish(id, many);
    const kept = new KeptFleets();
    const look = async () => await kept.read(database.db, { repositoryId: id, now }, new LeftOutRows());
    const first = await look();
    const keptOf = ({ hosts }: Fleet): number => hosts.filter((host, index) => host === first.hosts[index]).length;
    const { rollout } = first;
    if (rollout === undefined) throw new Error('there is no rollout');
    await store.rollouts.save({ ...rollout, left: undefined }, now, []);
    expect(await database.statements(look)).toBeLessThanOrEqual(MOST_STATEMENTS);
    const moved = await look();
    expect(moved).toEqual(await readFleet(database.db, { repositoryId: id, now }));
    expect(keptOf(moved)).toBe(300);
    for (let left = 294; left >= 0; left -= 6) {
      now += 4_000;
      const statements = await database.statements(async () => {
        expect(keptOf(await look())).toBe(left);
      });
      expect(statements).toBeLessThanOrEqual(MOST_STATEMENTS);
    }
    expect(await look()).toEqual(await readFleet(database.db, { repositoryId: id, now }));
  });
});
