import {
  boundedTime,
  isFrozen,
  MAX_LOOSENINGS,
  NO_ORDERS,
  ROLES,
  ROLLOUT_ORDERS,
  storableText,
  type Approval,
  type Freeze,
  type Order,
  type RolloutOrders,
  type StoredAnswer,
} from '@floe/model';
import { and, eq, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { createLabelStops, stopsColumn, toStops } from './label-stops.ts';
import { acknowledgeAnswers, answersColumn, toAnswers } from './probe-answers.ts';
import type { NewRolloutOrder } from './records.ts';
import type { RolloutStore } from './store.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf, storedText } from './rows.ts';
import { nested } from './rows-as-text.ts';
import { acknowledgements, freezes, hosts, repositories, rolloutOrders, rollouts } from './tables/index.ts';

const MAX_REASON_CHARACTERS = 2_000;

type Row = typeof rolloutOrders.$inferSelect;
type FreezeRow = typeof freezes.$inferSelect;

const LoosensColumn = v.pipe(v.array(storedText(2_000)), v.maxLength(MAX_LOOSENINGS));

/** Rows with an unknown kind or role are nobody's word. */
function toOrder({ by, role, reason, at }: Row): Order {
  return { by: storableText(by, 200), role, reason: storableText(reason, MAX_REASON_CHARACTERS), at: boundedTime(at) };
}

function toApproval(row: Row): Approval {
  return {
    ...toOrder(row),
    ring: row.subject,
    person: row.person === null ? undefined : storableText(row.person, 64),
    binds: row.binds ?? undefined,
    // What cannot be read was given for nothing.
    loosens: row.loosens === null ? undefined : (new RowReader().json('loosens', row.loosens, LoosensColumn) ?? []),
  };
}

function isKnown({ kind, role }: Row): boolean {
  return ROLLOUT_ORDERS.includes(kind) && ROLES.includes(role);
}

function toFreeze({ by, reason, at, until }: FreezeRow): Freeze {
  return {
    by: storableText(by, 200),
    reason: storableText(reason, MAX_REASON_CHARACTERS),
    at: boundedTime(at),
    until: until === null ? undefined : boundedTime(until),
  };
}

/** What people asked of a rollout, and of its fleet. */
export async function readOrders(db: Database, repositoryId: string, rolloutId: string): Promise<RolloutOrders> {
  return (await readSaid(db, repositoryId, rolloutId)).orders;
}

/** What people asked of a rollout, and what its probes answered last. */
export interface Said {
  readonly orders: RolloutOrders;
  readonly probes: readonly StoredAnswer[];
}

/** {@link Said} of a rollout, as columns of a statement that reads something of it besides. */
export function saidColumns(repositoryId: string, rolloutId: string | PgColumn) {
  const freeze = nested({ row: freezes }, sql`${freezes} where ${freezes.repositoryId} = ${repositoryId}`);
  const orders = nested({ row: rolloutOrders }, sql`${rolloutOrders} where ${rolloutOrders.rolloutId} = ${rolloutId}`);
  const columns = { freeze: freeze.column, orders: orders.column, answers: answersColumn(rolloutId), stops: stopsColumn(repositoryId) };
  return {
    columns,
    read: (row: Record<keyof typeof columns, unknown>): Said =>
      toSaid(
        freeze.read(row.freeze).flatMap((each) => each.row ?? []),
        orders.read(row.orders).flatMap((each) => each.row ?? []),
        row,
      ),
  };
}

async function readSaid(db: Database, repositoryId: string, rolloutId: string): Promise<Said> {
  const said = saidColumns(repositoryId, rolloutId);
  const [row] = await db
    .select(said.columns)
    .from(repositories)
    // Of joined tables alone Drizzle writes columns with the names of their tables.
    .leftJoin(sql`(select 1) as one`, sql`true`)
    .where(eq(repositories.id, repositoryId));
  return said.read(row ?? { freeze: null, orders: null, answers: null, stops: null });
}

function toSaid([freeze]: readonly FreezeRow[], rows: readonly Row[], { answers, stops: stopped }: Record<'answers' | 'stops', unknown>): Said {
  const known = rows.filter(isKnown).toSorted((left, right) => left.id - right.id);
  const newest = (kind: Row['kind']): Row | undefined => known.findLast((row) => row.kind === kind);
  // Whoever asks to go back is heard, also beside somebody who only ends it at the same moment.
  const [resume, abort] = [newest('resume'), newest('abort')];
  const hotfixes = known.filter(({ kind }) => kind === 'hotfix');
  const hotfix = hotfixes[0];
  const now = hotfixes.filter(({ subject }) => subject === 1).map((row) => ({ ...toOrder(row), person: toApproval(row).person }));
  const stops = toStops(stopped);
  const orders = {
    ...NO_ORDERS,
    ...(stops.length === 0 ? {} : { stops }),
    freeze: freeze && toFreeze(freeze),
    resume: resume === undefined ? undefined : { ...toOrder(resume), of: resume.subject },
    abort: abort === undefined ? undefined : { ...toOrder(abort), isRevert: known.some(({ kind, subject }) => kind === 'abort' && subject === 1) },
    hotfix: hotfix === undefined ? undefined : { ...toOrder(hotfix), now },
    approvals: known.filter(({ kind }) => kind === 'approve').map(toApproval),
  };
  return { orders, probes: toAnswers(answers) };
}

async function order(
  db: Database,
  { rolloutId, version, kind, subject = 0, by, person, binds, loosens, role, reason, at, acknowledged = [], answers = [] }: NewRolloutOrder,
): Promise<boolean> {
  return await db.transaction(async (tx) => {
    if (version !== undefined && !(await isStillAt(tx, rolloutId, version))) return false;
    const said = { by, reason: storableText(reason, MAX_REASON_CHARACTERS), at };
    await tx.insert(rolloutOrders).values({ rolloutId, kind, subject, role, person, binds, loosens, ...said });
    // One that the pause names may have been forgotten meanwhile; the others are not forgotten before this is stored.
    const names = acknowledged.map(({ host }) => host);
    const there = names.length === 0 ? [] : await tx.select({ host: hosts.host }).from(hosts).where(isOneOf(hosts.host, names)).for('key share');
    const known = new Set(there.map(({ host }) => host));
    const seen = acknowledged.filter(({ host }) => known.has(host)).map(({ host, toplevel }) => ({ host, toplevel, ...said }));
    if (seen.length > 0) await tx.insert(acknowledgements).values(seen).onConflictDoNothing();
    await acknowledgeAnswers(
      tx,
      answers.map((each) => ({ ...each, rolloutId })),
    );
    await notify(tx, { topic: 'host', host: '*' });
    return true;
  });
}

/** Takes the next version, so that whoever decides by the one before it looks again, and hears the order. */
async function isStillAt(tx: Database, id: string, version: number): Promise<boolean> {
  const moved = await tx
    .update(rollouts)
    .set({ version: version + 1 })
    .where(and(eq(rollouts.id, id), eq(rollouts.version, version)))
    .returning({ id: rollouts.id });
  return moved.length > 0;
}

async function setFreeze(db: Database, repositoryId: string, { by, reason, at, until }: Freeze): Promise<Freeze | undefined> {
  const set = { by, at, until: until ?? null, reason: storableText(reason, MAX_REASON_CHARACTERS) };
  return await db.transaction(async (tx) => {
    const before = await freezeOf(tx, repositoryId);
    await tx
      .insert(freezes)
      .values({ repositoryId, ...set })
      .onConflictDoUpdate({ target: freezes.repositoryId, set });
    await notify(tx, { topic: 'host', host: '*' });
    return isFrozen({ freeze: before }, at) ? before : undefined;
  });
}

async function freezeOf(db: Database, repositoryId: string): Promise<Freeze | undefined> {
  const [row] = await db.select().from(freezes).where(eq(freezes.repositoryId, repositoryId));
  return row === undefined ? undefined : toFreeze(row);
}

/** Of two people who end it at once, one succeeds; and a new freeze does not end with the one before it. */
async function endFreeze(db: Database, repositoryId: string, { by, at }: Freeze): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const ended = await tx
      .delete(freezes)
      .where(and(eq(freezes.repositoryId, repositoryId), eq(freezes.by, by), eq(freezes.at, at)))
      .returning({ repositoryId: freezes.repositoryId });
    if (ended.length > 0) await notify(tx, { topic: 'host', host: '*' });
    return ended.length > 0;
  });
}

export function createRolloutOrders(db: Database): Pick<RolloutStore, 'order' | 'freeze' | 'freezeOf' | 'unfreeze' | 'stopLabel' | 'startLabel'> {
  return {
    order: async (asked) => await order(db, asked),
    freeze: async (repositoryId, asked) => await setFreeze(db, repositoryId, asked),
    freezeOf: async (repositoryId) => await freezeOf(db, repositoryId),
    unfreeze: async (repositoryId, seen) => await endFreeze(db, repositoryId, seen),
    ...createLabelStops(db),
  };
}
