import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import { openStore, type EvaluationRow, type Store } from '@floe/store';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { saveEvaluations } from './save-evaluations.ts';
import { preparedImage } from '../../../store/src/test/prepared-embedded.ts';

let store: Store;
beforeAll(async () => {
  const migrationsDir = join(import.meta.dirname, '../../../../migrations');
  store = await openStore(
    { kind: 'pglite', dataDir: undefined, image: await preparedImage() },
    { clock: systemClock, logger: silentLogger, migrationsDir },
  );
});
afterAll(async () => await store[Symbol.asyncDispose]());

const toplevel = '/nix/store/00000000000000000000000000000000-nixos-system' as StorePath;
const good = fc.constant<Partial<EvaluationRow>>({ outcome: 'CHANGED', drvPath: `${toplevel}.drv`, toplevel, system: 'x86_64-linux', evaluateMs: 5 });
/** What no column takes: each must be one host's trouble. */
const bad = fc.constantFrom<Partial<EvaluationRow>>(
  { outcome: 'CHANGED', system: 'x86\0' },
  { outcome: 'CHANGED', drvPath: '\0' },
  { outcome: 'NEW', toplevel: '\0' as StorePath },
  { outcome: 'CHANGED', evaluateMs: Number.NaN },
  { outcome: 'CHANGED', evaluateMs: 1e300 },
  { outcome: 'EVAL_ERROR', tries: 1e300 },
  { outcome: 'EVAL_ERROR', retryAt: Number.POSITIVE_INFINITY },
);

test('what the database refuses of one host is the error of that host, and the others are stored as they are', async () => {
  const repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  let commits = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof({ arbitrary: good, weight: 4 }, bad), { minLength: 1, maxLength: 60 }), async (given) => {
      commits += 1;
      const sha = String(commits).padStart(40, '0') as CommitSha;
      const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
      const revision = await store.revisions.receive(repository.id, { sha, ...about });
      const rows = given.map((row, index) => ({ host: `h${index}` as HostName, ...row }) as EvaluationRow);
      const stored = await saveEvaluations(store, revision.id, rows);
      const read = new Map((await store.revisions.evaluations(revision.id)).map((row) => [row.host, row]));
      expect(read.size).toBe(rows.length);
      for (const [index, row] of rows.entries()) {
        const isGood = row.evaluateMs === 5;
        expect(stored[index]).toEqual(
          isGood ? row : { host: row.host, outcome: 'EVAL_ERROR', error: expect.stringContaining('cannot be stored') as string },
        );
        expect(read.get(row.host)).toMatchObject(isGood ? { outcome: 'CHANGED', toplevel } : { outcome: 'EVAL_ERROR', error: stored[index]?.error });
      }
    }),
    { numRuns: 15 },
  );
});
