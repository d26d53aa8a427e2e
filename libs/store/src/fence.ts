import { FloeError } from '@floe/runtime';
import { and, eq } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { Lease } from './records.ts';
import { repositoryLeases } from './tables/index.ts';

/** What is only read is not held up by a lease. Everything else is, also what is not thought of here. */
const READS: ReadonlySet<PropertyKey> = new Set(['select', 'selectDistinct']);

/**
 * The database for whoever works under a lease: each transaction, and each statement that may write, is committed only while the lease's token
 * is still the newest. The race that it prevents: a worker is stopped or cut off past its lease, another one takes over, and the first one wakes
 * up in the middle of a write.
 *
 * The token is looked at last, and locked: whoever raises it waits for those that have looked and are about to commit, and those that look later find
 * another one. As everybody locks this row after all others, nobody waits in a circle.
 */
export function fenced(db: Database, lease: Lease): Database {
  const guarded = async <Result>(run: (tx: Database) => PromiseLike<Result>, config?: Parameters<Database['transaction']>[1]): Promise<Result> => {
    if (config?.accessMode === 'read only') return await db.transaction(async (tx) => await run(tx), config);
    return await db.transaction(async (tx) => {
      const result = await run(tx);
      await refuseLate(tx, lease);
      return result;
    }, config);
  };
  return new Proxy(db, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name === 'transaction') return guarded;
      if (READS.has(name)) return (...args: unknown[]): unknown => Reflect.apply(value, target, args) as unknown;
      return (...args: unknown[]): unknown => statement((tx) => call(tx, name, args), guarded);
    },
  });
}

type Step = (tx: Database) => unknown;

function call(on: unknown, name: PropertyKey, args: readonly unknown[]): unknown {
  return Reflect.apply(Reflect.get(Object(on), name) as (...args: readonly unknown[]) => unknown, on, args);
}

/** A statement of Drizzle's that is made in a transaction of its own, once somebody waits for it. */
function statement(step: Step, guarded: (run: (tx: Database) => Promise<unknown>) => Promise<unknown>): unknown {
  return new Proxy(
    {},
    {
      get(_target, name) {
        if (name !== 'then' && name !== 'catch' && name !== 'finally')
          return (...args: unknown[]): unknown => statement((tx) => call(step(tx), name, args), guarded);
        return (...args: unknown[]): unknown =>
          call(
            guarded(async (tx) => await step(tx)),
            name,
            args,
          );
      },
    },
  );
}

/** Throws LEASE_LOST where somebody has claimed the lease since. In a transaction: nobody can until its end. */
export async function refuseLate(tx: Database, { repositoryId, token, onLost }: Lease): Promise<void> {
  const found = await tx
    .select({ token: repositoryLeases.token })
    .from(repositoryLeases)
    .where(and(eq(repositoryLeases.repositoryId, repositoryId), eq(repositoryLeases.token, token)))
    .for('share');
  if (found.length > 0) return;
  onLost?.();
  throw new FloeError('LEASE_LOST', 'another builder works on the repository: what this one did late is not taken', {
    retryable: true,
    data: { repositoryId },
  });
}
