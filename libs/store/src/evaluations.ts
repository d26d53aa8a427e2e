import {
  EVALUATION_OUTCOMES,
  HOST_NAME_FORM,
  MAX_ATTRIBUTE_CHARACTERS,
  MAX_TIME_MS,
  MAX_TIME_ZONE_CHARACTERS,
  REVISION_STATES,
  RING_NAME_FORM,
  storableText,
  type HostName,
} from '@floe/model';
import { and, asc, between, eq, inArray, isNotNull, isNull, or, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts } from './hints.ts';
import { LabelsColumn } from './policy-column.ts';
import type { BuildRow, EvaluatedRevision, Evaluation, EvaluationRow } from './records.ts';
import { RowReader } from './row-reader.ts';
import { Int8, WarningsColumn } from './rows.ts';
import { readAsText } from './rows-as-text.ts';
import type { RevisionStore } from './store.ts';
import { evaluations, hosts, revisions } from './tables/index.ts';

/** Rows per insert: Postgres takes 65,535 parameters in one statement, and a row has 15. */
const ROWS_PER_INSERT = 4_300;

/**
 * An evaluation replaces an earlier one completely, including the result of an interrupted build. Of two of one host the later
 * one counts, because no statement may update a row twice.
 */
async function saveEvaluations(db: Database, revisionId: string, given: readonly EvaluationRow[]): Promise<void> {
  const rows = [...new Map(given.map((row) => [row.host, row])).values()];
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
    const values = rows
      .slice(start, start + ROWS_PER_INSERT)
      .map(({ host, outcome, drvPath, toplevel, system, error, warnings, labels, ring, formerHost, timeZone, retryAt, tries, evaluateMs }) => ({
        revisionId,
        host,
        outcome,
        drvPath: drvPath ?? null,
        toplevel: toplevel ?? null,
        system: system ?? null,
        error: error === undefined ? null : storableText(error),
        warnings: warnings === undefined || warnings.length === 0 ? null : warnings.map((warning) => storableText(warning)),
        labels: labels === undefined || labels.length === 0 ? null : labels,
        ring: ring ?? null,
        formerHost: formerHost ?? null,
        timeZone: timeZone ?? null,
        retryAt: retryAt ?? null,
        tries: tries ?? 0,
        evaluateMs: evaluateMs ?? null,
      }));
    await db
      .insert(evaluations)
      .values(values)
      .onConflictDoUpdate({
        target: [evaluations.revisionId, evaluations.host],
        set: {
          outcome: sql`excluded.outcome`,
          drvPath: sql`excluded.drv_path`,
          toplevel: sql`excluded.toplevel`,
          system: sql`excluded.system`,
          error: sql`excluded.error`,
          warnings: sql`excluded.warnings`,
          labels: sql`excluded.labels`,
          ring: sql`excluded.ring`,
          formerHost: sql`excluded.former_host`,
          timeZone: sql`excluded.time_zone`,
          retryAt: sql`excluded.retry_at`,
          tries: sql`excluded.tries`,
          evaluateMs: sql`excluded.evaluate_ms`,
          buildMs: null,
          builtAt: null,
          narHash: null,
          closureSizeBytes: null,
        },
      });
  }
}

async function saveBuild(db: Database, revisionId: string, row: BuildRow): Promise<void> {
  const { host, outcome, error, retryAt, tries, buildMs, builtAt } = row;
  const saved = await db
    .update(evaluations)
    .set({
      ...(outcome === undefined ? {} : { outcome, error: null, retryAt: retryAt ?? null }),
      ...(tries === undefined ? {} : { tries }),
      ...(error === undefined ? {} : { error: storableText(error) }),
      ...(buildMs === undefined ? {} : { buildMs }),
      ...(builtAt === undefined ? {} : { builtAt }),
      host,
    })
    .where(and(eq(evaluations.revisionId, revisionId), eq(evaluations.host, host)))
    .returning({ host: evaluations.host });
  if (saved.length === 0) throw missingRow('evaluation of', host);
}

type Row = Omit<typeof evaluations.$inferSelect, 'revisionId'>;

/** An unreadable row is an error of its host, which keeps its system. */
function toEvaluation(row: Row): Evaluation {
  const reader = new RowReader();
  const read = {
    host: storableText(row.host, MAX_ATTRIBUTE_CHARACTERS) as HostName,
    outcome: reader.one('outcome', row.outcome, EVALUATION_OUTCOMES, 'EVAL_ERROR'),
    drvPath: row.drvPath ?? undefined,
    toplevel: reader.path('toplevel', row.toplevel),
    system: reader.word('system', row.system),
    error: reader.text(row.error),
    warnings: reader.json('warnings', row.warnings, WarningsColumn) ?? [],
    labels: reader.json('labels', row.labels, LabelsColumn) ?? [],
    ring: reader.form('ring', row.ring, RING_NAME_FORM),
    formerHost: reader.form('former_host', row.formerHost, HOST_NAME_FORM) as HostName | undefined,
    timeZone: row.timeZone === null ? undefined : storableText(row.timeZone, MAX_TIME_ZONE_CHARACTERS),
    retryAt: reader.timeOrNone('retry_at', row.retryAt),
    tries: reader.counter('tries', row.tries),
    evaluateMs: reader.durationOrNone('evaluate_ms', row.evaluateMs),
    buildMs: reader.durationOrNone('build_ms', row.buildMs),
    builtAt: reader.timeOrNone('built_at', row.builtAt),
    narHash: row.narHash ?? undefined,
    closureSizeBytes: reader.counterOrNone('closure_size_bytes', row.closureSizeBytes),
  };
  return reader.problem === undefined ? read : { ...read, outcome: 'EVAL_ERROR', error: reader.problem };
}

/** The hosts of a revision, by name. */
export async function readEvaluations(db: Database, id: string): Promise<readonly Evaluation[]> {
  const rows = await readAsText(db, { evaluation: evaluations }, (selected) =>
    selected.from(evaluations).where(eq(evaluations.revisionId, id)).orderBy(asc(evaluations.host)),
  );
  return rows.map(({ evaluation }) => toEvaluation(evaluation));
}

/** Of one host, and of one that was called so before. */
async function readEvaluationsAbout(db: Database, id: string, host: HostName): Promise<readonly Evaluation[]> {
  const isAbout = or(eq(evaluations.host, host), eq(evaluations.formerHost, host));
  const rows = await db
    .select()
    .from(evaluations)
    .where(and(eq(evaluations.revisionId, id), isAbout))
    .orderBy(asc(evaluations.host));
  return rows.map(toEvaluation);
}

/** One statement: a commit that is evaluated again meanwhile is seen before or after that, and never published without hosts. */
async function evaluationsOf(db: Database, ids: readonly string[]): Promise<ReadonlyMap<string, EvaluatedRevision>> {
  if (ids.length === 0) return new Map();
  const rows = await readAsText(db, { id: revisions.id, state: revisions.state, evaluation: evaluations }, (selected) =>
    selected
      .from(revisions)
      .leftJoin(evaluations, eq(evaluations.revisionId, revisions.id))
      .where(inArray(revisions.id, [...ids]))
      .orderBy(asc(evaluations.host)),
  );
  const byRevision = Map.groupBy(rows, ({ id }) => id);
  return new Map(
    [...byRevision].map(([id, some]) => [
      id,
      {
        state: new RowReader().one('state', some[0]?.state ?? 'REJECTED', REVISION_STATES, 'REJECTED'),
        evaluations: some.flatMap(({ evaluation }) => (evaluation === null ? [] : [toEvaluation(evaluation)])),
      },
    ]),
  );
}

export function createEvaluationStore(
  db: Database,
): Pick<
  RevisionStore,
  'saveEvaluations' | 'noteEvaluated' | 'saveBuilds' | 'savePublished' | 'evaluations' | 'evaluationsAbout' | 'evaluationsOf' | 'nextRetryAt'
> {
  return {
    saveEvaluations: async (id, rows) =>
      await db.transaction(async (tx) => {
        await saveEvaluations(tx, id, rows);
        await notify(tx, { topic: 'revision', id });
        const [revision] = await tx.select({ state: revisions.state }).from(revisions).where(eq(revisions.id, id));
        // Its rollout waits for them no more.
        if (revision?.state === 'BUILDING')
          await notifyHosts(
            tx,
            rows.map(({ host }) => host),
          );
      }),
    saveBuilds: async (id, rows) =>
      await db.transaction(async (tx) => {
        for (const row of rows) await saveBuild(tx, id, row);
        await notify(tx, { topic: 'revision', id });
        // Its ring waits for it no more.
        await notifyHosts(
          tx,
          rows.flatMap(({ host, outcome }) => (outcome === 'BUILD_ERROR' ? [host] : [])),
        );
      }),
    async savePublished(id: string, host: HostName, narHash: string, closureSizeBytes: number) {
      await db
        .update(evaluations)
        .set({ narHash, closureSizeBytes })
        .where(and(eq(evaluations.revisionId, id), eq(evaluations.host, host)));
    },
    noteEvaluated: async (id, at) => {
      await db
        .update(revisions)
        .set({ evaluatedAt: at })
        .where(and(eq(revisions.id, id), eq(revisions.state, 'BUILDING')));
      await notify(db, { topic: 'revision', id });
    },
    evaluations: async (id) => await readEvaluations(db, id),
    evaluationsAbout: async (id, host) => await readEvaluationsAbout(db, id, host),
    evaluationsOf: async (ids) => await evaluationsOf(db, ids),
    async nextRetryAt(id) {
      const [row] = await db
        .select({ at: sql`min(${evaluations.retryAt})` })
        .from(evaluations)
        .where(and(eq(evaluations.revisionId, id), between(evaluations.retryAt, 0, MAX_TIME_MS)));
      const [enrolled] = await db
        .select({ host: hosts.host })
        .from(evaluations)
        .innerJoin(hosts, eq(hosts.host, evaluations.host))
        .innerJoin(revisions, eq(revisions.id, evaluations.revisionId))
        .where(
          and(
            eq(evaluations.revisionId, id),
            eq(revisions.state, 'PUBLISHED'),
            eq(evaluations.outcome, 'NOT_OURS'),
            isNotNull(hosts.publicKey),
            isNull(hosts.revokedAt),
          ),
        )
        .limit(1);
      if (enrolled !== undefined) return 0;
      return row === undefined || row.at === null ? undefined : v.parse(Int8, row.at);
    },
  };
}
