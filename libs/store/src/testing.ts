import { asc, and, eq } from 'drizzle-orm';
import type { Database } from './database.ts';
import { RowReader } from './row-reader.ts';
import { testingBranches } from './tables/index.ts';
import { TESTING_STATES, type TestingBranch, type TestingStore } from './testing-contract.ts';
import { beginTrial, refuseTrial } from './trials.ts';

type Row = typeof testingBranches.$inferSelect;

/** A row that cannot be read is none: its branch is looked at as if it were new. */
function toBranch({ repositoryId, host, trialId, ...row }: Row): TestingBranch[] {
  const reader = new RowReader();
  const head = reader.commit('head', row.head);
  const read = { seenAt: reader.time('seen_at', row.seenAt), state: reader.one('state', row.state, TESTING_STATES, 'DONE') };
  return head === undefined || reader.problem !== undefined ? [] : [{ repositoryId, host, head, ...read, trialId: trialId ?? undefined }];
}

async function save(db: Database, { repositoryId, host, head, seenAt, state, trialId }: TestingBranch): Promise<void> {
  const set = { head, seenAt, state, trialId: trialId ?? null };
  await db
    .insert(testingBranches)
    .values({ repositoryId, host, ...set })
    .onConflictDoUpdate({ target: [testingBranches.repositoryId, testingBranches.host], set });
}

export function createTestingStore(db: Database): TestingStore {
  return {
    async list(repositoryId) {
      const rows = await db.select().from(testingBranches).where(eq(testingBranches.repositoryId, repositoryId)).orderBy(asc(testingBranches.host));
      return rows.flatMap(toBranch);
    },
    save: async (branch) => await save(db, branch),
    async remove({ repositoryId, host }) {
      await db.delete(testingBranches).where(and(eq(testingBranches.repositoryId, repositoryId), eq(testingBranches.host, host)));
    },
    begin: async (branch, trial) =>
      await db.transaction(async (tx) => {
        const begun: TestingBranch = { ...branch, state: 'TRYING', trialId: await beginTrial(tx, trial) };
        await save(tx, begun);
        return begun;
      }),
    refuse: async ({ host, head }, refused) => await refuseTrial(db, { host, commit: head, ...refused }),
  };
}
