import { silentLogger, systemClock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { connect, type Database } from './database.ts';
import { Int8, readRows } from './rows.ts';
import { preparedImage } from './test/prepared-embedded.ts';

// A transaction within a transaction is the same on both databases: what fails inside is undone alone, when somebody catches it.

type Step =
  | { readonly kind: 'write' }
  /** Of the program, or of the database. */
  | { readonly kind: 'throw' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'inner'; readonly steps: readonly Step[] };

const { steps } = fc.letrec<{ step: Step; steps: readonly Step[] }>((tie) => ({
  step: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'transactions' },
    { weight: 3, arbitrary: fc.constant({ kind: 'write' } as const) },
    { weight: 1, arbitrary: fc.constantFrom({ kind: 'throw' } as const, { kind: 'refuse' } as const) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('inner' as const), steps: tie('steps') }) },
  ),
  steps: fc.array(tie('step'), { maxLength: 4, depthIdentifier: 'transactions' }),
}));

const Written = v.object({ id: Int8 });
const FAILURE = new Error('it is undone');

/** Runs the steps; what fails inside is caught. Returns the numbers that are to be there in the end. */
async function run(db: Database, of: readonly Step[], next: () => number): Promise<number[]> {
  const written: number[] = [];
  for (const step of of) {
    if (step.kind === 'throw') throw FAILURE;
    if (step.kind === 'refuse') await db.execute(sql`select 1 / 0`);
    else if (step.kind === 'write') {
      const id = next();
      await db.execute(sql`insert into written (id) values (${id})`);
      written.push(id);
    } else written.push(...(await db.transaction(async (tx) => await run(tx, step.steps, next)).catch((): number[] => [])));
  }
  return written;
}

test.each(['PGlite', 'Postgres'])('%s undoes what fails in an inner transaction, and that alone', async (name) => {
  await using stack = new AsyncDisposableStack();
  const server = name === 'Postgres' ? stack.use(await startPostgres()) : undefined;
  const target =
    server === undefined
      ? { kind: 'pglite' as const, dataDir: undefined, image: await preparedImage() }
      : { kind: 'postgres' as const, url: server.url };
  const connection = await connect(target, { clock: systemClock, logger: silentLogger });
  stack.defer(async () => await connection.close());
  const { db } = connection;
  await db.execute(sql`create table written (id bigint primary key)`);
  let last = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (of) => {
      await db.execute(sql`delete from written`);
      const expected = await db
        .transaction(async (tx) => await run(tx, [{ kind: 'write' }, { kind: 'inner', steps: of }, { kind: 'write' }], () => (last += 1)))
        .catch((error: unknown) => Promise.reject(new Error('the outer one failed', { cause: error })));
      expect(readRows(Written, await db.execute(sql`select id from written order by id`)).map(({ id }) => id)).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});
