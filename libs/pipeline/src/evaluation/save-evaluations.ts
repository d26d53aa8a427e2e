import { describeError, isFloeError, narrow } from '@floe/runtime';
import type { EvaluationRow, PlainStore } from '@floe/store';

/**
 * Stores rows of hosts. One that the database refuses becomes that host's error, and all others are stored as they are.
 * Returns them as they were stored: what is built and released next goes by that.
 */
export async function saveEvaluations(
  { revisions }: Pick<PlainStore, 'revisions'>,
  revisionId: string,
  rows: readonly EvaluationRow[],
): Promise<readonly EvaluationRow[]> {
  const save = async (some: readonly EvaluationRow[]): Promise<void> => await revisions.saveEvaluations(revisionId, some);
  const culprits = await narrow(rows, save, (error) => isFloeError(error, 'STORE_DATA_REFUSED'), rows.length);
  if (culprits.length === 0) return rows;
  const errors = new Map(culprits.map(({ item, error }) => [item, `what it evaluates to cannot be stored: ${describeError(error)}`]));
  const failed = [...errors].map(([{ host }, error]): EvaluationRow => ({ host, outcome: 'EVAL_ERROR', error }));
  await save(failed);
  return rows.map((row) => {
    const error = errors.get(row);
    return error === undefined ? row : { host: row.host, outcome: 'EVAL_ERROR', error };
  });
}
