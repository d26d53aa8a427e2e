import type postgres from 'postgres';
import type { PostgresLine } from './postgres-line.ts';
import type { PostgresPool } from './postgres-pool.ts';

type Parameters = Exclude<globalThis.Parameters<postgres.Sql['unsafe']>[1], undefined>;
type QueryOptions = globalThis.Parameters<postgres.Sql['unsafe']>[2];

/** A statement as Drizzle waits for it: itself for rows as objects, `values()` for rows as arrays. @uncalled Drizzle calls it. */
interface Statement extends PromiseLike<unknown> {
  values(): Promise<unknown>;
}

/** The part of postgres.js that Drizzle uses. @uncalled Drizzle calls it. */
interface DrizzleClient {
  readonly options: { readonly parsers: Record<string, unknown>; readonly serializers: Record<string, unknown> };
  unsafe(query: string, parameters?: Parameters, options?: QueryOptions): Statement;
  begin<Result>(run: (transaction: DrizzleClient) => Promise<Result>): Promise<Result>;
}

/** @uncalled Drizzle calls it, for a transaction within a transaction. */
interface DrizzleTransaction extends DrizzleClient {
  savepoint<Result>(run: (transaction: DrizzleTransaction) => Promise<Result>): Promise<Result>;
}

type WithLine = <Result>(use: (line: PostgresLine) => Promise<Result>) => Promise<Result>;

/** A client for Drizzle that runs on the pool. `answerTimeoutMs` undefined: the pool's usual one. */
export function drizzleClient(pool: PostgresPool, answerTimeoutMs: number | undefined): postgres.Sql {
  const client = clientOn(async (use) => await pool.withLine(use), answerTimeoutMs);
  // Drizzle's type asks for all of postgres.js; its session (pinned version) uses no more than this.
  return client as unknown as postgres.Sql;
}

function clientOn(withLine: WithLine, answerTimeoutMs: number | undefined): DrizzleClient {
  return {
    // Drizzle writes here; the lines have their own.
    options: { parsers: {}, serializers: {} },
    unsafe(query, parameters, options) {
      const run = async (asArrays: boolean): Promise<unknown> =>
        await withLine(
          async (line) =>
            await line.run(async (client) => {
              const statement = client.unsafe(query, parameters, { ...options, prepare: line.mayPrepare(query) });
              return await (asArrays ? statement.values() : statement);
            }, answerTimeoutMs),
        );
      // Sent when it is awaited, like the driver's own: only then is it known in which form.
      // oxlint-disable-next-line unicorn/no-thenable
      return { then: async (resolve, reject) => await run(false).then(resolve, reject), values: async () => await run(true) };
    },
    begin: async (run) => await withLine(async (line) => await transact(line, answerTimeoutMs, run)),
  };
}

async function transact<Result>(
  line: PostgresLine,
  answerTimeoutMs: number | undefined,
  run: (transaction: DrizzleTransaction) => Promise<Result>,
): Promise<Result> {
  const send = async (statement: string): Promise<string> =>
    await line.run(async (client) => (await client.unsafe(statement)).command, answerTimeoutMs);
  await send(line.begin);
  try {
    const result = await run(transactionOn(line, answerTimeoutMs, 1));
    // Postgres answers the commit of a transaction in which a statement failed, unnoticed, by rolling back.
    if ((await send('commit')) !== 'COMMIT') throw new Error('a statement of the transaction failed and nobody looked');
    return result;
  } catch (error) {
    // Whatever is wrong with this connection now, nobody else is to find a transaction open on it.
    await send('rollback').catch((cause: unknown) => line.lose(new Error('a transaction could not be rolled back', { cause })));
    throw error;
  }
}

/** `depth`: in how many transactions. */
function transactionOn(line: PostgresLine, answerTimeoutMs: number | undefined, depth: number): DrizzleTransaction {
  const client = clientOn(async (use) => await use(line), answerTimeoutMs);
  const name = `inner_${depth}`;
  return {
    ...client,
    async savepoint(run) {
      await client.unsafe(`savepoint ${name}`);
      try {
        const result = await run(transactionOn(line, answerTimeoutMs, depth + 1));
        await client.unsafe(`release savepoint ${name}`);
        return result;
      } catch (error) {
        // Where this fails, too, the outer transaction cannot be committed.
        await client.unsafe(`rollback to savepoint ${name}`);
        throw error;
      }
    },
  };
}
