import type { HostName } from '@floe/model';
import { asc, eq, sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readAsText } from './rows-as-text.ts';
import { deploys, hosts, repositories } from './tables/index.ts';
import { COUNTED_DATABASES, type CountedDatabase } from './test/counted-database.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((some) => !some.includes('\0') && some.isWellFormed());
const json = fc
  .jsonValue({ maxDepth: 2 })
  .filter((value) => !JSON.stringify(value).includes(String.raw`\u0000`) && JSON.stringify(value).isWellFormed());
const ROW = fc.record({
  publicKey: fc.option(text),
  refusedWhy: fc.option(text),
  epoch: fc.maxSafeInteger(),
  desiredSequence: fc.option(fc.maxSafeInteger()),
  isConnected: fc.boolean(),
  detail: fc.option(json.filter((value) => typeof value === 'object' && value !== null)),
  hasDeploy: fc.boolean(),
});

describe.each(COUNTED_DATABASES)('rows that come as a text, on $name', (kind) => {
  let database: CountedDatabase;
  beforeAll(async () => {
    database = await kind.open();
    await database.db.insert(repositories).values({ id: 'fleet', url: 'https://forge.example/fleet.git', branch: 'main', createdAt: 1 });
  });
  afterAll(async () => await database?.[Symbol.asyncDispose]());

  test('are those that Drizzle makes, whatever is in them, in the same order', async () => {
    const { db } = database;
    const fields = { name: hosts.host, row: hosts, deploy: deploys, length: sql<number>`length(${hosts.host})` };
    await fc.assert(
      fc.asyncProperty(fc.array(ROW, { maxLength: 5 }), async (rows) => {
        await db.delete(deploys);
        await db.delete(hosts);
        for (const [index, { hasDeploy, detail, ...row }] of rows.entries()) {
          const host = `host${(index * 7) % 5}` as HostName;
          await db.insert(hosts).values({ host, repositoryId: 'fleet', ...row, detail });
          if (hasDeploy) await db.insert(deploys).values({ host, epoch: 1, level: 'now' as never, reason: 'r', by: 'b', createdAt: 1, expiresAt: 2 });
        }
        const build = () => db.select(fields).from(hosts).leftJoin(deploys, eq(deploys.host, hosts.host)).orderBy(asc(hosts.host));
        const found = await readAsText(db, fields, (selected) =>
          selected.from(hosts).leftJoin(deploys, eq(deploys.host, hosts.host)).orderBy(asc(hosts.host)),
        );
        expect(found).toEqual(await build());
      }),
      { numRuns: 30 },
    );
  });

  test('are refused where they have more values than a function takes', async () => {
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`n${index}`, sql<number>`1`]));
    await expect(readAsText(database.db, many, (selected) => selected.from(hosts))).rejects.toThrow('a row has 101 values');
  });
});
