import type { HostName } from '@floe/model';
import type { EvaluationRow, Revision } from '@floe/store';

/** So many revisions are remembered: the one that is processed, and the newest that is published, whose hosts come late. */
const KEEP = 8;

/**
 * What this process evaluated itself. A builder that shares its database with a server believes nothing that stands in there about what a host
 * is to run: what it finds, and did not evaluate, it evaluates again before it builds and signs it. That is also so after a restart.
 */
export class OwnEvaluations {
  readonly #known = new Map<string, Map<HostName, string>>();

  note(revision: Pick<Revision, 'id' | 'sha'>, rows: readonly EvaluationRow[]): void {
    const key = keyOf(revision);
    const known = this.#known.get(key) ?? new Map<HostName, string>();
    for (const row of rows) known.set(row.host, signedPartOf(row));
    this.#known.delete(key);
    this.#known.set(key, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= KEEP) break;
      this.#known.delete(oldest);
    }
  }

  has(revision: Pick<Revision, 'id' | 'sha'>, row: EvaluationRow): boolean {
    return this.#known.get(keyOf(revision))?.get(row.host) === signedPartOf(row);
  }
}

function keyOf({ id, sha }: Pick<Revision, 'id' | 'sha'>): string {
  return `${id} ${sha}`;
}

/** What of it is built and signed. */
function signedPartOf({ drvPath, toplevel, system, formerHost }: EvaluationRow): string {
  return JSON.stringify([drvPath, toplevel, system, formerHost]);
}
