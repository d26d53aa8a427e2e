import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { Int8, readRows } from './rows.ts';
import { COUNTED_DATABASES } from './test/counted-database.ts';
import { vacuumGrown } from './vacuum.ts';

test('an embedded database in which rows come and go, and are replaced, does not grow', async () => {
  await using database = await COUNTED_DATABASES[0].open();
  const { db } = database;
  await db.execute(sql`insert into repositories (id, url, branch, created_at) values ('fleet', 'https://forge.example/fleet.git', 'main', 1)`);
  await db.execute(sql`insert into hosts (host, repository_id) select 'host' || n, 'fleet' from generate_series(1, 300) n`);
  async function round(): Promise<number> {
    await db.execute(sql`
      insert into audit_log (at, actor, action, subject, detail) select 1, 'ada', 'forget', 'host', repeat('x', 200) from generate_series(1, 1000)`);
    await db.execute(sql`delete from audit_log`);
    for (let report = 0; report < 5; report += 1) await db.execute(sql`update hosts set last_seen_at = ${report}, agent_version = repeat('x', 200)`);
    const size = await db.execute(sql`select pg_total_relation_size('audit_log') + pg_total_relation_size('hosts') as bytes`);
    await vacuumGrown(db);
    return readRows(v.object({ bytes: Int8 }), size)[0]?.bytes ?? 0;
  }
  const first = await round();
  const later = [await round(), await round(), await round()];
  expect(Math.max(...later)).toBeLessThan(1.5 * first);
});
