import { nextRevisionState, storableText, type RevisionEvent, type RevisionState } from '@floe/model';
import { and, eq, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify } from './hints.ts';
import type { Advanced } from './store.ts';
import { revisions } from './tables/index.ts';

type Column = Exclude<keyof typeof revisions.$inferInsert, 'state'>;
type Columns = { readonly [Name in Column]?: (typeof revisions.$inferInsert)[Name] | SQL };

/** The column with the time at which a revision entered a state. */
const STAMPS: Partial<Record<RevisionState, 'verifiedAt' | 'evaluatedAt' | 'publishedAt' | 'supersededAt'>> = {
  EVALUATING: 'verifiedAt',
  BUILDING: 'evaluatedAt',
  PUBLISHED: 'publishedAt',
  SUPERSEDED: 'supersededAt',
};

export interface Move {
  readonly event: RevisionEvent;
  readonly at: number;
  readonly error?: string | undefined;
  /** Further columns that change with the state. */
  readonly also?: Columns | undefined;
}

/**
 * Changes the state of a revision by the table of libs/model: no other code writes it. The update names the state that was read,
 * so of two writers the second changes nothing and learns the new state (e.g. a builder, when a newer commit superseded its
 * revision). Runs within the caller's transaction.
 */
export async function moveRevision(tx: Database, id: string, { event, at, error, also }: Move): Promise<Advanced> {
  const before = await stateOf(tx, id);
  const state = nextRevisionState(before, event);
  if (state === null) return { kind: 'stale', state: before };
  const stamp = STAMPS[state];
  const moved = await tx
    .update(revisions)
    .set({ state, ...(stamp === undefined ? {} : { [stamp]: at }), error: textOrNull(error), ...also })
    .where(and(eq(revisions.id, id), eq(revisions.state, before)))
    .returning({ id: revisions.id });
  if (moved.length === 0) return { kind: 'stale', state: await stateOf(tx, id) };
  await notify(tx, { topic: 'revision', id });
  return { kind: 'advanced', state };
}

export function textOrNull(text: string | undefined): string | null {
  return text === undefined ? null : storableText(text);
}

async function stateOf(db: Database, id: string): Promise<RevisionState> {
  const [row] = await db.select({ state: revisions.state }).from(revisions).where(eq(revisions.id, id));
  if (row === undefined) throw missingRow('revision', id);
  return row.state;
}
