import { isConfigurationKnown, type HostName, type KnownHost, type ReleaseRef, type StorePath } from '@floe/model';
import type { CurrentRollout, EvaluatedRevision, Evaluation } from '@floe/store';
import { evaluate, type Commit } from './commit.ts';

/** What commits have for hosts, and what was released of it, as the store in memory has it. */
export class MemoryReleases {
  /** All that was ever released, the newest last; of hosts that are forgotten, too. */
  readonly #released = new Map<HostName, ReleaseRef[]>();
  readonly #sequenceOf = new Map<StorePath, number>();
  /** By revision. */
  readonly #evaluations = new Map<string, Map<HostName, Evaluation>>();
  #newest: string | undefined;

  /** A revision, with its releases. */
  add(revisionId: string, sequence: number, commit: Commit): void {
    const last = new Map([...this.#released].map(([host, all]) => [host, all.at(-1)?.toplevel]));
    this.#evaluations.set(revisionId, new Map(evaluate(commit, last).map((each) => [each.host, each])));
    this.#newest = revisionId;
    for (const [host, toplevel] of commit.changed) {
      this.#released.set(host, [...(this.#released.get(host) ?? []), { id: `${host}@${sequence}`, host, sequence, toplevel }]);
      this.#sequenceOf.set(toplevel, sequence);
    }
  }

  evaluationsOf(revisionIds: readonly string[]): ReadonlyMap<string, EvaluatedRevision> {
    return new Map(revisionIds.map((id) => [id, { state: 'PUBLISHED', evaluations: [...(this.#evaluations.get(id)?.values() ?? [])] }]));
  }

  evaluation(revisionId: string | undefined, host: HostName): Evaluation | undefined {
    return revisionId === undefined ? undefined : this.#evaluations.get(revisionId)?.get(host);
  }

  /** In the newest revision, whatever hosts follow. */
  newestEvaluation(host: HostName): Evaluation | undefined {
    return this.evaluation(this.#newest, host);
  }

  sequenceOf(toplevel: StorePath): number | undefined {
    return this.#sequenceOf.get(toplevel);
  }

  newestSequence(host: HostName): number {
    return this.#released.get(host)?.at(-1)?.sequence ?? -1;
  }

  /** What the revision has for the host. */
  inRevision(host: HostName, { revisionId, sequence }: { readonly revisionId: string; readonly sequence: number }): ReleaseRef | undefined {
    const { outcome, toplevel } = this.evaluation(revisionId, host) ?? {};
    if (outcome === undefined || !isConfigurationKnown(outcome)) return undefined;
    const newest = this.#released.get(host)?.findLast((each) => each.sequence <= sequence);
    return newest?.toplevel === toplevel ? newest : undefined;
  }

  rename(from: HostName, to: HostName): void {
    for (const ofRevision of this.#evaluations.values()) {
      const own = ofRevision.get(from);
      ofRevision.delete(from);
      if (own !== undefined && (own.outcome !== 'REMOVED' || !ofRevision.has(to))) ofRevision.set(to, { ...own, host: to });
    }
    const own = (this.#released.get(from) ?? []).map((release) => ({ ...release, host: to }));
    const others = (this.#released.get(to) ?? []).filter(({ sequence }) => !own.some((release) => release.sequence === sequence));
    this.#released.delete(from);
    this.#released.set(
      to,
      [...own, ...others].toSorted((one, other) => one.sequence - other.sequence),
    );
  }
}

/** The labels that a host has in a revision; where that does not tell its configuration, those that it had. */
export function labelsIn(evaluation: Evaluation | undefined, { left }: { readonly left: KnownHost | undefined }): readonly string[] {
  const isKnown = evaluation !== undefined && isConfigurationKnown(evaluation.outcome);
  return (isKnown ? evaluation.labels : left?.labels) ?? [];
}

/** Its frozen rings and its pause name the host by its new name. */
export function renamedIn<Some extends CurrentRollout>(rollout: Some, from: HostName, to: HostName): Some {
  const { rings, course } = rollout;
  const { pause } = course;
  const isIn = rings?.has(from) === true;
  const isPausing = pause?.cause === 'failures' && pause.failures.some(({ host }) => host === from);
  const named = new Map([...(rings ?? [])].flatMap(([host, ring]) => (host === to ? [] : [[host === from ? to : host, ring] as const])));
  const failures = pause?.cause === 'failures' ? pause.failures.map((each) => (each.host === from ? { ...each, host: to } : each)) : [];
  return {
    ...rollout,
    version: rollout.version + Number(isIn) + Number(isPausing),
    ...(isIn ? { rings: named } : {}),
    ...(isPausing ? { course: { ...course, pause: { ...pause, failures } } } : {}),
  };
}
