import { FloeError, processOf, takeProcessLock, withoutTrailingSlashes } from '@floe/runtime';

/**
 * Locks an embedded database's folder against a second process: PGlite does not, and two writers destroy it. The lock is beside
 * the folder. Throws `FloeError('STORE_IN_USE')`.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const taken = await takeProcessLock(`${withoutTrailingSlashes(folder)}.lock`);
  if (taken.kind === 'taken') return taken.lock;
  throw new FloeError('STORE_IN_USE', `another process${processOf(taken)} uses the database in ${folder}: stop it, or use Postgres to share one`, {
    data: { folder },
  });
}
