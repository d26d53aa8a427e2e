import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { HostName as HostNameSchema, type Report } from '@floe/protocol';
import { createLogger, systemClock } from '@floe/runtime';
import { openStore, type Repository, type Store } from '@floe/store';
import { startPostgres } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReportWriter } from './report-writer.ts';
import { preparedImage } from '../../../../libs/store/src/test/prepared-embedded.ts';

const migrationsDir = join(import.meta.dirname, '../../../../migrations');
const names = ['ada', 'bob', 'eve', 'zoe'].map((name) => v.parse(HostNameSchema, name));
const [ada, bob, eve, zoe] = names as [HostName, HostName, HostName, HostName];

function report(seq: number, over: Partial<Report> = {}): Report {
  const observed = { current: null, booted: null, profile: null };
  return { type: 'report', seq, epoch: 1, state: 'DOWNLOADING', toplevel: null, observed, at: seq, ...over };
}

describe.each(['PGlite', 'Postgres'] as const)('reports that %s does not take', (database) => {
  const stack = new AsyncDisposableStack();
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  let store: Store;
  let repository: Repository;
  beforeAll(async () => {
    const target =
      database === 'PGlite'
        ? ({ kind: 'pglite', dataDir: undefined, image: await preparedImage() } as const)
        : ({ kind: 'postgres', url: stack.use(await startPostgres()).url } as const);
    store = stack.use(await openStore(target, { clock: systemClock, logger, migrationsDir }));
    repository = await store.repositories.ensure({ url: 'https://example.org/fleet.git', branch: 'main', now: 1 });
    await store.hosts.ensure(repository.id, names);
  });
  afterAll(async () => await stack.disposeAsync());

  /** What was acknowledged to each host, once all was. */
  async function write(waiting: readonly (readonly [HostName, Report])[]): Promise<Map<HostName, number>> {
    await using writer = new ReportWriter({ store, clock: systemClock, logger, onStored: () => undefined });
    const acknowledged = new Map<HostName, number>();
    await new Promise<void>((resolve) => {
      let left = waiting.length;
      for (const [host, each] of waiting) {
        const stored = (seq: number): void => {
          acknowledged.set(host, Math.max(seq, acknowledged.get(host) ?? 0));
          left -= 1;
          if (left === 0) resolve();
        };
        writer.add({ host, report: each, stored });
      }
    });
    return acknowledged;
  }

  test('are set aside on their host, and everybody else is stored', async () => {
    // What the schemas refuse today, in place of what they may accept tomorrow.
    const refused = report(2, { at: 1e300, log: 'SECRET-MARKER' });
    const acknowledged = await write([
      [ada, report(1)],
      [bob, report(1)],
      [eve, report(1)],
      [eve, refused],
      [eve, report(3)],
      [zoe, report(1)],
    ]);
    expect(Object.fromEntries(acknowledged)).toEqual({ ada: 1, bob: 1, eve: 3, zoe: 1 });
    const rows = await store.hosts.list(repository.id);
    expect(rows.map(({ host, reportSeq }) => [host, reportSeq])).toEqual([
      [ada, 1],
      [bob, 1],
      [eve, 3],
      [zoe, 1],
    ]);
    expect(rows.map(({ refused: some }) => some?.count)).toEqual([undefined, undefined, 1, undefined]);
    expect(rows[2]?.refused?.why).toMatch(/^report 2 \(DOWNLOADING\): the database does not take a value/);
    expect(lines.join('\n')).not.toMatch(/SECRET-MARKER|1e\+?300|insert into/);
  });

  test('of one host by the thousand cost one host its reports, and few statements', async () => {
    const hostile = Array.from({ length: 1_500 }, (_, index) => [eve, report(index + 10, { at: 1e300 })] as const);
    const startLines = lines.length;
    const acknowledged = await write([[ada, report(2)], ...hostile, [bob, report(2)]]);
    expect(Object.fromEntries(acknowledged)).toEqual({ ada: 2, bob: 2, eve: 1_509 });
    expect((await store.hosts.get(eve))?.refused?.count).toBe(1_501);
    // A line per host, not one per report.
    expect(lines.length - startLines).toBeLessThan(10);
  });

  test('of many hosts at once cost none of the others theirs', async () => {
    const hostile = Array.from({ length: 40 }, (_, index) => `hostile${index}` as typeof eve);
    await store.hosts.ensure(repository.id, hostile);
    const batch = hostile.flatMap((host) => [[host, report(1, { at: 1e300 })] as const, [host, report(2)] as const]);
    await write([...batch.slice(0, 30), [ada, report(3)], ...batch.slice(30), [bob, report(3)]]);
    expect((await store.hosts.get(ada))?.reportSeq).toBe(3);
    expect((await store.hosts.get(bob))?.refused).toBeUndefined();
    for (const host of hostile) expect(await store.hosts.get(host)).toMatchObject({ reportSeq: 2, refused: { count: 1 } });
  });
});
