import { and, desc, eq, ne, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import type { Repository } from './records.ts';
import type { FollowedRepository } from './repository-contract.ts';
import { hosts, repositories } from './tables/index.ts';

export type RepositoryRow = typeof repositories.$inferSelect;
type ToRepository = (row: RepositoryRow) => Repository;

interface Known {
  readonly row: RepositoryRow;
  readonly enrolled: number;
}

/** The rows of a repository, locked: the one that was fetched last comes first. */
async function rowsOf(db: Database, url: string): Promise<readonly Known[]> {
  const rows = await db
    .select()
    .from(repositories)
    .where(eq(repositories.url, url))
    .orderBy(sql`${repositories.lastFetchAt} desc nulls last`, desc(repositories.createdAt))
    .for('update');
  const known = [];
  for (const row of rows) known.push({ row, enrolled: await enrolledIn(db, row.id) });
  return known;
}

async function enrolledIn(db: Database, repositoryId: string): Promise<number> {
  const [counted] = await db
    .select({ count: sql<number>`count(*)::int` })
    .from(hosts)
    .where(sql`${hosts.repositoryId} = ${repositoryId} and ${hosts.enrolledAt} is not null`);
  return counted?.count ?? 0;
}

/**
 * The row of a branch. There is one fleet: when the branch has another name than before, the row with the hosts gets it, with everything that is
 * known, and not a row without hosts. Whether the new branch goes on from the old one is asked when it is fetched, as after a force-push.
 * Two servers that do this at the same time lock the same rows, or insert the same one: the second waits, and finds the branch named.
 */
export async function followBranch(db: Database, url: string, branch: string, now: number, toRepository: ToRepository): Promise<FollowedRepository> {
  const known = await rowsOf(db, url);
  const named = known.find(({ row }) => row.branch === branch);
  const most = known.reduce<Known | undefined>((found, each) => (each.enrolled > (found?.enrolled ?? 0) ? each : found), undefined);
  const followed = named !== undefined && named.enrolled > 0 ? named : (most ?? named ?? known[0]);
  if (followed === undefined) {
    await db.insert(repositories).values({ url, branch, createdAt: now }).onConflictDoNothing();
    const made = (await rowsOf(db, url)).find(({ row }) => row.branch === branch);
    if (made === undefined) throw missingRow('repository', url);
    return toRepository(made.row);
  }
  const { row } = followed;
  if (row.branch === branch) return toRepository(row);
  await giveBranch(db, known, row, branch);
  return { ...toRepository({ ...row, branch }), ...(row.branch === '' ? {} : { formerBranch: row.branch }) };
}

/** Gives a row the name of a branch. A row of that name gets the other's: no two may have one. */
async function giveBranch(db: Database, known: readonly Known[], row: RepositoryRow, branch: string): Promise<void> {
  const named = known.find((each) => each.row.branch === branch)?.row;
  // No branch has such a name.
  if (named !== undefined) await rename(db, named.id, `${named.id} `);
  await rename(db, row.id, branch);
  if (named !== undefined) await rename(db, named.id, row.branch);
}

async function rename(db: Database, id: string, branch: string): Promise<void> {
  await db.update(repositories).set({ branch }).where(eq(repositories.id, id));
}

/** Gives a row that waits for it the name of its branch. False: it has one. */
export async function nameBranch(db: Database, id: string, branch: string): Promise<boolean> {
  const [waiting] = await db.select({ url: repositories.url }).from(repositories).where(eq(repositories.id, id));
  const known = waiting === undefined ? [] : await rowsOf(db, waiting.url);
  const row = known.find((each) => each.row.id === id)?.row;
  if (row?.branch !== '') return false;
  await giveBranch(db, known, row, branch);
  return true;
}

/**
 * The row of the branch that was followed last, where no branch is set; before all others one that has hosts. Two servers that do this at the
 * same time both insert the row without a branch: the second waits for the first's commit, and then has nothing to insert.
 */
export async function followDefault(db: Database, url: string, now: number, toRepository: ToRepository): Promise<Repository> {
  const known = await rowsOf(db, url);
  const wasFollowed = ({ row }: Known): boolean => row.lastFetchAt !== null || row.sequence > 0;
  const withHosts = known.filter(({ enrolled }) => enrolled > 0).toSorted((one, other) => other.enrolled - one.enrolled);
  const chosen =
    known.find((each) => each.enrolled > 0 && wasFollowed(each)) ??
    withHosts[0] ??
    known.find(wasFollowed) ??
    known.find(({ row }) => row.branch === '') ??
    known.toSorted((one, other) => other.row.createdAt - one.row.createdAt)[0];
  if (chosen === undefined) {
    await db.insert(repositories).values({ url, branch: '', createdAt: now }).onConflictDoNothing();
    const made = (await rowsOf(db, url)).find(({ row }) => row.branch === '');
    if (made === undefined) throw missingRow('repository', url);
    return toRepository(made.row);
  }
  if (wasFollowed(chosen) || chosen.row.branch === '') return toRepository(chosen.row);
  // A branch that does not exist was set, and then none.
  await giveBranch(db, known, chosen.row, '');
  return toRepository({ ...chosen.row, branch: '' });
}

/**
 * The repository has another address than before: its rows get it, with their hosts. Not where hosts are known under this address already, nor
 * where none are known at all. Resolves to the address before. Two servers that do this at the same time lock the same rows.
 */
export async function moveAddress(db: Database, url: string): Promise<string | undefined> {
  if ((await rowsOf(db, url)).some(({ enrolled }) => enrolled > 0)) return undefined;
  const others = await db.selectDistinct({ url: repositories.url }).from(repositories).where(ne(repositories.url, url));
  let former: { readonly url: string; readonly enrolled: number } | undefined;
  for (const other of others) {
    const enrolled = (await rowsOf(db, other.url)).reduce((sum, each) => sum + each.enrolled, 0);
    if (enrolled > (former?.enrolled ?? 0)) former = { url: other.url, enrolled };
  }
  if (former === undefined) return undefined;
  for (const { row } of await rowsOf(db, former.url)) {
    const isSame = and(eq(repositories.url, url), eq(repositories.branch, row.branch));
    // A row without hosts that has this address: no two rows may have one, and it gets the former one.
    await db
      .update(repositories)
      .set({ url: `${row.id} ` })
      .where(isSame);
    await db.update(repositories).set({ url }).where(eq(repositories.id, row.id));
    await db
      .update(repositories)
      .set({ url: former.url })
      .where(eq(repositories.url, `${row.id} `));
  }
  return former.url;
}
