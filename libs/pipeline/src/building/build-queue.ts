import type { HostName, StorePath } from '@floe/model';
import type { EvaluationRow, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { evaluateHosts, isToBeBuilt } from '../evaluation/evaluate-hosts.ts';

/** A host that is to be built. */
export interface Wanted {
  readonly host: HostName;
  readonly drvPath: string;
  readonly toplevel: StorePath;
  readonly system: string;
  readonly formerHost: HostName | undefined;
  /** How often its build has failed. */
  readonly tries: number;
}

export function wantedOf({ host, drvPath, toplevel, system, formerHost, tries = 0 }: EvaluationRow): Wanted[] {
  return drvPath === undefined || toplevel === undefined || system === undefined ? [] : [{ host, drvPath, toplevel, system, formerHost, tries }];
}

/** The hosts of a revision that are to be built, in the order in which they came. Others may come until it is closed. */
export class BuildQueue {
  readonly #deps: PipelineDeps;
  readonly #revision: Revision;
  readonly #signal: AbortSignal;
  readonly #known = new Set<HostName>();
  readonly #hosts: Wanted[] = [];
  #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(deps: PipelineDeps, revision: Revision, signal: AbortSignal) {
    this.#deps = deps;
    this.#revision = revision;
    this.#signal = signal;
  }

  /** Adds those that can be built. A host of an architecture that nobody builds here says so, and is no failure of the commit. Each is added once. */
  async add(rows: readonly EvaluationRow[]): Promise<void> {
    const wanted = (await this.#believed(rows.filter(({ host }) => !this.#known.has(host)))).flatMap(wantedOf);
    if (wanted.length === 0) return;
    const here = await this.#builtHere(wanted);
    for (const each of here) {
      this.#known.add(each.host);
      this.#hosts.push(each);
    }
    this.#wake();
  }

  /** No other will come. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** Undefined: there is none, and none will come. */
  async next(): Promise<Wanted | undefined> {
    while (this.#hosts.length === 0 && !this.#isClosed) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    return this.#hosts.shift();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) each();
  }

  /** What of the database may be built: where that is not believed, all that this process did not evaluate is evaluated again. */
  async #believed(rows: readonly EvaluationRow[]): Promise<readonly EvaluationRow[]> {
    const { ownEvaluations, logger } = this.#deps;
    if (ownEvaluations === undefined) return rows;
    const own = rows.filter((row) => ownEvaluations.has(this.#revision, row));
    const others = rows.filter((row) => !own.includes(row)).map(({ host }) => host);
    if (others.length === 0) return rows;
    logger.info('hosts that this builder did not evaluate are evaluated again', { commit: this.#revision.sha, count: others.length });
    const again = await evaluateHosts(this.#deps, this.#revision, others, this.#signal);
    return [...own, ...again.filter(isToBeBuilt)];
  }

  async #builtHere(wanted: readonly Wanted[]): Promise<readonly Wanted[]> {
    const { store, repositoryNix, logger } = this.#deps;
    const why = await repositoryNix.notBuiltHere(wanted, this.#signal);
    if (why.size === 0) return wanted;
    const rows = wanted.flatMap(({ host, drvPath }) => {
      const error = why.get(drvPath);
      return error === undefined ? [] : [{ host, outcome: 'NOT_BUILT_HERE' as const, error }];
    });
    logger.info('hosts of other architectures are not built here', { commit: this.#revision.sha, count: rows.length });
    await store.revisions.saveBuilds(this.#revision.id, rows);
    return wanted.filter(({ drvPath }) => !why.has(drvPath));
  }
}
