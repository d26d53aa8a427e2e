import { isCommit, type CommitSha, type HostName, type StorePath } from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import type { Evaluation, Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import { addressOf, addressOfAnother } from './source.ts';
import type { Traces } from './traces.ts';
import { settingsOf, touching } from './untouched.ts';

/** So many of the hosts that a commit carried over are evaluated nevertheless: those first that nobody looked at for longest. */
const AUDITED = 20;

/**
 * With `evaluate.skip`, while nothing else is to be done: looks whether what the newest revision carried over was right, and records what the
 * evaluations of hosts look at, where that is not known.
 */
export class TraceWatch {
  readonly #deps: PipelineDeps;
  #looked: string | undefined;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  /** Another commit ends it; it goes on with the next one. */
  async look(revision: Revision, signal: AbortSignal): Promise<void> {
    const { traces, logger, store } = this.#deps;
    const isTurn = traces !== undefined && revision.state === 'PUBLISHED' && this.#looked !== revision.id;
    if (!isTurn || revision.handoverId !== undefined || !isCommit(revision.sha)) return;
    await bestEffort(logger, 'recording what evaluations look at', undefined, async () => {
      if (traces.off === undefined) await audit(this.#deps, traces, revision, signal);
      if (signal.aborted) return;
      if (traces.off !== undefined) await store.repositories.noteAdvice(revision.repositoryId, traces.off);
      else await record(this.#deps, traces, revision.sha, await store.revisions.evaluations(revision.id), signal);
      if (!signal.aborted) this.#looked = revision.id;
    });
  }
}

/** A host that evaluates to something else than was carried over ends the carrying over, and has the commit evaluated again. */
async function audit(deps: PipelineDeps, traces: Traces, revision: Revision, signal: AbortSignal): Promise<void> {
  const { store, repositoryNix, limits, clock, logger } = deps;
  const rows = await store.revisions.evaluations(revision.id);
  const carried = rows.flatMap(({ host }) => {
    const traced = traces.get(host);
    return traced?.isCarried === true && traced.sha === revision.sha ? [{ host, traced }] : [];
  });
  const asked = carried.toSorted((one, other) => one.traced.auditedAt - other.traced.auditedAt).slice(0, AUDITED);
  if (asked.length === 0) return;
  const results = new Map<HostName, HostEvaluation>();
  await repositoryNix.evaluateHosts(
    await addressOf(deps, revision.sha),
    asked.map(({ host }) => host),
    { ...evaluating(deps), concurrency: limits.evaluations, signal, isAsked: () => false, onResult: (result) => results.set(result.host, result) },
  );
  for (const { host, traced } of asked) {
    const result = results.get(host);
    // An error of another kind may be one of this machine.
    if (result === undefined || (result.kind === 'failed' && result.code !== 'EVALUATION_FAILED')) continue;
    if (result.kind === 'evaluated' && result.drvPath === traced.answer.drvPath) {
      traces.set(host, { ...traced, isCarried: false, auditedAt: clock.now() });
      continue;
    }
    const why = `evaluate.skip is off: ${host} was not evaluated at ${revision.sha.slice(0, 10)}, since the commit changed nothing that its last evaluation looked at, and yet it evaluates to another system there. All hosts are evaluated at each commit. To try it again, take the setting away for one start, and please report this`;
    logger.error('a host that was carried over evaluates to something else: nothing is carried over any more', { host, commit: revision.sha });
    await store.decide(async ({ revisions }) => ({
      result: await revisions.reopen(revision.id, clock.now()),
      entries: [{ at: clock.now(), actor: 'floe', action: 'evaluate', subject: revision.sha, detail: why }],
    }));
    // Not before: what was carried over wrongly is looked for again until it is evaluated.
    traces.switchOff(why);
    break;
  }
  await traces.save();
}

/** Each host is evaluated at another commit that has the same files and one more: what differs then depends on the commit itself. */
async function record(deps: PipelineDeps, traces: Traces, sha: CommitSha, rows: readonly Evaluation[], signal: AbortSignal): Promise<void> {
  const { nix, repositoryNix, logger } = deps;
  const isTouched = touching(deps, sha);
  let other: string | undefined;
  for (const { host, drvPath } of rows) {
    if (signal.aborted) break;
    if (drvPath === undefined) continue;
    const known = traces.get(host);
    const isKnown = known !== undefined && (known.usesSelf || known.answer.drvPath === drvPath) && !(await isTouched(known));
    if (isKnown) continue;
    traces.forget(host);
    other ??= await addressOfAnother(deps, sha, true);
    const trace = await repositoryNix.traceHost(other, host, {
      ...evaluating(deps),
      signal,
      filePath: (path) => nix.storeFilePath(path as StorePath),
    });
    if (trace === undefined) continue;
    const { looks, answer } = trace;
    traces.set(host, { sha, settings: settingsOf(deps), answer, usesSelf: answer.drvPath !== drvPath, looks, isCarried: false, auditedAt: 0 });
  }
  await traces.save();
  logger.debug('what evaluations look at was recorded', { commit: sha });
}

function evaluating({ limits }: PipelineDeps): { readonly timeoutMs: number; readonly maxMemoryBytes: number } {
  return { timeoutMs: limits.evaluationTimeoutMs, maxMemoryBytes: limits.evaluationMemoryBytes };
}
